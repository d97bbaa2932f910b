//! What the tests of this crate share.

use cp_catalog::*;
use cp_lease::{Margin, Monotonic, Policy};
use cp_seam::{
    ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, Generation, LogPosition, MemberId,
    MemberKind, Term,
};
use std::time::Duration;

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

pub(crate) fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub(crate) fn books() -> CollectionName {
    CollectionName::new("books").unwrap()
}

pub(crate) fn rk(id: u64) -> RangeKey {
    RangeKey::new(books(), RangeId(id))
}

pub(crate) const fn at(nanos: u64) -> Monotonic {
    Monotonic::from_nanos(nanos)
}

/// Leases of 40 with clocks that are wrong by up to a quarter: a margin of 10.
pub(crate) fn policy() -> Policy {
    let length = Duration::from_nanos(40);
    Policy::new(length, Margin::for_drift(length, 250_000)).unwrap()
}

/// A position that every copy has, and no write comes after.
pub(crate) const LAST: DataPosition = DataPosition { term: 1, lsn: 1 };

pub(crate) fn entry(command: impl Into<Command>) -> ControlPlaneEntry {
    Request::new(None, command).to_entry().unwrap()
}

/// Data members a, b and c, and range 1 of all books: a's, with replicas at b and c.
pub(crate) fn library() -> CatalogMachine {
    library_of(0, &["b", "c"], &[])
}

/// As [`library`], at a feature level, with the copies of range 1 as they are named.
pub(crate) fn library_of(level: u32, replicas: &[&str], archives: &[&str]) -> CatalogMachine {
    founded(policy().length(), level, replicas, archives)
}

/// As [`library`], with another longest lease.
pub(crate) fn library_with(longest: Duration) -> CatalogMachine {
    founded(longest, 0, &["b", "c"], &[])
}

fn founded(longest: Duration, level: u32, replicas: &[&str], archives: &[&str]) -> CatalogMachine {
    let founder = |name| FoundingMember {
        id: id(name),
        kind: MemberKind::Data,
        addresses: Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() },
        locality: Locality { domain: None, weight: 1 },
        features: Features { level, ..Features::default() },
    };
    let generation = Generation { number: 0, id: [1; 8] };
    let catalog = Catalog::genesis(ClusterId([7; 16]), generation, NAMES.map(founder).into()).unwrap();
    let catalog = catalog.with_longest_lease(LongestLease::new(longest).unwrap());
    let machine = CatalogMachine::new(catalog, ControlPlaneLogIndex(0));
    let group = GroupName::new("shelf").unwrap();
    done(&machine, OwnershipCommand::CreateCollection { collection: books(), group, mode: Mode::Ordered });
    let copies = |names: &[&str]| names.iter().copied().map(id).collect();
    let (replicas, archives) = (copies(replicas), copies(archives));
    done(&machine, OwnershipCommand::CreateRange(NewRange { replicas, archives, ..new_range(1, Bounds::ALL) }));
    machine
}

pub(crate) fn new_range(id: u64, bounds: Bounds) -> NewRange {
    NewRange {
        range: rk(id),
        mode: Mode::Ordered,
        bounds,
        owner: self::id("a"),
        replicas: ["b", "c"].map(self::id).into_iter().collect(),
        archives: Copies::default(),
        placement: Placement::default(),
    }
}

pub(crate) fn apply(machine: &CatalogMachine, entry: &ControlPlaneEntry) -> Verdict {
    let index = machine.applied().next();
    machine.apply(LogPosition::new(Term(1), index), entry).unwrap();
    machine.verdict(index).unwrap()
}

pub(crate) fn done(machine: &CatalogMachine, command: impl Into<Command>) -> Effect {
    apply(machine, &entry(command)).into_result().unwrap()
}

pub(crate) fn life(machine: &CatalogMachine, name: &str) -> MemberLife {
    machine.read(|catalog| catalog.member(&id(name)).unwrap().life())
}

pub(crate) fn range(machine: &CatalogMachine, key: &RangeKey) -> Range {
    machine.read(|catalog| catalog.range(key).unwrap().clone())
}

/// Moves `key` to `to`, whose copy has everything; with the closed gate it is a handoff.
pub(crate) fn transfer(
    catalog: &Catalog,
    key: &RangeKey,
    to: &str,
    closed_gate: Option<ClosedGate>,
) -> OwnershipCommand {
    let range = catalog.range(key).unwrap();
    let handed = closed_gate.is_some();
    let evidence = Evidence { candidate: id(to), applied: LAST, watermark: LAST, closed_gate };
    let transfer = Transfer {
        range: key.clone(),
        from: range.owner.clone(),
        fence: range.fence(),
        to: id(to),
        evidence: Some(evidence),
    };
    if handed { OwnershipCommand::Handoff(transfer) } else { OwnershipCommand::Promote(transfer) }
}

pub(crate) fn promote(machine: &CatalogMachine, key: &RangeKey, to: &str) -> Effect {
    let command = machine.read(|catalog| transfer(catalog, key, to, None));
    done(machine, command)
}

pub(crate) fn split(machine: &CatalogMachine, key: &RangeKey, at: &str, new_id: u64) -> Effect {
    let fence = range(machine, key).fence();
    let at = Key::new(at.as_bytes()).unwrap();
    done(machine, OwnershipCommand::Split { range: key.clone(), fence, at, new_id: RangeId(new_id) })
}

pub(crate) fn merge(machine: &CatalogMachine, survivor: &RangeKey, retired: &RangeKey) -> Effect {
    let (fence, retired_fence) = (range(machine, survivor).fence(), range(machine, retired).fence());
    let (survivor, retired) = (survivor.clone(), retired.id);
    done(machine, OwnershipCommand::Merge { survivor, fence, retired, retired_fence })
}
