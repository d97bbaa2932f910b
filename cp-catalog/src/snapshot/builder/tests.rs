use super::super::Record;
use super::*;
use crate::bounds::{Bound, Bounds, Mode};
use crate::catalog::{Holdings, Meta};
use crate::codec::record::{AuthorityRecord, CollectionRecord};
use crate::genesis::FoundingMember;
use crate::id::{CollectionName, Epoch, GroupName, Version};
use crate::member::{Addresses, Features, Locality};
use crate::range::{Copies, Move, MovePhase, Range};
use cp_seam::{Generation, MemberKind};

fn meta() -> Body {
    Body::Meta((&Meta { cluster: Some(cp_seam::ClusterId([1; 16])), ..Meta::default() }).into())
}

fn collection(name: &str) -> Body {
    let (name, group) = (CollectionName::new(name).unwrap(), GroupName::new("g").unwrap());
    Body::Collection(CollectionRecord::from(&CollectionSpec { name, group, mode: Mode::Ordered }))
}

fn authority() -> Body {
    let (group, holder) = (GroupName::new("g").unwrap(), MemberId::new("a").unwrap());
    Body::Authority(AuthorityRecord::from(&Authority { group, holder, epoch: Epoch(1), version: Version(1) }))
}

fn range(id: u64, lower: &str, upper: &str) -> Body {
    let at = |text: &str| Bound::at(text.as_bytes()).unwrap();
    Body::Range(RangeRecord::from(&Range::plain(id, Bounds::new(at(lower), at(upper)).unwrap())))
}

fn built(bodies: Vec<Body>) -> Result<Catalog, SnapshotError> {
    let records = bodies.into_iter().map(|body| Record { body: Some(body) }).collect();
    let chunk = Chunk { format: SNAPSHOT_FORMAT, ordinal: 0, last: true, records };
    let mut builder = Builder::default();
    builder.push(&chunk.encode_to_vec())?;
    builder.finish()
}

/// Data members a to d, and ranges with every kind of field.
fn whole() -> Vec<Body> {
    let founder = |name: &str| FoundingMember {
        id: MemberId::new(name).unwrap(),
        kind: MemberKind::Data,
        addresses: Addresses { peer: format!("{name}:1"), ..Addresses::default() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let founding = ["a", "b", "c", "d"].map(founder).into_iter().collect();
    let founded = Catalog::genesis(cp_seam::ClusterId([1; 16]), Generation::default(), founding).unwrap();
    let at = |text: &str| Bound::at(text.as_bytes()).unwrap();
    let copies = |names: &[&str]| names.iter().map(|name| MemberId::new(name).unwrap()).collect::<Copies>();
    let plain = Range {
        replicas: copies(&["b", "d"]),
        archives: copies(&["c"]),
        ..Range::plain(1, Bounds::new(at("f"), at("h")).unwrap())
    };
    let attributes = [("tier".to_owned(), "hot".to_owned())].into();
    let moving = Range {
        id: RangeId(2),
        bounds: Bounds::new(at("a key of more than 22 bytes, which lies elsewhere"), at("f")).unwrap(),
        owner: MemberId::new("b").unwrap(),
        placement: Arc::new(Placement { replication_factor: 3, attributes }),
        moving: Some(Box::new(Move { target: MemberId::new("d").unwrap(), phase: MovePhase::CatchingUp })),
        replicas: copies(&["d"]),
        ..plain.clone()
    };
    let members = founded.members().map(|member| Body::Member(member.into()));
    let first = [Body::Meta((&founded.meta).into())].into_iter().chain(members).chain([authority()]);
    let ranges = [&moving, &plain].map(|range| Body::Range(range.into()));
    first.chain([collection("a")]).chain(ranges).chain([Body::Retired(3)]).collect()
}

/// What is read straight from its bytes and what is read by way of its message is the same state.
#[test]
fn a_chunk_that_another_release_wrote_gives_the_same_state() {
    let records = whole().into_iter().map(|body| Record { body: Some(body) }).collect();
    let own = Chunk { format: SNAPSHOT_FORMAT, ordinal: 0, last: true, records }.encode_to_vec();
    // A field that is unknown here.
    let others = [&own[..], &[0x78, 1]].concat();
    assert!(header(&own).is_some() && header(&others).is_none());
    let [one, other] = [(own, 2), (others, 0)].map(|(bytes, in_place)| {
        let mut builder = Builder::default();
        builder.push(&bytes).unwrap();
        assert_eq!(builder.read_in_place, in_place);
        builder.finish().unwrap()
    });
    assert_eq!(one.violations(), vec![], "its digest, holdings and hashes follow from its records");
    assert_eq!(other.violations(), vec![]);
    assert_eq!(one.digest(), other.digest());
    let held = |catalog: &Catalog, name| catalog.holdings(&MemberId::new(name).unwrap());
    for (name, owned, replicas, archives) in [("a", 1, 0, 0), ("b", 1, 1, 0), ("c", 0, 0, 2), ("d", 0, 2, 0)] {
        let expected = Holdings { owned, replicas, archives };
        assert_eq!([held(&one, name), held(&other, name)], [expected; 2], "{name}");
    }
    let name = CollectionName::new("a").unwrap();
    assert!(one.ranges(&name).eq(other.ranges(&name)));
    assert_eq!(one.ranges(&name).count(), 2);
}

#[test]
fn a_record_that_comes_twice_or_overlaps_is_damage() {
    let few = || {
        let first = [meta(), authority(), collection("a"), range(2, "c", "f"), range(1, "f", "h"), Body::Retired(3)];
        first.into_iter().chain([collection("b"), range(1, "c", "f")]).collect::<Vec<_>>()
    };
    let catalog = built(few()).unwrap();
    assert_eq!((catalog.range_count(), catalog.collections().count()), (3, 2));
    assert_eq!(catalog.holdings(&MemberId::new("a").unwrap()).owned, 3, "also of who is no member");
    for (what, more) in [
        ("the cluster twice", meta()),
        ("an authority twice", authority()),
        ("a collection twice", collection("a")),
        ("the open collection twice", collection("b")),
        ("a range's id twice", range(1, "x", "y")),
        ("a range that overlaps the last", range(9, "e", "g")),
        ("a range that overlaps the first", range(9, "a", "d")),
        ("a range within another", range(9, "d", "e")),
    ] {
        let bodies = few().into_iter().chain([more]).collect();
        assert!(matches!(built(bodies), Err(SnapshotError::Damaged { .. })), "{what}");
    }
    let mut twice = few();
    twice.insert(6, Body::Retired(3));
    assert!(matches!(built(twice), Err(SnapshotError::Damaged { .. })), "a retired id twice");
    // In whichever order they come, and also if it is said what took the range over.
    for at in [3, 5] {
        for retired in [Body::Retired(1), Body::Merged(MergedRecord { id: 2, into: 1 })] {
            let mut both = few();
            both.insert(at, retired);
            assert!(matches!(built(both), Err(SnapshotError::Damaged { .. })), "a range that is there and retired");
        }
    }
    assert!(built(vec![meta(), range(1, "a", "b")]).is_err(), "a range of no collection");
}
