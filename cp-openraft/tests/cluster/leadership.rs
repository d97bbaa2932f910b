//! Leadership handed over, lost and regained; a witness.

use crate::state::text;
use crate::world::{T, World, run};
use cp_driver::Settings;
use cp_seam::{ControlPlaneRole, MemberId, TransferError};
use tokio::time::{Instant, sleep};

#[test]
fn leadership_is_handed_over() {
    run(9, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let old = world.leader().await;
        world.commit(old, text("a")).await.expect("committed");
        let to = if old == 3 { 1 } else { 3 };
        let begun = Instant::now();
        world
            .node(old)
            .transfer_leadership(&MemberId::new(&format!("m{to}")).expect("legal"))
            .await
            .expect("handed over");
        assert_eq!(world.leader().await, to);
        assert!(begun.elapsed() < T / 2, "it took {:?}", begun.elapsed());
        world.commit(to, text("b")).await.expect("committed");
    });
}

/// A transfer that nobody answers costs nothing: the leader serves again after T,
/// in the same term.
#[test]
fn an_unanswered_transfer_leaves_the_leader() {
    run(10, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let old = world.leader().await;
        let term = world.node(old).term();
        let to = if old == 3 { 1 } else { 3 };
        world.commit(old, text("a")).await.expect("committed");
        world.isolate(to, true);
        let target = MemberId::new(&format!("m{to}")).expect("legal");
        let result = world.node(old).transfer_leadership(&target).await;
        assert_eq!(result, Err(TransferError::TimedOut { to: target }));
        assert!(world.node(old).is_leader());
        world.commit(old, text("b")).await.expect("committed");
        assert_eq!(world.node(old).term(), term);
        world.isolate(to, false);
        world.agree().await;
    });
}

/// CP-M2: the witness keeps still while a data member can lead, and leads when none can.
#[test]
fn a_witness_stands_last() {
    for seed in 11..15 {
        run(seed, async {
            let settings = Settings { seed: u64::from(seed) * 100, ..Settings::default() };
            let mut world = World::found("1,2,3w;", settings).await;
            let first = world.leader().await;
            assert_ne!(first, 3);
            world.commit(first, text("a")).await.expect("committed");
            world.crash(first);
            let second = world.leader().await;
            assert_eq!(second, 3 - first, "the other data member leads");
            world.start(first).await;
            world.agree().await;
            // The surviving data member lags: only the witness has the newest record.
            let behind = 3 - second;
            world.isolate(behind, true);
            world.commit(second, text("b")).await.expect("committed");
            world.crash(second);
            world.isolate(behind, false);
            world.until("service returns", 8 * T, || world.serving(&world.running())).await;
            world.until("the data member leads", 8 * T, || world.serving(&[behind])).await;
            world.commit(behind, text("c")).await.expect("committed");
            world.agree().await;
            assert_eq!(world.nodes[&behind].state.all(), ["a", "b", "c"]);
        });
    }
}

/// CP-M2: also where only a witness can lead, it waits for twice the election timeout.
#[test]
fn a_witness_waits_for_twice_the_election_timeout() {
    run(31, async {
        let mut world = World::found("1,2,3w;", Settings::default()).await;
        let first = world.leader().await;
        let behind = 3 - first;
        world.isolate(behind, true);
        sleep(3 * T).await;
        world.commit(first, text("only the witness has it")).await.expect("committed");
        world.crash(first);
        world.isolate(behind, false);
        let lost = Instant::now();
        let leads = || (world.node(3).role() == ControlPlaneRole::Leader).then_some(());
        world.until("the witness leads", 4 * T, leads).await;
        let waited = lost.elapsed() + Settings::default().heartbeat;
        assert!(waited >= 2 * T, "{waited:?}");
    });
}

/// A leader whose log was not flushed when it lost power does not resume its
/// term: in the same term it would put another entry into the same slot (CP-S2).
#[test]
fn a_restarted_leader_begins_a_new_term() {
    run(15, async {
        let mut world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        world.commit(leader, text("a")).await.expect("committed");
        let term = world.node(leader).term();
        world.crash(leader);
        world.start(leader).await;
        assert_ne!(world.node(leader).role(), ControlPlaneRole::Leader);
        let next = world.leader().await;
        assert!(world.node(next).term() > term);
    });
}

/// A shut-down leader hands over, so that service goes on at once.
#[test]
fn a_leader_that_is_shut_down_hands_over() {
    run(16, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        world.commit(leader, text("a")).await.expect("committed");
        world.node(leader).shutdown().await.expect("closed");
        let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
        let left = Instant::now();
        let next = world.leader_among(&others).await;
        assert!(left.elapsed() < T / 4, "it took {:?}", left.elapsed());
        world.commit(next, text("b")).await.expect("committed");
    });
}
