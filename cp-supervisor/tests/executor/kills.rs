//! A run that is killed before or after any effect, and run again.

use crate::double::{Op, Side, World};
use crate::worlds::{bereft, crowded, id, key, uneven};
use cp_catalog::{Holdings, MembershipCommand};
use cp_supervisor::executor::{Goal, Report, Settings};

const SIDES: [Side; 2] = [Side::Before, Side::After];

async fn end(world: &World, goal: &Goal) -> Report {
    let report = world.run(goal, Settings::default()).await.unwrap();
    assert!(report.finished && report.blocked.is_empty(), "{report}");
    report
}

/// Kills a run toward `goal` at every call of an undisturbed one, and some of them twice;
/// each time `after` is called with what it left.
async fn killed(build: impl Fn() -> World, goal: &Goal, after: impl AsyncFn(&World)) -> usize {
    let undisturbed = build();
    end(&undisturbed, goal).await;
    let calls = undisturbed.take_ops().len();
    after(&undisturbed).await;
    for at in 0..calls {
        for side in SIDES {
            let world = build();
            world.kill_at(at, side);
            assert!(world.run(goal, Settings::default()).await.is_none(), "{side:?} {at} of {calls}");
            if at % 3 == 0 {
                world.kill_at(at / 2, side);
                world.run(goal, Settings::default()).await;
            }
            world.take_ops();
            after(&world).await;
        }
    }
    calls
}

/// a has nothing left, and is removed.
fn gone(world: &World) {
    world.verify();
    let catalog = world.catalog();
    assert_eq!(catalog.holdings(&id("a")), Holdings::default());
    assert!(catalog.authorities().all(|authority| authority.holder != id("a")));
    let reachable = catalog.members().map(|member| member.incarnation).collect();
    world.done(MembershipCommand::Remove { member: catalog.member(&id("a")).unwrap().life(), reachable });
}

#[tokio::test]
async fn a_drain_that_is_killed_anywhere_is_gone_on_with() {
    let goal = Goal::Drain(id("a"));
    let calls = killed(crowded, &goal, async |world: &World| {
        end(world, &goal).await;
        gone(world);
    })
    .await;
    assert!(calls > 50, "{calls} calls make no test");
}

#[tokio::test]
async fn a_drain_that_is_given_up_leaves_nothing_half_done() {
    killed(crowded, &Goal::Drain(id("a")), async |world: &World| {
        let life = world.catalog().member(&id("a")).unwrap().life();
        world.done(MembershipCommand::Undrain { member: life });
        end(world, &Goal::Finish).await;
        world.verify();
    })
    .await;
}

#[tokio::test]
async fn a_rebalance_that_is_killed_anywhere_is_gone_on_with() {
    let goal = Goal::Rebalance { moves_max: 2 };
    let calls = killed(uneven, &goal, async |world: &World| {
        end(world, &goal).await;
        world.verify();
        let owned = |name: &str| world.catalog().holdings(&id(name)).owned;
        assert!(["a", "b", "c", "d"].iter().all(|name| (1..=2).contains(&owned(name))), "{:?}", world.catalog());
        assert_eq!(world.catalog().range(&key(7)).unwrap().replicas.len(), 1, "it wants two copies");
    })
    .await;
    assert!(calls > 50, "{calls} calls make no test");
}

#[tokio::test]
async fn a_failover_that_is_killed_anywhere_is_gone_on_with() {
    let goal = bereft(true).1;
    killed(
        || bereft(true).0,
        &goal,
        async |world: &World| {
            end(world, &goal).await;
            world.verify();
            let catalog = world.catalog();
            assert_eq!(catalog.holdings(&id("a")).owned, 0);
            assert!(catalog.authorities().all(|authority| authority.holder != id("a")));
        },
    )
    .await;
}

/// Others change every range before each call of a run: nothing is forced, no gate is closed
/// on what was not just read, and the run goes on from where it is then.
#[tokio::test]
async fn what_others_change_meanwhile_is_skipped_and_planned_again() {
    let goal = Goal::Drain(id("a"));
    let one = Settings { concurrency: 1, ..Settings::default() };
    let undisturbed = crowded();
    undisturbed.run(&goal, one).await.unwrap();
    let ops = undisturbed.take_ops();
    let mut skipped = 0;
    for meddler in [crate::double::Inner::edit_everything, crate::double::Inner::hand_on_everything] {
        // Nobody can know of a change between reading a range and closing its gate.
        for at in (0..ops.len()).filter(|at| ops[*at] != Op::Close) {
            let world = crowded();
            world.meddle_at(at, meddler);
            let report = world.run(&goal, one).await.unwrap();
            world.take_ops();
            assert!(report.finished, "before call {at}, {:?}: {report}", ops[at]);
            skipped += report.skipped.len();
            gone(&world);
        }
    }
    assert!(skipped > 20, "{skipped}");
}
