//! Values at their limits, and one over.

use crate::common::*;
use cp_catalog::*;

#[test]
fn a_name_has_1_to_128_characters() {
    assert!(CollectionName::new("a").is_ok() && CollectionName::new(&"a".repeat(128)).is_ok());
    for bad in ["".to_owned(), "a".repeat(129)] {
        let length = bad.len();
        assert!(matches!(CollectionName::new(&bad), Err(BadName::Length { length: found, .. }) if found == length));
    }
    assert!(matches!(CollectionName::new("a b"), Err(BadName::Character { character: ' ', .. })));
}

#[test]
fn an_address_has_at_most_255_bytes_and_a_peer_needs_one() {
    let text = |length| "x".repeat(length);
    let good = Addresses { peer: text(255), client: text(255), http: text(255) };
    assert_eq!(good.check(), Ok(()));
    let long = |field| Err(BadValue::Long { field, length: 256, max: 255 });
    assert_eq!(Addresses { peer: text(256), ..good.clone() }.check(), long("peer address"));
    assert_eq!(Addresses { client: text(256), ..good.clone() }.check(), long("client address"));
    assert_eq!(Addresses { http: text(256), ..good.clone() }.check(), long("http address"));
    assert_eq!(Addresses { peer: text(0), ..good }.check(), Err(BadValue::Missing { field: "peer address" }));
}

#[test]
fn a_member_has_at_most_64_capabilities() {
    let of = |count: usize| Features {
        level: 1,
        capabilities: (0..count).map(|n| Capability::new(&format!("c{n}")).unwrap()).collect(),
    };
    assert_eq!(of(64).check(), Ok(()));
    assert_eq!(of(65).check(), Err(BadValue::Many { field: "capabilities", count: 65, max: 64 }));
}

#[test]
fn a_placement_wants_a_copy_and_has_bounded_attributes() {
    let text = |n: usize, length: usize| format!("{n:0>length$}");
    let of = |count: usize, name, value| Placement {
        replication_factor: 1,
        attributes: (0..count).map(|n| (text(n, name), text(n, value))).collect(),
    };
    assert_eq!(of(32, 128, 128).check(), Ok(()));
    assert_eq!(of(33, 2, 2).check(), Err(BadValue::Many { field: "placement attributes", count: 33, max: 32 }));
    let long = Err(BadValue::Long { field: "placement attribute", length: 129, max: 128 });
    assert_eq!([of(1, 129, 1).check(), of(1, 1, 129).check()], [long.clone(), long]);
    let none = Placement { replication_factor: 0, ..Placement::default() };
    assert_eq!(none.check(), Err(BadValue::Missing { field: "replication factor" }));
}

#[test]
fn a_range_has_at_most_64_copies_of_a_kind() {
    let decoded = |count: usize| {
        let replicas: Vec<_> = (0..count).map(|n| format!("m{n}")).collect();
        let replicas: Vec<_> = replicas.iter().map(String::as_str).collect();
        let new = new_range(&rk("books", 1), Bounds::ALL, "a", &replicas, &[]);
        Request::from_entry(&Request::new(None, OwnershipCommand::CreateRange(new)).to_entry().unwrap())
    };
    assert!(decoded(64).is_ok());
    assert!(decoded(65).is_err());
}

#[test]
fn copies_are_a_set_in_order() {
    let copies: Copies = ["c", "a", "c"].map(id).into_iter().collect();
    assert_eq!((copies.len(), copies.is_empty()), (2, false));
    assert_eq!((&copies).into_iter().collect::<Vec<_>>(), [&id("a"), &id("c")]);
    assert_eq!((Copies::default().len(), Copies::default().is_empty()), (0, true));
    assert_eq!(Copies::default().into_iter().count(), 0);
}

#[test]
fn only_voting_members_count_in_an_election() {
    let mut member = founded().member(&id("a")).unwrap().clone();
    for (voting, counts) in [(Voting::Voting, true), (Voting::Standby, false), (Voting::CatchingUp, false)] {
        member.voting = voting;
        let seen = cp_seam::Member::from(&member);
        assert_eq!((seen.id, seen.kind, seen.voting), (member.id.clone(), member.kind, counts));
    }
}

/// All addresses are empty before a member joins; some are never.
#[test]
fn a_member_with_a_client_address_has_a_peer_address() {
    let mut member = founded().member(&id("a")).unwrap().clone();
    member.addresses = Addresses::default();
    assert_eq!(codec::decode_member(&codec::encode_member(&member)), Ok(member.clone()));
    member.addresses.client = "a:7002".to_owned();
    assert!(codec::decode_member(&codec::encode_member(&member)).is_err());
}

#[test]
fn ranges_are_counted_as_they_come_and_go() {
    let (mut node, key) = library();
    let counts = |node: &Node| {
        let of = |catalog: &Catalog| (catalog.range_count(), catalog.range_count_of(&coll("books")));
        node.machine.read(of)
    };
    assert_eq!(counts(&node), (1, 1));
    let (fence, new_id) = (node.fence(&key), RangeId(2));
    node.done(OwnershipCommand::Split { range: key.clone(), fence, at: crate::common::key("m"), new_id });
    let (fence, new_id) = (node.fence(&key), RangeId(3));
    node.done(OwnershipCommand::Split { range: key.clone(), fence, at: crate::common::key("f"), new_id });
    assert_eq!(counts(&node), (3, 3));
    let (fence, retired_fence) = (node.fence(&key), node.fence(&rk("books", 3)));
    node.done(OwnershipCommand::Merge { survivor: key, fence, retired: RangeId(3), retired_fence });
    assert_eq!(counts(&node), (2, 2));
    assert_eq!(node.machine.read(|catalog| catalog.range_count_of(&coll("none"))), 0);
}

#[test]
fn the_generation_is_that_of_genesis() {
    assert_eq!(founded().generation(), cp_seam::Generation { number: 0, id: [1; 8] });
}
