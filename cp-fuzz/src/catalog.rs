//! Commands, verdicts, records and snapshots of the replicated state.

use bytes::Bytes;
use cp_catalog::codec::{
    decode_collection, decode_member, decode_range, encode_collection, encode_member, encode_range,
};
use cp_catalog::{
    Addresses, Bounds, Catalog, ClientId, CollectionName, DataPosition, Evidence, Features, Fence, FoundingMember,
    GroupName, Key, Locality, MembershipCommand, Mode, NewRange, OwnershipCommand, Placement, RangeId, RangeKey,
    Request, RequestId, Transfer, Verdict, decode_verdict, encode_verdict,
};
use cp_seam::{
    ClusterId, ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Generation, MemberId, MemberKind,
};

fn known<T, E: std::fmt::Debug>(value: Result<T, E>) -> T {
    value.unwrap_or_else(|error| unreachable!("it is legal: {error:?}"))
}

fn id(name: &str) -> MemberId {
    known(MemberId::new(name))
}

fn range_key(number: u64) -> RangeKey {
    RangeKey::new(known(CollectionName::new("books")), RangeId(number))
}

/// Three data members and a range.
fn small() -> Catalog {
    let founder = |name: &str| FoundingMember {
        id: id(name),
        kind: MemberKind::Data,
        addresses: Addresses { peer: "p:1".into(), client: "c:1".into(), http: String::new() },
        locality: Locality { domain: None, weight: 1 },
        features: Features::default(),
    };
    let founders = ["a", "b", "c"].map(founder).into();
    let mut catalog = known(Catalog::genesis(ClusterId([7; 16]), Generation { number: 1, id: [1; 8] }, founders));
    for (index, request) in (1..).zip(founding()) {
        let entry = known(request.to_entry());
        let verdict = catalog.apply(ControlPlaneLogIndex(index), &entry).verdict;
        assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
    }
    catalog
}

fn request(sequence: u64, command: impl Into<cp_catalog::Command>) -> Request {
    let id = RequestId { client: ClientId([3; 16]), since: ControlPlaneLogIndex(0), sequence };
    Request::new(Some(id), command)
}

fn founding() -> [Request; 2] {
    let (collection, group) = (range_key(1).collection, known(GroupName::new("shelf")));
    let range = NewRange {
        range: range_key(1),
        mode: Mode::Ordered,
        bounds: Bounds::ALL,
        owner: id("a"),
        replicas: std::iter::once(id("b")).collect(),
        archives: std::iter::once(id("c")).collect(),
        placement: Placement { replication_factor: 2, attributes: [("disk".to_owned(), "ssd".to_owned())].into() },
    };
    [
        request(1, OwnershipCommand::CreateCollection { collection, group, mode: Mode::Ordered }),
        request(2, OwnershipCommand::CreateRange(range)),
    ]
}

/// The first byte is the kind of the entry. What is refused changes nothing but
/// what is remembered of the client, and the state keeps its invariants.
pub(crate) fn command(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let kind = match kind % 2 {
        0 => ControlPlaneEntryKind::MembershipChange,
        _ => ControlPlaneEntryKind::OwnershipTransition,
    };
    let Ok(payload) = ControlPlanePayload::new(body.to_vec()) else { return };
    let entry = kind.entry(payload);
    let mut catalog = small();
    let before = catalog.digest();
    let applied = catalog.apply(ControlPlaneLogIndex(10), &entry);
    assert_eq!(decode_verdict(&encode_verdict(&applied.verdict)), Ok(applied.verdict.clone()));
    // What this level does not know of is passed over, so that not all is read that a later one reads.
    let Some(read) = applied.request else {
        return assert_eq!(catalog.digest(), before, "what cannot be read changes nothing");
    };
    let again = known(read.to_entry());
    assert_eq!(Request::from_entry(&again), Ok(read.clone()));
    if read.id.is_none() && matches!(applied.verdict, Verdict::Refused(_)) {
        assert_eq!(catalog.digest(), before, "what is refused changes nothing");
    }
    assert!(catalog.violations().is_empty(), "{:?}", catalog.violations());
}

pub(crate) fn command_corpus() -> Vec<Vec<u8>> {
    let fence = small()
        .range(&range_key(1))
        .map_or(Fence { epoch: Default::default(), version: Default::default() }, |r| r.fence());
    let at = DataPosition { term: 1, lsn: 1 };
    let evidence = Evidence { candidate: id("b"), applied: at, watermark: at, closed_gate: None };
    let transfer = Transfer { range: range_key(1), from: id("a"), fence, to: id("b"), evidence: Some(evidence) };
    let split =
        OwnershipCommand::Split { range: range_key(1), fence, at: known(Key::new("m".as_bytes())), new_id: RangeId(2) };
    let placement = OwnershipCommand::SetPlacement { range: range_key(1), fence, placement: Placement::default() };
    let member = small().member(&id("c")).map(cp_catalog::Member::life);
    let mut all: Vec<_> = founding().into();
    all.extend([request(3, OwnershipCommand::Promote(transfer)), request(3, split), request(3, placement)]);
    all.extend(member.into_iter().map(|member| Request::new(None, MembershipCommand::Drain { member })));
    all.iter()
        .map(|request| {
            let entry = known(request.to_entry());
            let kind = u8::from(entry.kind() == ControlPlaneEntryKind::OwnershipTransition);
            [&[kind], &**entry.payload().as_bytes()].concat()
        })
        .collect()
}

/// Members, collections, ranges and verdicts by themselves.
pub(crate) fn record(data: &[u8]) {
    if let Ok(member) = decode_member(data) {
        assert_eq!(decode_member(&encode_member(&member)), Ok(member));
    }
    if let Ok(collection) = decode_collection(data) {
        assert_eq!(decode_collection(&encode_collection(&collection)), Ok(collection));
    }
    if let Ok(range) = decode_range(data) {
        assert_eq!(decode_range(&encode_range(&range)), Ok(range));
    }
    if let Ok(verdict) = decode_verdict(data) {
        assert_eq!(decode_verdict(&encode_verdict(&verdict)), Ok(verdict));
    }
}

pub(crate) fn record_corpus() -> Vec<Vec<u8>> {
    let catalog = small();
    let mut all: Vec<_> = catalog.members().map(encode_member).collect();
    all.extend(catalog.collections().map(encode_collection));
    all.extend(catalog.ranges(&range_key(1).collection).map(encode_range));
    for data in command_corpus() {
        if let Some((kind, body)) = data.split_first()
            && let Ok(payload) = ControlPlanePayload::new(body.to_vec())
        {
            let kind = [ControlPlaneEntryKind::MembershipChange, ControlPlaneEntryKind::OwnershipTransition]
                .get(usize::from(*kind))
                .copied();
            let entry = kind.map(|kind| kind.entry(payload));
            let verdict = entry.map(|entry| small().apply(ControlPlaneLogIndex(10), &entry).verdict);
            all.extend(verdict.map(|verdict| encode_verdict(&verdict)));
        }
    }
    all
}

/// A state in one chunk. What is read is written as what reads the same: the
/// digest that a receiver compares speaks for all of it (CP-R3).
pub(crate) fn snapshot(data: &[u8]) {
    let chunk = Bytes::copy_from_slice(data);
    let Ok(catalog) = Catalog::from_chunks([&chunk]) else { return };
    let chunks = known(catalog.to_genesis()).chunks;
    let again = Catalog::from_chunks(&chunks).map(|catalog| catalog.digest());
    assert_eq!(again, Ok(catalog.digest()));
}

pub(crate) fn snapshot_corpus() -> Vec<Vec<u8>> {
    known(small().to_genesis()).chunks.iter().map(|chunk| chunk.to_vec()).collect()
}
