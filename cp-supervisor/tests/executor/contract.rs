//! What a data plane owes, and what a run makes of it.

use crate::double::{Inner, Op, World};
use crate::worlds::{bereft, founded, id, key};
use cp_catalog::{CopyEdit, Key, OwnershipCommand, RangeId, Role};
use cp_supervisor::executor::{CopyOrder, Goal, Settings};

async fn finish(world: &World) -> bool {
    world.run(&Goal::Finish, Settings::default()).await.unwrap().finished
}

/// d is given range 1, and begins to copy it.
fn enlist_again(inner: &mut Inner) {
    let (range, member) = (key(1), id("d"));
    let fence = inner.all()[&range].fence();
    let edit = CopyEdit { range: range.clone(), fence, member: member.clone() };
    assert!(inner.submit(OwnershipCommand::AddReplica(edit).into()).is_done());
    let standing = inner.all()[&range].standing();
    inner.copy(&CopyOrder { range, standing, member, role: Role::Replica, until: None }).unwrap();
}

#[tokio::test]
async fn a_deletion_that_comes_late_does_not_hit_who_has_a_role_again() {
    let build = || {
        let world = founded(&[("b", &["c"], &[], 2)]);
        world.begin();
        world.leave_over(&id("d"), &key(1));
        world
    };
    let undisturbed = build();
    assert!(finish(&undisturbed).await);
    assert!(!undisturbed.has_copy(&id("d"), &key(1)));
    let at = undisturbed.take_ops().iter().position(|op| *op == Op::Delete).unwrap();
    let world = build();
    world.meddle_at(at, enlist_again);
    assert!(finish(&world).await, "it has a role, so that nothing is left to delete");
    world.verify();
    assert!(world.has_copy(&id("d"), &key(1)));
}

#[tokio::test]
async fn what_was_split_off_is_not_deleted_with_what_is_left_over() {
    let world = founded(&[("b", &["a"], &[], 1)]);
    world.begin();
    // a keeps all of range 1, and has a role only in what is split off, of which it does not know.
    world.leave_over(&id("a"), &key(1));
    let fence = || world.catalog().range(&key(1)).unwrap().fence();
    let (at, new_id) = (Key::new(&[1, 7][..]).unwrap(), RangeId(2));
    world.done(OwnershipCommand::Split { range: key(1), fence: fence(), at, new_id });
    world.done(OwnershipCommand::RemoveReplica(CopyEdit { range: key(1), fence: fence(), member: id("a") }));
    assert!(finish(&world).await);
    assert!(!world.has_copy(&id("a"), &key(1)));
    assert!(world.has_copy(&id("a"), &key(2)), "the copy of the other part is still there");
}

/// a lives, and users write to it; the goal says that it is lost.
#[tokio::test]
async fn who_is_taken_for_lost_has_nothing_more_acknowledged() {
    let (world, goal) = bereft(false);
    let mut finished = false;
    for _ in 0..3 {
        finished |= world.run(&goal, Settings::default()).await.unwrap().finished;
    }
    assert!(finished);
    world.verify();
    assert_eq!(world.catalog().holdings(&id("a")).owned, 0);
}

/// What b had acknowledged last is above the watermark that was seen.
#[tokio::test]
async fn who_replaces_a_copy_has_the_last_write_of_the_owner_before() {
    let world = founded(&[("b", &["c", "d"], &[], 2)]);
    world.begin();
    let standing = world.catalog().range(&key(1)).unwrap().standing();
    let gate = world.inner().close(&key(1), &standing).unwrap();
    world.settle();
    world.see_less(&key(1));
    world.hold_back(&id("d"), &key(1), 0);
    let report = world.run(&Goal::Drain(id("b")), Settings::default()).await.unwrap();
    assert!(report.finished, "{report}");
    let orders = world.inner().orders.clone();
    let mut to_d = orders.iter().filter(|order| order.member == id("d"));
    assert!(to_d.next_back().is_some_and(|order| order.until == Some(gate.last)), "{orders:?}");
}
