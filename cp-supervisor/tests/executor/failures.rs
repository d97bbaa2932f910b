//! What cannot be done is said by name, with what would help, and is done later.

use crate::double::{Op, Side, World};
use crate::worlds::{bereft, crowded, founded, id, key};
use cp_catalog::plan::Blocker;
use cp_catalog::{ClosedGate, Epoch, MemberRefusal, MembershipCommand, Refusal, Role};
use cp_supervisor::executor::{Blocked, Goal, Obstacle, Report, RunError, Settings, run};

async fn drain(world: &World) -> Report {
    drain_of(world, "a").await
}

async fn drain_of(world: &World, name: &str) -> Report {
    world.run(&Goal::Drain(id(name)), Settings::default()).await.unwrap()
}

fn said(report: &Report) -> String {
    assert!(!report.finished, "{report}");
    report.blocked.iter().map(|blocked| format!("{blocked}\n")).collect()
}

/// Nothing is wrong, and once it is mended the drain ends.
async fn mended(world: &World) {
    world.mend();
    let report = drain(world).await;
    assert!(report.finished, "{report}");
    world.verify();
}

#[tokio::test]
async fn a_gate_that_does_not_close_keeps_its_range_where_it_is() {
    let world = crowded();
    world.inner().failing = Some((Op::Close, Side::Before));
    let said = said(&drain(&world).await);
    assert!(
        said.contains(
            "hand range books/1 from a to b: a does not close its gate of epoch 0:1: Close was made to fail; mend that and run this again, or fail over if a is lost\n"
        ),
        "{said}"
    );
    assert_eq!(world.catalog().range(&key(1)).unwrap().owner, id("a"));
    assert_eq!(world.catalog().range(&key(3)).unwrap().role(&id("a")), None, "other ranges go on");
    mended(&world).await;
}

#[tokio::test]
async fn a_gate_that_closed_and_did_not_say_so_is_found() {
    let world = crowded();
    world.inner().failing = Some((Op::Close, Side::After));
    let report = drain(&world).await;
    assert!(report.finished, "the next round sees it: {report}");
    assert_eq!(world.take_ops().iter().filter(|op| **op == Op::Close).count(), 3, "no gate is closed twice");
    world.verify();
}

/// What a data plane answers is looked at before it is passed on.
#[tokio::test]
async fn a_gate_of_another_epoch_or_range_is_no_evidence() {
    type Forge = fn(ClosedGate) -> ClosedGate;
    let forgeries: [(Forge, &str); 2] = [
        (|gate| ClosedGate { epoch: Epoch(gate.epoch.0 + 1), ..gate }, "a closed a gate of epoch 0:2, not 0:1"),
        (|gate| ClosedGate { range: key(99), ..gate }, "a answered with its closed gate of range books/99"),
    ];
    for (forge, why) in forgeries {
        let world = crowded();
        world.inner().forged = Some(forge);
        let said = said(&drain(&world).await);
        assert!(said.contains(why), "{said}");
        assert_eq!(world.catalog().range(&key(1)).unwrap().owner, id("a"), "nothing was proposed by it");
        world.inner().forged = None;
        mended(&world).await;
    }
}

#[tokio::test]
async fn a_copy_that_is_short_is_not_handed_the_range_nor_taken_for_a_replacement() {
    let world = crowded();
    world.inner().stuck = true;
    let report = drain(&world).await;
    let short = |blocked: &&Blocked| {
        matches!(
            blocked,
            Blocked::Step { why: Obstacle::Short { .. }, .. } | Blocked::Behind { why: Obstacle::Short { .. }, .. }
        )
    };
    assert!(report.blocked.iter().any(|blocked| short(&blocked)), "{report}");
    assert!(said(&report).contains("let it catch up and run this again"));
    assert_eq!(world.catalog().range(&key(3)).unwrap().role(&id("a")), Some(Role::Replica), "its copy is still needed");
    mended(&world).await;
}

#[tokio::test]
async fn a_copy_that_fails_is_named() {
    let world = crowded();
    world.inner().failing = Some((Op::Copy, Side::Before));
    let said = said(&drain(&world).await);
    assert!(said.contains("range books/3: the copy of "), "{said}");
    assert!(said.contains("cannot be brought up"), "{said}");
    mended(&world).await;
}

#[tokio::test]
async fn an_outcome_that_is_unknown_is_no_failure_of_the_next_run() {
    let world = crowded();
    let life = world.catalog().member(&id("a")).unwrap().life();
    world.done(MembershipCommand::Drain { member: life });
    world.inner().failing = Some((Op::Submit, Side::After));
    let said = said(&drain(&world).await);
    assert!(said.contains("whether it took effect is unknown") && said.contains("run this again"), "{said}");
    mended(&world).await;
}

#[tokio::test]
async fn data_that_is_not_deleted_is_named_and_deleted_later() {
    let world = crowded();
    world.inner().failing = Some((Op::Delete, Side::Before));
    let said = said(&drain(&world).await);
    assert!(said.contains("what a keeps of range books/1 is not deleted"), "{said}");
    world.inner().failing = Some((Op::Orphans, Side::Before));
    assert!(crate::failures::said(&drain(&world).await).contains("which copies are left over"));
    mended(&world).await;
}

#[tokio::test]
async fn what_nobody_can_take_is_blocked_by_the_planner() {
    let world = crowded();
    for name in ["b", "c", "d"] {
        let life = world.catalog().member(&id(name)).unwrap().life();
        world.done(MembershipCommand::Drain { member: life });
    }
    let report = drain(&world).await;
    let unplanned = |blocked: &Blocked| matches!(blocked, Blocked::Unplanned(Blocker::NoAuthority { .. }));
    assert!(
        report.blocked.iter().any(unplanned) && report.done.len() == 1,
        "only the move to a is called off: {report}"
    );
    assert_eq!(world.inner().wrong, Vec::<String>::new());
}

/// The gate of b is closed; c has more than d, and no copy reaches it.
#[tokio::test]
async fn a_range_that_nobody_may_write_does_not_wait_for_one_candidate() {
    for (replicas, taker) in [(&["c", "d"][..], "d"), (&["c"][..], "a")] {
        let world = founded(&[("b", replicas, &[], 1)]);
        world.begin();
        let standing = world.catalog().range(&key(1)).unwrap().standing();
        world.inner().close(&key(1), &standing).unwrap();
        (1..).zip(replicas).for_each(|(behind, name)| world.hold_back(&id(name), &key(1), behind));
        world.inner().cut_off.insert(id("c"));
        let report = drain_of(&world, "b").await;
        assert_eq!(world.catalog().range(&key(1)).unwrap().owner, id(taker), "{report}");
    }
}

/// The proposal fails once, right after the gate was closed.
#[tokio::test]
async fn a_run_does_not_end_with_a_gate_that_it_has_just_closed() {
    let build = || {
        let world = founded(&[("b", &["c"], &[], 1)]);
        world.begin();
        world
    };
    let undisturbed = build();
    assert!(drain_of(&undisturbed, "b").await.finished);
    let ops = undisturbed.take_ops();
    let closed = ops.iter().position(|op| *op == Op::Close).unwrap();
    let proposed = closed + ops[closed..].iter().position(|op| *op == Op::Submit).unwrap();
    let world = build();
    world.inner().fails_at = Some((proposed, Side::Before));
    let report = drain_of(&world, "b").await;
    assert!(report.finished, "{report}");
    world.verify();
}

#[tokio::test]
async fn copies_that_nobody_may_take_are_something_left_to_do() {
    let world = founded(&[("b", &["c", "d", "a"], &[], 7)]);
    world.begin();
    let report = world.run(&Goal::Rebalance { moves_max: 2 }, Settings::default()).await.unwrap();
    assert!(said(&report).contains("fewer copies than wanted, and nobody may take more: range books/1"), "{report}");
}

#[tokio::test]
async fn a_copy_behind_a_lost_owner_is_not_brought_up_by_wishing() {
    let (world, goal) = bereft(true);
    // What was written last is at a alone.
    world.lag(&id("b"), &key(1));
    let report = world.run(&goal, Settings::default()).await.unwrap();
    assert!(said(&report).contains("no safe candidate for range books/1, whose owner a is lost"), "{report}");
    assert_eq!(world.catalog().range(&key(1)).unwrap().owner, id("a"));
    assert_ne!(world.catalog().range(&key(2)).unwrap().owner, id("a"));
}

#[tokio::test]
async fn without_state_or_sight_nothing_is_done() {
    let world = crowded();
    let before = world.catalog().digest();
    for (op, what) in [(Op::State, "the state cannot be read"), (Op::Ranges, "where the copies are")] {
        world.inner().failing = Some((op, Side::Before));
        let error = run(&world, &world, &Goal::Finish, Settings::default()).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    world.inner().failing = None;
    let error = run(&world, &world, &Goal::Drain(id("z")), Settings::default()).await.unwrap_err();
    let RunError::Drain { why, .. } = &error else { panic!("{error}") };
    assert!(matches!(why.downcast_ref(), Some(Refusal::Member(MemberRefusal::NotAMember { .. }))), "{error}");
    assert_eq!(world.catalog().digest(), before);
}
