//! Which ranges there are: made, found by a key, cut and merged.

use crate::common::*;
use crate::ranges::transfer;
use cp_catalog::*;

#[test]
fn create_refuses_what_cannot_be() {
    let (mut node, old) = library();
    node.done(OwnershipCommand::CreateCollection {
        collection: coll("hashed"),
        group: group("shelf"),
        mode: Mode::Hash,
    });
    let new = |name: &str, id| new_range(&rk(name, id), Bounds::ALL, "a", &["b"], &["d"]);
    let create = |node: &mut Node, new: NewRange| node.refused(OwnershipCommand::CreateRange(new));
    assert!(matches!(create(&mut node, new("none", 1)), Refusal::Group(GroupRefusal::UnknownCollection { .. })));
    assert!(matches!(create(&mut node, new("hashed", 1)), Refusal::Shape(ShapeRefusal::ModeDiffers { .. })));
    let slots = NewRange { mode: Mode::Hash, bounds: bounds("a", ""), ..new("hashed", 1) };
    assert!(matches!(create(&mut node, slots), Refusal::Shape(ShapeRefusal::NotASlot { .. })));
    let current = node.range(&old).standing();
    assert_eq!(
        create(&mut node, new("books", 1)),
        Refusal::Shape(ShapeRefusal::RangeExists { range: old.clone(), current: current.clone(), free: None })
    );
    let overlap = Refusal::Shape(ShapeRefusal::Overlap { range: rk("books", 2), other: old, current });
    assert_eq!(create(&mut node, new("books", 2)), overlap);
    let free = |owner: &str, replicas: &[&str], archives: &[&str]| NewRange {
        mode: Mode::Hash,
        ..new_range(&rk("hashed", 1), Bounds::slots(0, 8).unwrap(), owner, replicas, archives)
    };
    assert!(matches!(
        create(&mut node, free("a", &["a"], &[])),
        Refusal::Holder(HolderRefusal::RoleTaken { role: Role::Owner, .. })
    ));
    assert!(matches!(
        create(&mut node, free("a", &[], &["a"])),
        Refusal::Holder(HolderRefusal::RoleTaken { role: Role::Owner, .. })
    ));
    assert!(matches!(
        create(&mut node, free("a", &["b"], &["b"])),
        Refusal::Holder(HolderRefusal::RoleTaken { role: Role::Replica, .. })
    ));
    node.done(OwnershipCommand::CreateRange(free("a", &["b"], &["c"])));
}

#[test]
fn a_hashed_key_is_found_by_its_slot() {
    let mut node = Node::new(founded());
    node.done(OwnershipCommand::CreateCollection { collection: coll("h"), group: group("g"), mode: Mode::Hash });
    for (range, (from, to)) in [(1, (0, 5000)), (2, (5000, 9000)), (3, (9000, SLOT_COUNT))] {
        let mode = Mode::Hash;
        let new = NewRange { mode, ..new_range(&rk("h", range), Bounds::slots(from, to).unwrap(), "a", &[], &[]) };
        node.done(OwnershipCommand::CreateRange(new));
    }
    for n in 0..1000 {
        let key = format!("key{n}");
        let slot = slot_of(key.as_bytes());
        let hash = blake3::hash(key.as_bytes());
        assert_eq!(u64::from(slot), u64::from_be_bytes(hash.as_bytes()[..8].try_into().unwrap()) % 16_384);
        let found = node.machine.read(|catalog| catalog.locate(&coll("h"), key.as_bytes()).unwrap().id);
        assert_eq!(
            found.0,
            if slot < 5000 {
                1
            } else if slot < 9000 {
                2
            } else {
                3
            }
        );
    }
}

#[test]
fn split_refuses_what_is_no_cut() {
    let (mut node, range) = library();
    let split = |node: &Node, range: &RangeKey, at: &str, new_id| OwnershipCommand::Split {
        range: range.clone(),
        fence: node.fence(range),
        at: key(at),
        new_id: RangeId(new_id),
    };
    node.done(split(&node, &range, "m", 2));
    assert!(matches!(node.refused(split(&node, &range, "m", 3)), Refusal::Shape(ShapeRefusal::CutOutside { .. })));
    assert!(matches!(node.refused(split(&node, &range, "z", 3)), Refusal::Shape(ShapeRefusal::CutOutside { .. })));
    assert!(matches!(
        node.refused(split(&node, &rk("books", 2), "m", 3)),
        Refusal::Shape(ShapeRefusal::CutOutside { .. })
    ));
    assert!(matches!(node.refused(split(&node, &range, "c", 2)), Refusal::Shape(ShapeRefusal::RangeExists { .. })));
}

#[test]
fn merge_joins_neighbours_under_an_epoch_above_both_and_retires_the_id() {
    let (mut node, one) = library();
    let split = |node: &Node, range: &RangeKey, at: &str, new_id| OwnershipCommand::Split {
        range: range.clone(),
        fence: node.fence(range),
        at: key(at),
        new_id: RangeId(new_id),
    };
    node.done(split(&node, &one, "m", 2));
    node.done(split(&node, &rk("books", 2), "t", 3));
    let merge = |node: &Node, survivor: u64, retired: u64| OwnershipCommand::Merge {
        survivor: rk("books", survivor),
        fence: node.fence(&rk("books", survivor)),
        retired: RangeId(retired),
        retired_fence: node.fence(&rk("books", retired)),
    };
    assert!(matches!(node.refused(merge(&node, 1, 3)), Refusal::Shape(ShapeRefusal::NotAdjacent { .. })));
    assert!(matches!(node.refused(merge(&node, 1, 1)), Refusal::Shape(ShapeRefusal::NotAdjacent { .. })));
    node.done(OwnershipCommand::Promote(transfer(&node, &rk("books", 2), "a", "b")));
    assert!(matches!(node.refused(merge(&node, 1, 2)), Refusal::Shape(ShapeRefusal::OwnersDiffer { .. })));
    node.done(OwnershipCommand::Promote(transfer(&node, &rk("books", 2), "b", "a")));
    assert_eq!(node.range(&rk("books", 2)).epoch, Epoch(3));
    let extra = CopyEdit { range: one.clone(), fence: node.fence(&one), member: id("c") };
    node.done(OwnershipCommand::AddReplica(extra.clone()));
    assert!(matches!(node.refused(merge(&node, 1, 2)), Refusal::Shape(ShapeRefusal::CopiesDiffer { .. })));
    node.done(OwnershipCommand::RemoveReplica(CopyEdit { fence: node.fence(&one), ..extra }));
    // The upper one survives: the lower bound of the survivor moves.
    let effect = node.done(merge(&node, 2, 1));
    let range = node.range(&rk("books", 2));
    assert_eq!(effect, Effect::Merged { survivor: rk("books", 2), now: range.standing(), retired: one.clone() });
    assert_eq!((range.epoch, range.bounds.clone()), (Epoch(4), bounds("", "t")));
    assert_eq!(node.machine.read(|c| c.locate(&coll("books"), b"a").unwrap().id), RangeId(2));
    assert!(matches!(
        node.refused(split(&node, &rk("books", 2), "c", 1)),
        Refusal::Shape(ShapeRefusal::RetiredId { .. })
    ));
    let again = new_range(&one, Bounds::ALL, "a", &[], &[]);
    assert_eq!(
        node.refused(OwnershipCommand::CreateRange(again)),
        Refusal::Shape(ShapeRefusal::RetiredId { range: one, free: None })
    );
}
