//! Writers that keep moving ownership from one holder to the next, and remember
//! of each request what they were told.

use cp_catalog::{
    ClosedGate, CollectionName, DataPosition, Effect, Evidence, OwnershipCommand, Range, RangeKey, RequestId, Transfer,
    Verdict,
};
use cp_net::tls::Credentials;
use cp_seam::LogPosition;
use cp_supervisor::client::{Client, ClientError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a writer was told about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is committed there and took effect.
    Done(LogPosition),
    /// It is committed there and changed nothing.
    NotDone(LogPosition),
    /// It is in no log.
    Refused,
    /// Nobody could say.
    Unknown,
}

/// What all writers were told, and when.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) told: Mutex<BTreeMap<RequestId, Told>>,
    acknowledged: AtomicU64,
    done: Mutex<Vec<Instant>>,
    stop: AtomicBool,
}

impl Account {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The longest time without an acknowledgement that ends after `from`.
    pub(crate) fn longest_pause(&self, from: Instant) -> Duration {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        done.sort_unstable();
        let gaps = done.iter().zip(done.iter().skip(1)).filter(|(_, end)| **end >= from);
        gaps.map(|(start, end)| end.duration_since(*start)).max().unwrap_or_default()
    }

    fn note(&self, id: RequestId, told: Told) {
        if matches!(told, Told::Done(_)) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            self.done.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, told);
    }
}

/// Moves the write authority over its own ranges from holder to holder until told to stop.
pub(crate) async fn write(
    account: Arc<Account>,
    endpoints: Vec<String>,
    credentials: Credentials,
    mut ranges: BTreeMap<RangeKey, Range>,
) -> Result<(), ClientError> {
    let client = Client::new(endpoints, credentials, Duration::from_secs(5));
    let keys: Vec<RangeKey> = ranges.keys().cloned().collect();
    for key in keys.iter().cycle() {
        if account.stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(command) = ranges.get(key).and_then(|range| handoff(key, range)) else { continue };
        let id = client.next_id().await?;
        match client.submit_as(id, command).await {
            Ok(decision) => match decision.verdict {
                Verdict::Done(Effect::RangeAt { now, .. }) => {
                    account.note(id, Told::Done(decision.position));
                    if let Some(range) = ranges.get_mut(key) {
                        let before = std::mem::replace(&mut range.owner, now.owner.clone());
                        range.replicas = range.replicas.without(&now.owner).with(&before);
                        (range.epoch, range.version) = (now.epoch, now.version);
                    }
                }
                Verdict::Done(_) => account.note(id, Told::Done(decision.position)),
                Verdict::Refused(_) => {
                    account.note(id, Told::NotDone(decision.position));
                    refresh(&client, &mut ranges, &key.collection).await;
                }
            },
            Err(error) => {
                let unknown = matches!(error, ClientError::Unknown { .. });
                account.note(id, if unknown { Told::Unknown } else { Told::Refused });
                refresh(&client, &mut ranges, &key.collection).await;
            }
        }
    }
    Ok(())
}

/// Hands a range to the replica after its owner, so that authority goes round.
fn handoff(key: &RangeKey, range: &Range) -> Option<OwnershipCommand> {
    let after = range.replicas.iter().find(|replica| **replica > range.owner);
    let candidate = after.or_else(|| range.replicas.iter().next())?.clone();
    let at = DataPosition { term: 1, lsn: range.version.0 };
    let closed_gate = Some(ClosedGate { range: key.clone(), epoch: range.epoch, last: at });
    let evidence = Evidence { candidate: candidate.clone(), applied: at, watermark: at, closed_gate };
    Some(OwnershipCommand::Handoff(Transfer {
        range: key.clone(),
        from: range.owner.clone(),
        fence: range.fence(),
        to: candidate,
        evidence: Some(evidence),
    }))
}

/// Reads the ranges anew: after an unknown outcome only the state says where they stand.
async fn refresh(client: &Client, ranges: &mut BTreeMap<RangeKey, Range>, collection: &CollectionName) {
    match client.ranges(Some(collection)).await {
        Ok(answer) => {
            for (key, range) in answer.value {
                if let Some(known) = ranges.get_mut(&key) {
                    *known = range;
                }
            }
        }
        // The next request will tell; meanwhile do not press a cluster that cannot answer.
        Err(_) => sleep(Duration::from_millis(50)).await,
    }
}
