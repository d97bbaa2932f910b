//! States of many ranges, and entries that change them. The same draws every time.

use cp_catalog::{
    Addresses, Admission, Bound, Bounds, Catalog, ClosedGate, CollectionName, Copies, CopyEdit, DataPosition, Evidence,
    FEATURE_LEVEL, Features, FoundingMember, GroupName, Joining, Key, Locality, MembershipCommand, Mode, NewRange,
    OwnershipCommand, Placement, Range, RangeId, RangeKey, Request, TokenHash, Transfer,
};
use cp_seam::{ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, Generation, MemberId, MemberKind};

/// How many members hold the ranges; three of them vote.
pub(crate) const MEMBERS: u64 = 1000;

/// Uniform draws (splitmix64).
#[derive(Debug)]
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    pub(crate) fn key(&mut self, len: usize) -> Vec<u8> {
        let mut key: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_be_bytes()).collect();
        key.truncate(len);
        key
    }
}

/// How many ranges, and how they are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) collections: u64,
    /// In each collection.
    pub(crate) ranges: u64,
    /// Of each bound, in bytes.
    pub(crate) key_len: usize,
}

pub(crate) fn member(number: u64) -> MemberId {
    MemberId::new(&format!("data-{number:04}")).expect("a legal name")
}

pub(crate) fn collection(number: u64) -> CollectionName {
    CollectionName::new(&format!("collection-{number:05}")).expect("a legal name")
}

pub(crate) fn entry(command: impl Into<cp_catalog::Command>) -> ControlPlaneEntry {
    Request::new(None, command).to_entry().expect("short")
}

fn placement(kind: u64) -> Placement {
    let attributes = [("tier".to_owned(), format!("tier-{kind}")), ("disk".to_owned(), "nvme".to_owned())];
    Placement { replication_factor: 3, attributes: attributes.into() }
}

/// Three different members.
fn three(draws: &mut Draws) -> [u64; 3] {
    let first = draws.below(MEMBERS);
    let second = (first + 1 + draws.below(MEMBERS - 2)) % MEMBERS;
    let third = (0..).map(|_| draws.below(MEMBERS)).find(|third| *third != first && *third != second);
    [first, second, third.expect("there are more than two")]
}

fn addresses(number: u64) -> Addresses {
    let at = |port| format!("10.0.{}.{}:{port}", number / 250, number % 250);
    Addresses { peer: at(7401), client: at(7402), http: String::new() }
}

/// Those of this release: below its level a cluster reads every payload as an older one would.
fn features() -> Features {
    Features { level: FEATURE_LEVEL, ..Features::default() }
}

const LOCALITY: Locality = Locality { domain: None, weight: 100 };

/// A state and the next index.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) catalog: Catalog,
    pub(crate) index: u64,
}

impl Filling {
    pub(crate) fn apply(&mut self, entry: &ControlPlaneEntry) {
        let applied = self.catalog.apply(ControlPlaneLogIndex(self.index), entry);
        self.index += 1;
        assert!(applied.verdict.is_done(), "{}", applied.verdict);
    }
}

/// [`MEMBERS`] members and no ranges.
pub(crate) fn founded() -> Filling {
    let founding = (0..3).map(|number| FoundingMember {
        id: member(number),
        kind: MemberKind::Data,
        addresses: addresses(number),
        locality: LOCALITY,
        features: features(),
    });
    let cluster = ClusterId([7; 16]);
    let catalog = Catalog::genesis(cluster, Generation::default(), founding.collect()).expect("a founding state");
    let mut filling = Filling { catalog, index: 1 };
    for number in 3..MEMBERS {
        let (id, kind, token_hash) = (member(number), MemberKind::Data, TokenHash([1; 32]));
        filling.apply(&entry(MembershipCommand::Admit(Admission {
            member: id.clone(),
            kind,
            token_hash,
            locality: LOCALITY,
            standby: true,
        })));
        let life = filling.catalog.member(&id).expect("admitted").life();
        let (addresses, features) = (addresses(number), features());
        let joining = Joining { cluster, member: life, token_hash, kind, addresses, features };
        filling.apply(&entry(MembershipCommand::Joined(joining)));
    }
    filling
}

/// A state of this layout. Ranges are made in random order, by entries.
pub(crate) fn filled(layout: Layout) -> Filling {
    let mut filling = founded();
    let mut draws = Draws(1);
    let group = GroupName::new("shop").expect("a legal name");
    filling.apply(&entry(OwnershipCommand::AssignAuthority { group: group.clone(), holder: member(0) }));
    let mut order = Vec::new();
    for number in 0..layout.collections {
        let collection = collection(number);
        filling.apply(&entry(OwnershipCommand::CreateCollection {
            collection,
            group: group.clone(),
            mode: Mode::Ordered,
        }));
        let mut keys: Vec<_> = (1..layout.ranges).map(|_| draws.key(layout.key_len)).collect();
        keys.sort();
        let bound = |key: &Vec<u8>| Bound::at(key).expect("short");
        let bounds = [Bound::Min].into_iter().chain(keys.iter().map(bound)).chain([Bound::Max]).collect::<Vec<_>>();
        order.extend(bounds.windows(2).enumerate().map(|(at, pair)| {
            let [lower, upper] = pair else { unreachable!("windows of two") };
            (number, at as u64 + 1, Bounds::new(lower.clone(), upper.clone()).expect("keys differ"))
        }));
    }
    draws.shuffle(&mut order);
    for (number, id, bounds) in order {
        let [owner, one, two] = three(&mut draws).map(member);
        filling.apply(&entry(OwnershipCommand::CreateRange(NewRange {
            range: RangeKey::new(collection(number), RangeId(id)),
            mode: Mode::Ordered,
            bounds,
            owner,
            replicas: [one, two].into_iter().collect::<Copies>(),
            archives: Copies::default(),
            placement: placement(number % 4),
        })));
    }
    filling
}

/// Entries that change ranges of `catalog`, each another one: 40 % handoffs, 20 % promotions, 15 %
/// new and 5 % dropped replicas, 5 % placements, 15 % splits.
pub(crate) fn transitions(catalog: &Catalog, layout: Layout, count: usize) -> Vec<ControlPlaneEntry> {
    let mut draws = Draws(2);
    let mut ids: Vec<(u64, u64)> =
        (0..layout.collections).flat_map(|number| (1..=layout.ranges).map(move |id| (number, id))).collect();
    draws.shuffle(&mut ids);
    let of = |(number, id)| {
        let key = RangeKey::new(collection(number), RangeId(id));
        let range = catalog.range(&key).expect("it was made").clone();
        let (kind, new_id) = (draws.below(100), RangeId(layout.ranges + id));
        entry(transition(&mut draws, key, &range, kind, new_id, layout.key_len))
    };
    ids.into_iter().take(count).map(of).collect()
}

/// To a replica, after the owner has stopped serving.
pub(crate) fn handoff(range: RangeKey, was: &Range) -> OwnershipCommand {
    let gate = ClosedGate { range: range.clone(), epoch: was.epoch, last: AT };
    OwnershipCommand::Handoff(transfer(range, was, Some(gate)))
}

const AT: DataPosition = DataPosition { term: 1, lsn: 1 };

fn transfer(range: RangeKey, was: &Range, closed_gate: Option<ClosedGate>) -> Transfer {
    let to = was.replicas.iter().next().expect("it has replicas").clone();
    Transfer {
        range,
        from: was.owner.clone(),
        fence: was.fence(),
        to: to.clone(),
        evidence: Some(Evidence { candidate: to, applied: AT, watermark: AT, closed_gate }),
    }
}

fn transition(
    draws: &mut Draws,
    range: RangeKey,
    was: &Range,
    kind: u64,
    new_id: RangeId,
    key_len: usize,
) -> OwnershipCommand {
    let fence = was.fence();
    let to = was.replicas.iter().next().expect("it has replicas").clone();
    match kind {
        0..40 => handoff(range, was),
        40..60 => OwnershipCommand::Promote(transfer(range, was, None)),
        60..75 => {
            let newcomer = (0..).map(|_| member(draws.below(MEMBERS))).find(|member| was.role(member).is_none());
            let member = newcomer.expect("there are more members than copies");
            OwnershipCommand::AddReplica(CopyEdit { range, fence, member })
        }
        75..80 => OwnershipCommand::RemoveReplica(CopyEdit { range, fence, member: to.clone() }),
        80..85 => OwnershipCommand::SetPlacement { range, fence, placement: placement(4 + draws.below(4)) },
        _ => {
            let mut at = match was.bounds.lower() {
                Bound::Key(lower) => lower.as_bytes().to_vec(),
                Bound::Min | Bound::Max => Vec::new(),
            };
            at.resize(key_len + 4, 0);
            at.extend_from_slice(&draws.next().to_be_bytes());
            OwnershipCommand::Split { range, fence, at: Key::new(&at).expect("short"), new_id }
        }
    }
}
