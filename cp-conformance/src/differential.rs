//! Two engines under the same faults, asked the same things, answer the same.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::checks::replay::plain;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::{Least, Report, Violation};
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::workload::Workload;
use crate::world::scenario;
use cp_catalog::{Catalog, Verdict};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, Term};
use cp_store::Founding;
use std::time::Duration;

/// The number of the client that asks.
const SCRIPT: usize = 1_000;
const NAME: &str = "differential::the_same_faults_and_requests";
/// The checker's name.
pub const CHECKER: &str = "the same answers";

/// What one engine made of it.
#[derive(Debug, Clone)]
pub struct Account {
    /// What happened, which may differ: another leader, other retries.
    pub report: Report,
    /// What the requests were answered with, in order, which may not.
    pub verdicts: Vec<String>,
    /// Members, collections and ranges at the end, which may not.
    pub state: Vec<String>,
}

/// Runs the schedule of `seed` on `backend`, with one client that has `requests`
/// things decided, one after the other, each retried under its id until it is; and
/// demands the answers, and in the end the state, of a machine that is simply given
/// the requests in that order: no log, no crash, no retry (CP-E1, CP-P5, CP-R1).
///
/// What the design lets engines differ in is not compared: positions, who leads,
/// refusals to propose and unknown outcomes on the way.
pub fn account(
    backend: &'static dyn Backend,
    seed: u64,
    options: &Options,
    requests: usize,
) -> Result<Account, Box<Violation>> {
    let options = Options { clients: 0, churn: false, ..options.clone() };
    let (mut verdicts, mut state) = (Vec::new(), Vec::new());
    let least = Least { elections: 1, acknowledged: 1, ..Least::default() };
    let report = Scenario::new(NAME).seed(seed).options(options).least(least).run(backend, async |world| {
        let script = Script::draw(seed, &world.genesis()?, requests)?;
        let asked = world.ask(script.entries);
        Box::pin(world.storm()).await?;
        world.heal().await?;
        let within = world.election_timeout() * 40;
        let answered = tokio::time::timeout(within, asked).await;
        let late =
            || Broken::new("liveness", Promise::L1, "the script was not decided in time after everything healed");
        verdicts = answered.map_err(|_| late())?.map_err(|error| scenario(error.to_string()))?;
        let number = verdicts.iter().zip(&script.verdicts).position(|(is, should)| is != should);
        if let Some(at) = number {
            let (is, should) = (verdicts.get(at), script.verdicts.get(at));
            let what = format!("request {at} was answered {is:?}; applied in order it gives {should:?}");
            return Err(Broken::new(CHECKER, Promise::E1, what));
        }
        // Another may lead by now, and not have applied it all: a read waits for that.
        let leader = loop {
            let leader = world.leader().await?;
            if world.read(leader).await?.is_ok() {
                break leader;
            }
            world.pass(Duration::from_millis(10)).await;
        };
        state = world.up(leader)?.state.read(listing);
        if state != script.state {
            let what = format!("the state is {state:?}; applied in order it is {:?}", script.state);
            return Err(Broken::new(CHECKER, Promise::E1, what));
        }
        Ok(())
    })?;
    let verdicts = verdicts.iter().map(|verdict| format!("{verdict:?}")).collect();
    Ok(Account { report, verdicts, state })
}

/// What is asked, and what it must be answered with.
struct Script {
    entries: Vec<ControlPlaneEntry>,
    verdicts: Vec<Verdict>,
    state: Vec<String>,
}

impl Script {
    /// Each request is drawn by what the ones before it made, or, sometimes, by what
    /// was true a while ago: stale fences must be refused alike.
    fn draw(seed: u64, genesis: &Founding, requests: usize) -> Result<Self, Broken> {
        let (machine, stale) = (plain(genesis).map_err(scenario)?, plain(genesis).map_err(scenario)?);
        // A client of its own: the world's client goes on with its requests after the storm.
        let (mut workload, mut rng) = (Workload::new(seed).fork(SCRIPT), Rng::new(seed, "script"));
        let (mut entries, mut verdicts) = (Vec::new(), Vec::new());
        for index in (1..).map(ControlPlaneLogIndex).take(requests) {
            let seen = if rng.per_mille(150) { &stale } else { &machine };
            let entry = seen.read(|catalog| workload.next(Some(catalog)))?;
            let position = LogPosition::new(Term(1), index);
            machine.apply(position, &entry).map_err(|halt| scenario(halt.reason))?;
            let verdict = machine.verdict(index).ok_or_else(|| scenario(format!("no verdict at {index}")))?;
            verdicts.push(verdict);
            entries.push(entry);
            if rng.per_mille(200) {
                for (entry, index) in
                    entries.iter().zip(1..).skip(usize::try_from(stale.applied().0).unwrap_or(usize::MAX))
                {
                    let position = LogPosition::new(Term(1), ControlPlaneLogIndex(index));
                    stale.apply(position, entry).map_err(|halt| scenario(halt.reason))?;
                }
            }
        }
        Ok(Self { entries, verdicts, state: machine.read(listing) })
    }
}

/// What the requests made, without what retries leave behind.
fn listing(catalog: &Catalog) -> Vec<String> {
    let members = catalog.members().map(|member| format!("{member:?}"));
    let collections = catalog.collections().map(|collection| format!("{collection:?}"));
    let ranges = catalog.collections().flat_map(|c| catalog.ranges(&c.name)).map(|range| format!("{range:?}"));
    members.chain(collections).chain(ranges).collect()
}

/// Demands that two engines gave one account; the first difference is the finding.
pub fn compare(one: &Account, two: &Account) -> Result<(), Broken> {
    let (a, b) = (one.report.backend, two.report.backend);
    let object = |what: String| Err(Broken::new(CHECKER, Promise::E1, what));
    if one.verdicts.len() != two.verdicts.len() {
        return object(format!("{a} decided {} requests, {b} {}", one.verdicts.len(), two.verdicts.len()));
    }
    if let Some((at, (x, y))) = one.verdicts.iter().zip(&two.verdicts).enumerate().find(|(_, (x, y))| x != y) {
        return object(format!("request {at}: {a} answered {x}, {b} answered {y}"));
    }
    if one.state == two.state {
        return Ok(());
    }
    object(format!("{a} ended in {:?}, {b} in {:?}", one.state, two.state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Effects;
    use crate::monitor::Tally;
    use crate::network::Traffic;

    #[test]
    fn fires_on_another_answer_a_missing_one_and_another_state() {
        let account = |verdicts: &[&str], state: &str| Account {
            report: Report {
                scenario: NAME.to_owned(),
                backend: "one",
                seed: 1,
                simulated: Duration::ZERO,
                tally: Tally::default(),
                restarts: 0,
                pauses: 0,
                jumps: 0,
                blackouts: 0,
                exchanged: 0,
                expelled: 0,
                waits: std::collections::BTreeMap::new(),
                traffic: Traffic::default(),
                disks: Effects::default(),
                trace: ([0; 32], 0),
            },
            verdicts: verdicts.iter().map(|verdict| (*verdict).to_owned()).collect(),
            state: vec![state.to_owned()],
        };
        let one = account(&["done", "refused"], "s");
        compare(&one, &one).unwrap();
        for two in [account(&["done", "done"], "s"), account(&["done"], "s"), account(&["done", "refused"], "t")] {
            assert_eq!(compare(&one, &two).unwrap_err().checker, CHECKER);
        }
    }
}
