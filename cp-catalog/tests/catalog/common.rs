//! What the tests of this crate share.

use bytes::Bytes;
use cp_catalog::*;
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, ControlPlaneStateMachine, Generation, Incarnation, LogPosition, MemberId,
    MemberKind, StateDigest, Term,
};

pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);

pub(crate) fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub(crate) fn coll(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(crate) fn rk(collection: &str, id: u64) -> RangeKey {
    RangeKey::new(coll(collection), RangeId(id))
}

pub(crate) fn key(bytes: &str) -> Key {
    Key::new(bytes.as_bytes()).unwrap()
}

/// Bounds from texts, where an empty text is an open end.
pub(crate) fn bounds(lower: &str, upper: &str) -> Bounds {
    let upper = if upper.is_empty() { Bound::Max } else { Bound::at(upper.as_bytes()).unwrap() };
    Bounds::new(Bound::at(lower.as_bytes()).unwrap(), upper).unwrap()
}

pub(crate) fn addresses(name: &str) -> Addresses {
    Addresses { peer: format!("{name}:7001"), client: format!("{name}:7002"), http: String::new() }
}

pub(crate) fn founder(name: &str, kind: MemberKind) -> FoundingMember {
    FoundingMember {
        id: id(name),
        kind,
        addresses: addresses(name),
        locality: Locality { domain: None, weight: 1 },
        features: Features::default(),
    }
}

/// Data members a, b, c and d, and the witness w, all voting.
pub(crate) fn founded() -> Catalog {
    founded_at(0)
}

/// The same, of releases that support `level`.
pub(crate) fn founded_at(level: u32) -> Catalog {
    let of_level =
        |name, kind| FoundingMember { features: Features { level, ..Features::default() }, ..founder(name, kind) };
    let mut founding: Vec<_> = ["a", "b", "c", "d"].map(|name| of_level(name, MemberKind::Data)).into();
    founding.push(of_level("w", MemberKind::Witness));
    Catalog::genesis(CLUSTER, Generation { number: 0, id: [1; 8] }, founding).unwrap()
}

pub(crate) fn life(catalog: &Catalog, name: &str) -> MemberLife {
    catalog.member(&id(name)).map(Member::life).unwrap_or(MemberLife { id: id(name), incarnation: Incarnation(999) })
}

pub(crate) fn everyone(catalog: &Catalog) -> std::collections::BTreeSet<Incarnation> {
    catalog.members().map(|member| member.incarnation).collect()
}

/// A machine and the next index, so that a test reads as a list of commands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: CatalogMachine,
    pub(crate) index: u64,
}

impl Node {
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self { machine: CatalogMachine::new(catalog, ControlPlaneLogIndex(0)), index: 0 }
    }

    pub(crate) fn run_as(&mut self, request: Option<RequestId>, command: impl Into<Command>) -> Verdict {
        self.index += 1;
        let entry = Request::new(request, command).to_entry().unwrap();
        self.machine.apply(LogPosition::new(Term(1), ControlPlaneLogIndex(self.index)), &entry).unwrap();
        self.machine.verdict(ControlPlaneLogIndex(self.index)).unwrap()
    }

    /// As asked by `client`, at a time that tells attempts apart.
    pub(crate) fn run_of(&mut self, client: &str, command: impl Into<Command>) -> Verdict {
        self.run_of_as(client, None, command)
    }

    pub(crate) fn run_of_as(&mut self, client: &str, id: Option<RequestId>, command: impl Into<Command>) -> Verdict {
        self.index += 1;
        let entry = Request::new(id, command).of(client_origin(client, self.index)).to_entry().unwrap();
        self.machine.apply(LogPosition::new(Term(1), ControlPlaneLogIndex(self.index)), &entry).unwrap();
        self.machine.verdict(ControlPlaneLogIndex(self.index)).unwrap()
    }

    pub(crate) fn run(&mut self, command: impl Into<Command>) -> Verdict {
        self.run_as(None, command)
    }

    pub(crate) fn done(&mut self, command: impl Into<Command>) -> Effect {
        self.run(command).into_result().unwrap()
    }

    pub(crate) fn refused(&mut self, command: impl Into<Command>) -> Refusal {
        let before = self.machine.digest();
        let refusal = self.run(command).into_result().unwrap_err();
        assert_eq!(self.machine.digest(), before, "a refused command must change nothing");
        refusal
    }

    pub(crate) fn catalog(&self) -> Catalog {
        self.machine.read(Catalog::clone)
    }

    pub(crate) fn range(&self, key: &RangeKey) -> Range {
        self.machine.read(|catalog| catalog.range(key).unwrap().clone())
    }

    pub(crate) fn fence(&self, key: &RangeKey) -> Fence {
        self.range(key).fence()
    }

    pub(crate) fn life(&self, name: &str) -> MemberLife {
        self.machine.read(|catalog| life(catalog, name))
    }

    pub(crate) fn everyone(&self) -> std::collections::BTreeSet<Incarnation> {
        self.machine.read(everyone)
    }
}

pub(crate) fn new_range(
    range: &RangeKey,
    bounds: Bounds,
    owner: &str,
    replicas: &[&str],
    archives: &[&str],
) -> NewRange {
    NewRange {
        range: range.clone(),
        mode: Mode::Ordered,
        bounds,
        owner: id(owner),
        replicas: replicas.iter().map(|name| id(name)).collect(),
        archives: archives.iter().map(|name| id(name)).collect(),
        placement: Placement { replication_factor: 3, ..Placement::default() },
    }
}

pub(crate) const fn at(term: u64, lsn: u64) -> DataPosition {
    DataPosition { term, lsn }
}

/// Evidence that `candidate` is safe, the gate of `range` closed under `epoch`.
pub(crate) fn evidence(range: &RangeKey, candidate: &str, epoch: Epoch) -> Evidence {
    Evidence {
        candidate: id(candidate),
        applied: at(3, 10),
        watermark: at(3, 10),
        closed_gate: Some(closed(range, epoch, at(3, 10))),
    }
}

/// That the gate of `range` was closed under `epoch`, after the write at `last`.
pub(crate) fn closed(range: &RangeKey, epoch: Epoch, last: DataPosition) -> ClosedGate {
    ClosedGate { range: range.clone(), epoch, last }
}

pub(crate) fn client_origin(client: &str, at_unix_ms: u64) -> Origin {
    Origin { principal: Principal::Client(ClientName::new(client).unwrap()), at_unix_ms }
}

/// A node with the ordered collection `books`, range 1 over everything: owner a, replica b, archive d.
pub(crate) fn library() -> (Node, RangeKey) {
    library_at(0)
}

/// The same at `level`.
pub(crate) fn library_at(level: u32) -> (Node, RangeKey) {
    let mut node = Node::new(founded_at(level));
    node.done(OwnershipCommand::CreateCollection {
        collection: coll("books"),
        group: group("shelf"),
        mode: Mode::Ordered,
    });
    let key = rk("books", 1);
    node.done(OwnershipCommand::CreateRange(new_range(&key, Bounds::ALL, "a", &["b"], &["d"])));
    (node, key)
}

/// Everybody upgrades, and then the cluster.
pub(crate) fn raise(node: &mut Node, members: &[&str], level: u32) {
    for name in members {
        let features = Features { level, ..Features::default() };
        node.done(MembershipCommand::SetFeatures { member: node.life(name), features });
    }
    node.done(MembershipCommand::RaiseFeatureLevel { to: level });
}

/// The whole state as chunks, and its digest.
pub(crate) fn captured(machine: &CatalogMachine) -> (Vec<Bytes>, StateDigest) {
    let mut reader = machine.snapshot().unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        chunks.push(chunk);
    }
    (chunks, reader.digest())
}

/// The state computed from its records alone.
pub(crate) fn rebuilt(machine: &CatalogMachine) -> Catalog {
    Catalog::from_chunks(&captured(machine).0).unwrap()
}
