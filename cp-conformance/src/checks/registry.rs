//! Every checker, with a bad history of its own at which it has to object: a checker
//! that is disabled or cannot fire is found by running them.

use super::audit::{self, Claim};
use super::{
    Broken, Fingerprint, applied, committed, completeness, damage, digests, fencing, gates, invariants, leaders,
    ledger, matching, monotonic, outcomes, quorum, register, transitions,
};
use crate::promise::Promise;
use crate::world::scenario;
use cp_catalog::{
    Addresses, Bounds, Catalog, ClosedGate, CollectionName, Copies, DataPosition, Epoch, Evidence, Features, Fence,
    FoundingMember, GroupName, Locality, Mode, NewRange, OwnershipCommand, Placement, RangeId, RangeKey, RangeStanding,
    Request, Transfer, Version,
};
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, Generation, Incarnation, LastVote, LogPosition, MemberId, MemberKind, Outcome,
    QuorumMember, StateDigest, Term,
};
use cp_store::{Configuration, Identity, Inspection, LogRecord, RecordBody, SnapshotMeta, TermRuns};

/// A checker.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name, as a violation bears it.
    pub name: &'static str,
    /// The promise that it is there for, of several the first.
    pub promise: Promise,
    /// Feeds it a bad history: it must object, under its own name.
    pub bad_history: fn() -> Result<(), Broken>,
}

impl Check {
    /// Objects if this checker does not object to its bad history.
    pub fn self_test(&self) -> Result<(), Broken> {
        match (self.bad_history)() {
            Err(broken) if broken.checker == self.name => Ok(()),
            Err(broken) => Err(Broken::new("self-test", Promise::E1, format!("for {} came {broken}", self.name))),
            Ok(()) => Err(Broken::new("self-test", Promise::E1, format!("{} let a bad history pass", self.name))),
        }
    }
}

const fn check(name: &'static str, promise: Promise, bad_history: fn() -> Result<(), Broken>) -> Check {
    Check { name, promise, bad_history }
}

/// Every checker that has a book of its own. The others are inside the run: liveness,
/// an unexpected stop or panic, a start that fails, acknowledged entries that are missing.
pub const ALL: &[Check] = &[
    check(leaders::Leaders::NAME, Promise::S1, || {
        let mut leaders = leaders::Leaders::default();
        leaders.leads(Term(1), Incarnation(1))?;
        leaders.leads(Term(1), Incarnation(2)).map(drop)
    }),
    check(ledger::Ledger::NAME, Promise::S3, || {
        let mut ledger = ledger::Ledger::default();
        ledger.grants(Incarnation(3), Term(1), Incarnation(1))?;
        ledger.grants(Incarnation(3), Term(1), Incarnation(2)).map(drop)
    }),
    check(audit::NAME, Promise::D1, || {
        let image = image(&[(1, 1)], 0)?;
        Claim::Holds { term: Term(1), up_to: ControlPlaneLogIndex(2) }.check(Incarnation(1), &image)
    }),
    check(quorum::NAME, Promise::S2, quorum::bad_history),
    check(completeness::NAME, Promise::S2, completeness::bad_history),
    check(committed::Committed::NAME, Promise::S2, || {
        let mut committed = committed::Committed::default();
        committed.is(position((1, 1)), None, "n0")?;
        committed.is(position((2, 1)), None, "n1")
    }),
    check(matching::Matching::NAME, Promise::S2, || {
        let mut matching = matching::Matching::default();
        matching.holds(position((1, 1)), Fingerprint([1; 16]), None)?;
        matching.holds(position((1, 1)), Fingerprint([2; 16]), None)
    }),
    check(monotonic::Monotonic::NAME, Promise::S3, || {
        let mut monotonic = monotonic::Monotonic::default();
        monotonic.image(&image(&[(1, 1), (1, 2)], 2)?)?;
        monotonic.image(&image(&[(1, 1), (1, 2)], 1)?)
    }),
    check(applied::Applied::NAME, Promise::S2, applied::Applied::bad_history),
    check(register::Register::NAME, Promise::P4, || {
        let mut register = register::Register::default();
        register.acknowledged(register.begin(), position((1, 5)))?;
        register.read(register.begin(), ControlPlaneLogIndex(4))
    }),
    check(transitions::Transitions::NAME, Promise::S5, transitions::Transitions::bad_history),
    check(outcomes::Outcomes::NAME, Promise::P1, || {
        let mut outcomes = outcomes::Outcomes::default();
        outcomes.refused(Fingerprint([1; 16]))?;
        outcomes.told(position((1, 1)), Outcome::Superseded, None)?;
        outcomes.logged(position((1, 2)), Fingerprint([1; 16]))
    }),
    check(fencing::Fencing::NAME, Promise::S5, || {
        let (range, standing) = range()?;
        let mut fencing = fencing::Fencing::default();
        fencing.stands(ControlPlaneLogIndex(1), &range, &standing)?;
        fencing.stands(ControlPlaneLogIndex(2), &range, &standing)
    }),
    check(gates::Gates::NAME, Promise::S5, gates::Gates::bad_history),
    check(invariants::Invariants::NAME, Promise::S5, || {
        // A state that has gone back: every epoch in it is one that was left behind.
        let newer = ranged(Epoch(2)).ok_or_else(|| scenario("no state"))?;
        let older = ranged(Epoch(1)).ok_or_else(|| scenario("no state"))?;
        let mut invariants = invariants::Invariants::default();
        invariants.becomes(newer, "n0")?;
        invariants.becomes(older, "n0")
    }),
    check(digests::Digests::NAME, Promise::R3, || {
        let mut digests = digests::Digests::default();
        digests.has(ControlPlaneLogIndex(1), StateDigest([1; 32]), "n0")?;
        digests.has(ControlPlaneLogIndex(1), StateDigest([2; 32]), "n1")
    }),
    check(damage::NAME, Promise::D4, || {
        let (before, after) = (image(&[(1, 1), (1, 2)], 2)?, image(&[(1, 1)], 1)?);
        damage::told("n0", &before, Some(&after))
    }),
];

pub(super) fn position((term, index): (u64, u64)) -> LogPosition {
    LogPosition::new(Term(term), ControlPlaneLogIndex(index))
}

/// A disk of member 1 with these blank records.
pub(super) fn image(records: &[(u64, u64)], committed: u64) -> Result<Inspection, Broken> {
    image_of(&[1], records, committed)
}

/// The same in a cluster of these voters.
pub(super) fn image_of(members: &[u64], records: &[(u64, u64)], committed: u64) -> Result<Inspection, Broken> {
    let member = MemberId::new("m1").map_err(|error| scenario(error.to_string()))?;
    let blank = |record: &(u64, u64)| LogRecord { position: position(*record), body: RecordBody::Blank };
    Ok(Inspection {
        identity: Identity {
            cluster: ClusterId([1; 16]),
            generation: Generation::default(),
            member,
            incarnation: Incarnation(1),
            engine: "test".to_owned(),
        },
        boot: 1,
        vote: LastVote::default(),
        committed: ControlPlaneLogIndex(committed),
        snapshot: SnapshotMeta {
            position: LogPosition::GENESIS,
            configuration: voters(members),
            configuration_at: LogPosition::GENESIS,
            terms: TermRuns::default(),
            digest: StateDigest::default(),
        },
        log: records.iter().map(blank).collect(),
    })
}

/// A uniform configuration of these voters.
pub(super) fn voters(members: &[u64]) -> Configuration {
    let voter = |number: &u64| {
        let id = MemberId::new(&format!("m{number}")).ok()?;
        let (kind, address) = (MemberKind::Data, String::new());
        Some(QuorumMember { incarnation: Incarnation(*number), id, kind, address })
    };
    Configuration { voters: members.iter().filter_map(voter).collect(), ..Configuration::default() }
}

/// A range, and how it stands.
pub(super) fn range() -> Result<(RangeKey, RangeStanding), Broken> {
    let owner = MemberId::new("m1").map_err(|error| scenario(error.to_string()))?;
    let collection = CollectionName::new("c").map_err(|error| scenario(error.to_string()))?;
    let standing = RangeStanding { owner, epoch: Epoch(1), version: Version(1) };
    Ok((RangeKey::new(collection, RangeId(1)), standing))
}

/// A state with one range, whose epoch is `epoch`: 1, or 2 after a handoff.
fn ranged(epoch: Epoch) -> Option<Catalog> {
    let [a, b] = ["a", "b"].map(MemberId::new);
    let (a, b) = (a.ok()?, b.ok()?);
    let founder = |id: &MemberId| FoundingMember {
        id: id.clone(),
        kind: MemberKind::Data,
        addresses: Addresses { peer: "h:1".to_owned(), client: "h:2".to_owned(), http: String::new() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let founders = vec![founder(&a), founder(&b)];
    let mut catalog = Catalog::genesis(ClusterId([1; 16]), Generation::default(), founders).ok()?;
    let collection = CollectionName::new("c").ok()?;
    let range = RangeKey::new(collection.clone(), RangeId(1));
    let create =
        OwnershipCommand::CreateCollection { collection, group: GroupName::new("g").ok()?, mode: Mode::Ordered };
    let new = NewRange {
        range: range.clone(),
        mode: Mode::Ordered,
        bounds: Bounds::ALL,
        owner: a.clone(),
        replicas: [b.clone()].into_iter().collect(),
        archives: Copies::default(),
        placement: Placement::default(),
    };
    let mut commands = vec![create, OwnershipCommand::CreateRange(new)];
    if epoch > Epoch(1) {
        let applied = DataPosition::default();
        let closed_gate = Some(ClosedGate { range: range.clone(), epoch: Epoch(1), last: applied });
        let evidence = Some(Evidence { candidate: b.clone(), applied, watermark: applied, closed_gate });
        let fence = Fence { epoch: Epoch(1), version: Version(1) };
        commands.push(OwnershipCommand::Handoff(Transfer { range, from: a, fence, to: b, evidence }));
    }
    for (command, index) in commands.into_iter().zip(1..) {
        let entry = Request::new(None, command).to_entry().ok()?;
        catalog.apply(ControlPlaneLogIndex(index), &entry).verdict.into_result().ok()?;
    }
    Some(catalog)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_checker_objects_to_its_bad_history() {
        for check in ALL {
            check.self_test().unwrap();
        }
        assert_eq!(ALL.iter().map(|check| check.name).collect::<BTreeSet<_>>().len(), ALL.len());
        let blind = Check { bad_history: || Ok(()), ..ALL[0] };
        assert!(blind.self_test().is_err() && Check { name: "other", ..ALL[0] }.self_test().is_err());
    }
}
