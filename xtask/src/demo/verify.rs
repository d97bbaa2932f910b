//! The proof: what the writers were told, held against what every node has in its log.

use super::load::{Account, Told};
use anyhow::{Context, Result, bail, ensure};
use cp_catalog::RequestId;
use cp_net::tls::Credentials;
use cp_seam::{ControlPlaneLogIndex, LogPosition};
use cp_supervisor::client::{Client, Watched};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::timeout;

/// What was found; each count is over all writers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    /// Nobody could say what became of them: as many are in the log …
    pub(crate) unknown_done: usize,
    /// … and as many are not.
    pub(crate) unknown_not_done: usize,
}

/// Where each request took effect, by one node's log.
pub(crate) type Effects = BTreeMap<RequestId, Vec<LogPosition>>;

/// Reads the committed changes of one node from `from` to `until`, and asks no other.
pub(crate) async fn effects(
    address: &str,
    credentials: &Credentials,
    from: ControlPlaneLogIndex,
    until: ControlPlaneLogIndex,
) -> Result<Effects> {
    let client = Client::new(vec![address.to_owned()], credentials.clone(), Duration::from_secs(5));
    let mut watch = client.watch(from);
    let mut effects = Effects::new();
    loop {
        let next = timeout(Duration::from_secs(5), watch.next()).await;
        let item = next.with_context(|| format!("{address} went quiet before index {until}"))??;
        let Watched::Change(change) = item else { bail!("{address} no longer keeps the log from index {from} on") };
        if let Some(id) = change.request.as_ref().and_then(|request| request.id)
            && change.verdict.is_done()
            && !change.repeated
        {
            effects.entry(id).or_default().push(change.position);
        }
        if change.position.index >= until {
            return Ok(effects);
        }
    }
}

/// Holds what the writers were told against one node's log.
pub(crate) fn hold(account: &Account, effects: &Effects) -> Result<Findings> {
    let told = account.told.lock().unwrap_or_else(PoisonError::into_inner);
    let mut findings = Findings::default();
    for (id, told) in told.iter() {
        let at = effects.get(id).map_or(&[][..], Vec::as_slice);
        ensure!(at.len() <= 1, "request {id:?} took effect {} times, at {at:?}", at.len());
        match told {
            Told::Done(position) => {
                // A retry is acknowledged where it was repeated; the effect is where the request first was.
                let there = at.iter().any(|effect| effect.index <= position.index);
                ensure!(there, "request {id:?} was acknowledged at {position} and is not there: LOST");
                findings.acknowledged += 1;
            }
            Told::NotDone(position) => {
                ensure!(at.is_empty(), "request {id:?} was said to change nothing at {position}, and took effect");
            }
            Told::Refused => {
                ensure!(at.is_empty(), "request {id:?} was refused and is in the log");
                findings.refused += 1;
            }
            Told::Unknown if at.is_empty() => findings.unknown_not_done += 1,
            Told::Unknown => findings.unknown_done += 1,
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::ClientId;
    use cp_seam::Term;
    use std::sync::Mutex;

    fn id(sequence: u64) -> RequestId {
        RequestId { client: ClientId([0; 16]), since: ControlPlaneLogIndex(1), sequence }
    }

    fn at(index: u64) -> LogPosition {
        LogPosition::new(Term(1), ControlPlaneLogIndex(index))
    }

    fn account(told: &[(u64, Told)]) -> Account {
        let told = told.iter().map(|(sequence, told)| (id(*sequence), told.clone())).collect();
        let mut account = Account::default();
        account.told = Mutex::new(told);
        account
    }

    /// The proof can fail, and says at what.
    #[test]
    fn a_lost_a_doubled_and_a_resurrected_request_are_found() {
        let done = account(&[(1, Told::Done(at(5)))]);
        assert!(hold(&done, &BTreeMap::from([(id(1), vec![at(5)])])).is_ok());
        let lost = hold(&done, &Effects::new()).expect_err("lost");
        assert!(lost.to_string().contains("LOST"));
        let earlier = BTreeMap::from([(id(1), vec![at(4)])]);
        assert!(hold(&done, &earlier).is_ok(), "the acknowledged one was a retry");
        let later = BTreeMap::from([(id(1), vec![at(6)])]);
        assert!(hold(&done, &later).is_err(), "acknowledged before it was there");
        let twice = BTreeMap::from([(id(1), vec![at(5), at(6)])]);
        assert!(hold(&done, &twice).expect_err("twice").to_string().contains("2 times"));
        let refused = account(&[(1, Told::Refused)]);
        assert!(hold(&refused, &BTreeMap::from([(id(1), vec![at(5)])])).is_err());
    }

    #[test]
    fn unknown_is_counted_as_neither() {
        let account = account(&[(1, Told::Unknown), (2, Told::Unknown), (3, Told::Done(at(9)))]);
        let effects = BTreeMap::from([(id(1), vec![at(4)]), (id(3), vec![at(9)])]);
        let findings = hold(&account, &effects).expect("holds");
        let expected = Findings { acknowledged: 1, refused: 0, unknown_done: 1, unknown_not_done: 1 };
        assert_eq!(findings, expected);
    }
}
