//! A toy range store: its data path asks gates, and never the control plane.
//!
//! Three members keep books. The control plane orders who owns them (here a list of
//! entries; in earnest, the log behind `cp-seam`), the writes go from owner to replicas
//! by themselves. `cargo run -p cp-lease --example range_store` tells the story.

use cp_catalog::*;
use cp_lease::{GateRefusal, Grants, Holder, Margin, Monotonic, Policy};
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, ControlPlaneStateMachine, Generation, LogPosition, MemberId, MemberKind, Term,
};
use std::collections::BTreeMap;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A member of the store: a copy of the books, gates, and the catalog as far as it has followed it.
struct Node {
    life: MemberLife,
    catalog: CatalogMachine,
    gates: Holder,
    books: BTreeMap<String, String>,
    last: DataPosition,
}

/// What stands for the control plane and its leader.
struct ControlPlane {
    log: Vec<cp_seam::ControlPlaneEntry>,
    catalog: CatalogMachine,
    grants: Grants,
}

struct Store {
    control: ControlPlane,
    nodes: BTreeMap<MemberId, Node>,
}

/// One clock for all, to keep the story short; in earnest each process reads its own.
fn seconds(seconds: u64) -> Monotonic {
    Monotonic::from_nanos(seconds * 1_000_000_000)
}

impl ControlPlane {
    /// Commits a command, and has the leader's book follow.
    fn commit(&mut self, command: OwnershipCommand) -> Result<Effect, Failure> {
        let entry = Request::new(None, command).to_entry()?;
        apply(&self.catalog, &entry)?;
        self.log.push(entry);
        let (at, catalog) = self.catalog.read_at(|at, catalog| (at, catalog.clone()));
        self.grants.follow(at, catalog, &self.catalog.changes_from(self.grants.next(), usize::MAX))?;
        let verdict = self.catalog.verdict(at).ok_or("no verdict")?;
        Ok(verdict.into_result().map_err(|refusal| refusal.to_string())?)
    }
}

fn apply(catalog: &CatalogMachine, entry: &cp_seam::ControlPlaneEntry) -> Result<(), Failure> {
    let position = LogPosition::new(Term(1), catalog.applied().next());
    catalog.apply(position, entry).map_err(|halt| halt.reason.into())
}

impl Node {
    /// Applies what it has not of the log, as a member does that hears from the control plane.
    fn follow(&mut self, control: &ControlPlane) -> Result<(), Failure> {
        let applied = usize::try_from(self.catalog.applied().0)?;
        control.log.iter().skip(applied).try_for_each(|entry| apply(&self.catalog, entry))?;
        Ok(self.gates.follow(&self.catalog.changes_from(self.gates.next(), usize::MAX))?)
    }

    /// Follows, asks for a renewal at `now`, and gets the answer.
    fn renew(&mut self, control: &mut ControlPlane, now: Monotonic) -> Result<usize, Failure> {
        self.follow(control)?;
        let renewal = control.grants.grant(&self.life, now, now)?;
        Ok(self.gates.renew(&renewal, now)?)
    }

    /// The write path, below all routing: the gate alone says yes or no.
    fn write(&mut self, route: &Route, now: Monotonic, key: &str, text: &str) -> Result<DataPosition, GateRefusal> {
        self.gates.admit(&route.range, route.standing.epoch, now)?;
        self.books.insert(key.to_owned(), text.to_owned());
        self.last.lsn += 1;
        Ok(self.last)
    }
}

/// Where a client believes a key to be.
#[derive(Clone)]
struct Route {
    range: RangeKey,
    standing: RangeStanding,
}

fn route(catalog: &CatalogMachine, key: &str) -> Result<Route, Failure> {
    let collection = CollectionName::new("books")?;
    let found = catalog.read(|catalog| catalog.locate(&collection, key.as_bytes()).map(|r| (r.id, r.standing())));
    let (id, standing) = found.ok_or("no range covers the key")?;
    Ok(Route { range: RangeKey::new(collection, id), standing })
}

impl Store {
    fn node(&mut self, name: &str) -> Result<(&mut Node, &mut ControlPlane), Failure> {
        let node = self.nodes.get_mut(&MemberId::new(name)?).ok_or("no such member")?;
        Ok((node, &mut self.control))
    }

    /// A client's write: to the owner that its route names, and from there to every copy.
    fn put(&mut self, route: &Route, now: Monotonic, key: &str, text: &str) -> Result<(), GateRefusal> {
        let Some(owner) = self.nodes.get_mut(&route.standing.owner) else { return Ok(()) };
        let last = owner.write(route, now, key, text)?;
        for copy in self.nodes.values_mut() {
            copy.books.insert(key.to_owned(), text.to_owned());
            copy.last = last;
        }
        Ok(())
    }

    fn transfer(&mut self, to: &str, closed_gate: Option<ClosedGate>) -> Result<OwnershipCommand, Failure> {
        let candidate = MemberId::new(to)?;
        let Route { range, standing } = route(&self.control.catalog, "")?;
        let applied = self.node(to)?.0.last;
        let handed = closed_gate.is_some();
        let evidence = Some(Evidence { candidate: candidate.clone(), applied, watermark: applied, closed_gate });
        let fence = Fence { epoch: standing.epoch, version: standing.version };
        let transfer = Transfer { range, from: standing.owner, fence, to: candidate, evidence };
        Ok(if handed { OwnershipCommand::Handoff(transfer) } else { OwnershipCommand::Promote(transfer) })
    }
}

/// a owns all books, b and c have copies; leases of 10 s, a margin of 1 s.
fn open() -> Result<Store, Failure> {
    let founder = |name: &str| -> Result<FoundingMember, Failure> {
        Ok(FoundingMember {
            id: MemberId::new(name)?,
            kind: MemberKind::Data,
            addresses: Addresses { peer: format!("{name}:1"), client: format!("{name}:2"), http: String::new() },
            locality: Locality { domain: None, weight: 1 },
            features: Features::default(),
        })
    };
    let founding = NAMES.map(founder).into_iter().collect::<Result<Vec<_>, _>>()?;
    let genesis = Catalog::genesis(ClusterId([1; 16]), Generation::default(), founding)?;
    // Ten seconds: what a cluster has that was founded with nothing else.
    let longest = genesis.longest_lease();
    let machine = || CatalogMachine::new(genesis.clone(), ControlPlaneLogIndex(0));
    let policy = Policy::new(longest.length(), Margin::new(Duration::from_secs(1)))?;
    let at = ControlPlaneLogIndex(0);
    let grants = Grants::begin(Term(1), at, genesis.clone(), policy, seconds(0));
    let mut control = ControlPlane { log: Vec::new(), catalog: machine(), grants };
    let (collection, mode) = (CollectionName::new("books")?, Mode::Ordered);
    let group = GroupName::new("shelf")?;
    control.commit(OwnershipCommand::CreateCollection { collection: collection.clone(), group, mode })?;
    control.commit(OwnershipCommand::CreateRange(NewRange {
        range: RangeKey::new(collection, RangeId(1)),
        mode,
        bounds: Bounds::ALL,
        owner: MemberId::new("a")?,
        replicas: [MemberId::new("b")?, MemberId::new("c")?].into_iter().collect(),
        archives: Copies::default(),
        placement: Placement::default(),
    }))?;
    let nodes = genesis.members().map(|member| {
        let gates = Holder::new(member.life(), policy.margin(), at, &genesis, []);
        let last = DataPosition { term: 1, lsn: 0 };
        let node = Node { life: member.life(), catalog: machine(), gates, books: BTreeMap::new(), last };
        (member.id.clone(), node)
    });
    Ok(Store { nodes: nodes.collect(), control })
}

/// The story.
pub(crate) fn run() -> Result<(), Failure> {
    let mut store = open()?;
    let (node, control) = store.node("a")?;
    node.renew(control, seconds(20))?;
    let first = route(&store.control.catalog, "")?;
    let entries = store.control.log.len();
    for n in 0..1000 {
        store.put(&first, seconds(21), &format!("book {n}"), "by a")?;
    }
    assert_eq!(store.control.log.len(), entries);
    println!("a took 1000 writes; the control plane's log has {entries} entries, as before (CP-S4)");

    // A handoff: a closes its gate, so b need not wait.
    let (node, _) = store.node("a")?;
    let last = node.last;
    let closed = node.gates.close(&first.range, last)?;
    let handoff = store.transfer("b", Some(closed))?;
    println!("handoff: {}", store.control.commit(handoff)?);
    let (node, control) = store.node("b")?;
    node.renew(control, seconds(22))?;
    let refusal = store.put(&first, seconds(22), "book 7", "by a").err().ok_or("a stale owner wrote")?;
    assert!(matches!(refusal, GateRefusal::Revoked { .. }));
    println!("a client with the old route: {refusal}");
    store.node("a").and_then(|(node, control)| node.follow(control))?;
    let second = Route { standing: route(&store.node("a")?.0.catalog, "")?.standing, ..first.clone() };
    store.put(&second, seconds(22), "book 7", "by b")?;
    let late = Route { standing: RangeStanding { owner: second.standing.owner.clone(), ..first.standing }, ..first };
    let refusal = store.put(&late, seconds(22), "book 7", "late").err().ok_or("a stale epoch wrote")?;
    assert!(matches!(refusal, GateRefusal::EpochSuperseded { .. }));
    println!("a write that was under way since before the handoff: {refusal} (CP-S5)");

    // b is cut off: it hears of nothing, and c is promoted without its word.
    let promotion = store.transfer("c", None)?;
    println!("promotion at 25 s: {}", store.control.commit(promotion)?);
    let third = route(&store.control.catalog, "")?;
    for now in 25..40 {
        let (node, control) = store.node("c")?;
        node.renew(control, seconds(now))?;
        let old = store.put(&second, seconds(now), "book 9", "by b").err();
        let new = store.put(&third, seconds(now), "book 9", "by c").err();
        assert!(old.is_some() || new.is_some(), "two owners wrote at {now} s");
        // b asked at 22 s for 10 s: it stops a second early, c begins a second late.
        assert_eq!((old.is_none(), new.is_none()), (now < 31, now >= 33), "at {now} s");
        if let (31, Some(old), Some(new)) = (now, &old, &new) {
            println!("at 31 s: {old}\nat 31 s: {new}");
        }
    }
    assert!(store.nodes.values().all(|node| node.books.get("book 9").is_some_and(|text| text == "by c")));
    println!("c wrote from 33 s on; b, which never heard of it, stopped by itself (CP-S5)");
    Ok(())
}

#[allow(dead_code, reason = "a test runs the story itself")]
fn main() -> Result<(), Failure> {
    run()
}
