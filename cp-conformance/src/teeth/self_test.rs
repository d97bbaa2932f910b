//! A checker that is disabled, or blind, finds nothing, and nothing else says so.
//! Each is fed a bad history here, by way of the monitor, and must object.

use crate::backend::Backend;
use crate::checks::audit::{self, Claim};
use crate::checks::committed::Committed;
use crate::checks::digests::Digests;
use crate::checks::fencing::Fencing;
use crate::checks::leaders::Leaders;
use crate::checks::ledger::Ledger;
use crate::checks::matching::Matching;
use crate::checks::monotonic::Monotonic;
use crate::checks::outcomes::Outcomes;
use crate::checks::register::Register;
use crate::checks::{Broken, Fingerprint};
use crate::monitor::Monitor;
use crate::trace::Trace;
use crate::world::scenario;
use cp_catalog::{CollectionName, Epoch, Fence, RangeId, RangeKey, RangeStanding, Version};
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, Generation, Incarnation, LastVote, LogPosition, MemberId, Outcome, StateDigest,
    Term,
};
use cp_store::{Configuration, Identity, Inspection, LogRecord, RecordBody, SnapshotMeta, TermRuns};
use std::sync::OnceLock;

/// A checker, and a history that it must object to.
type Canned = (&'static str, fn() -> Result<(), Broken>);

/// Every checker of the monitor.
pub const CANNED: &[Canned] = &[
    (Leaders::NAME, leaders),
    (Ledger::NAME, ledger),
    (audit::NAME, claims),
    (Committed::NAME, committed),
    (Matching::NAME, matching),
    (Monotonic::NAME, monotonic),
    (Digests::NAME, digests),
    (Outcomes::NAME, outcomes),
    (Register::NAME, register),
    (Fencing::NAME, fencing),
];

static DISABLED: OnceLock<String> = OnceLock::new();

/// Disables a checker for the rest of this process: the planted bug.
pub fn disable(checker: &str) {
    DISABLED.get_or_init(|| checker.to_owned());
}

/// Whether the monitor drops what this checker says.
pub(crate) fn is_disabled(checker: &str) -> bool {
    DISABLED.get().is_some_and(|disabled| disabled == checker)
}

/// The checkers that have not objected to their bad history.
pub fn blind(backend: &'static dyn Backend) -> Vec<&'static str> {
    let sees = |(name, history): &Canned| {
        let monitor = Monitor::new(backend, Trace::new());
        monitor.judge(history());
        monitor.objection().is_some_and(|broken| broken.checker == *name)
    };
    CANNED.iter().filter(|canned| !sees(canned)).map(|(name, _)| *name).collect()
}

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), ControlPlaneLogIndex(index))
}

fn member() -> Result<MemberId, Broken> {
    MemberId::new("n0").map_err(|error| scenario(error.to_string()))
}

fn image(term: u64, records: &[(u64, u64)], committed: u64) -> Result<Inspection, Broken> {
    let (cluster, generation) = (ClusterId([1; 16]), Generation::default());
    let (member, incarnation, engine) = (member()?, Incarnation(1), String::new());
    let position = LogPosition::GENESIS;
    let (configuration, terms, digest) = (Configuration::default(), TermRuns::default(), StateDigest::default());
    Ok(Inspection {
        identity: Identity { cluster, generation, member, incarnation, engine },
        boot: 1,
        vote: LastVote { term: Term(term), granted_to: Some(Incarnation(1)), following: None },
        committed: ControlPlaneLogIndex(committed),
        snapshot: SnapshotMeta { position, configuration, configuration_at: position, terms, digest },
        log: records.iter().map(|(t, i)| LogRecord { position: at(*t, *i), body: RecordBody::Blank }).collect(),
    })
}

fn leaders() -> Result<(), Broken> {
    let mut leaders = Leaders::default();
    leaders.leads(Term(1), Incarnation(1))?;
    leaders.leads(Term(1), Incarnation(2)).map(drop)
}

fn ledger() -> Result<(), Broken> {
    let mut ledger = Ledger::default();
    ledger.grants(Incarnation(3), Term(1), Incarnation(1))?;
    ledger.grants(Incarnation(3), Term(1), Incarnation(2)).map(drop)
}

fn claims() -> Result<(), Broken> {
    Claim::Granted { term: Term(2), candidate: Incarnation(2) }.check(Incarnation(1), &image(1, &[], 0)?)
}

fn committed() -> Result<(), Broken> {
    let mut committed = Committed::default();
    committed.is(at(1, 1), None, "n0")?;
    committed.is(at(2, 1), None, "n1")
}

fn matching() -> Result<(), Broken> {
    let mut matching = Matching::default();
    matching.holds(at(1, 1), Fingerprint([1; 16]), None)?;
    matching.holds(at(1, 1), Fingerprint([2; 16]), None)
}

fn monotonic() -> Result<(), Broken> {
    let mut monotonic = Monotonic::default();
    monotonic.image(&image(2, &[(1, 1)], 1)?)?;
    monotonic.image(&image(1, &[(1, 1)], 1)?)
}

fn digests() -> Result<(), Broken> {
    let mut digests = Digests::default();
    digests.has(ControlPlaneLogIndex(1), StateDigest([1; 32]), "n0")?;
    digests.has(ControlPlaneLogIndex(1), StateDigest([2; 32]), "n1")
}

fn outcomes() -> Result<(), Broken> {
    let mut outcomes = Outcomes::default();
    outcomes.told(at(1, 1), Outcome::Superseded, None)?;
    outcomes.committed(at(1, 1))
}

fn register() -> Result<(), Broken> {
    let mut register = Register::default();
    let early = register.begin();
    register.acknowledged(early, at(1, 5))?;
    register.read(register.begin(), ControlPlaneLogIndex(4))
}

fn fencing() -> Result<(), Broken> {
    let collection = CollectionName::new("c").map_err(|error| scenario(error.to_string()))?;
    let range = RangeKey::new(collection, RangeId(1));
    let mut fencing = Fencing::default();
    let (owner, epoch, version) = (member()?, Epoch(2), Version(2));
    fencing.stands(ControlPlaneLogIndex(1), &range, &RangeStanding { owner, epoch, version })?;
    fencing.accepted(ControlPlaneLogIndex(2), &range, Fence { epoch: Epoch(1), version })
}
