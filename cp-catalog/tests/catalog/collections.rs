//! Collections, and what their ranges want.

use crate::common::*;
use cp_catalog::*;
use cp_seam::ControlPlaneStateMachine;
use std::sync::Arc;

#[test]
fn a_collection_is_made_once_and_stays_as_it_is() {
    let (mut node, _) = library();
    let make =
        |shelf: &str, mode| OwnershipCommand::CreateCollection { collection: coll("books"), group: group(shelf), mode };
    let before = node.machine.digest();
    assert_eq!(node.done(make("shelf", Mode::Ordered)), Effect::CollectionReady { collection: coll("books") });
    assert_eq!(node.machine.digest(), before, "a repetition changes nothing");
    for other in [make("other", Mode::Ordered), make("shelf", Mode::Hash)] {
        assert_eq!(
            node.refused(other),
            Refusal::Group(GroupRefusal::CollectionDiffers { collection: coll("books"), exists: None })
        );
    }
}

#[test]
fn each_range_wants_what_it_was_given_and_equal_wishes_are_kept_once() {
    let (mut node, first) = library();
    let other = Placement { replication_factor: 5, ..Placement::default() };
    let hashed = coll("hashed");
    let group = group("shelf");
    node.done(OwnershipCommand::CreateCollection { collection: hashed, group, mode: Mode::Hash });
    let mut make = |id: u64, placement: &Placement| {
        let key = rk("hashed", id);
        let slots = Bounds::slots(id as u16 * 10, id as u16 * 10 + 10).unwrap();
        let new = NewRange { placement: placement.clone(), mode: Mode::Hash, ..new_range(&key, slots, "a", &[], &[]) };
        node.done(OwnershipCommand::CreateRange(new));
        node.range(&key).placement
    };
    let usual = Placement::default();
    let (one, two, three) = (make(1, &usual), make(2, &other), make(3, &usual));
    assert_eq!([&*one, &*two, &*three], [&usual, &other, &usual]);
    assert!(Arc::ptr_eq(&one, &three));

    let (range, fence) = (first.clone(), node.fence(&first));
    node.done(OwnershipCommand::SetPlacement { range, fence, placement: other.clone() });
    assert_eq!(*node.range(&first).placement, other);
}

#[test]
fn a_range_that_has_64_copies_of_a_kind_gets_no_more() {
    let founding = (0..70).map(|n| founder(&format!("n{n}"), cp_seam::MemberKind::Data)).collect();
    let mut node = Node::new(Catalog::genesis(CLUSTER, cp_seam::Generation::default(), founding).unwrap());
    node.done(OwnershipCommand::CreateCollection {
        collection: coll("books"),
        group: group("shelf"),
        mode: Mode::Ordered,
    });
    let names: Vec<_> = (1..64).map(|n| format!("n{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let range = rk("books", 1);
    node.done(OwnershipCommand::CreateRange(new_range(&range, Bounds::ALL, "n0", &names, &[])));
    let add = |node: &Node, name: &str| {
        let (range, fence) = (range.clone(), node.fence(&range));
        OwnershipCommand::AddReplica(CopyEdit { range, fence, member: id(name) })
    };
    let last = add(&node, "n64");
    node.done(last);
    let one_more = add(&node, "n65");
    assert_eq!(
        node.refused(one_more),
        Refusal::Holder(HolderRefusal::TooManyCopies { range: range.clone(), count: 64, limit: None })
    );
}
