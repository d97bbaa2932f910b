//! Members that come, go and change, through the driver and around it.

use crate::testing::{Cluster, configuration, entry, genesis, quorum_member};
use cp_driver::EngineError;
use cp_seam::{ControlPlaneRole, Incarnation};
use std::time::Duration;

/// CP-M1: a member is admitted as learner, promoted, removed; the removed one stays quiet.
#[tokio::test(start_paused = true)]
async fn members_come_and_go() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..5).await;
    cluster.want("1,2,3;4").await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader);
    cluster.found(4, cp_driver::founding(&node.store, &node.state).expect("captured"));
    cluster.boot(4).await;
    cluster.agree().await;
    cluster.want("1,2,3,4").await;
    cluster.want("1,2,4").await;
    cluster.kill(3).await;
    let spare = if cluster.leader().await == 1 { 2 } else { 1 };
    cluster.kill(spare).await;
    cluster.write(5..8).await;
    assert_eq!(cluster.newest(4).1.voters, [1, 2, 4].map(quorum_member));
}

/// CP-R1: a snapshot from before a member's admission is good enough for it.
#[tokio::test(start_paused = true)]
async fn a_snapshot_may_be_older_than_the_admission() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.settings.snapshot_every = 10;
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    cluster.write(0..30).await;
    cluster.until("compaction", |c| c.nodes.values().all(|n| n.store.purged().index.0 > 10)).await;
    cluster.want("1,2,3;4").await;
    cluster.found(4, genesis([1, 2, 3]));
    cluster.boot(4).await;
    cluster.agree().await;
    let snapshot = cluster.node(4).store.snapshot();
    assert!(snapshot.position.index.0 > 10, "it got one");
    assert!(snapshot.configuration.member(Incarnation(4)).is_none(), "from before");
    cluster.want("1,2,3,4").await;
    cluster.restart(4).await;
    cluster.write(30..33).await;
    cluster.agree().await;
}

/// CP-M1: several learners change at once without the engine's own joint configuration.
#[tokio::test(start_paused = true)]
async fn learners_change_together() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.want("1,2,3;4,5").await;
    cluster.want("1,2,3;5,6,7").await;
    cluster.want("1,2,3").await;
    cluster.write(0..3).await;
    assert!(cluster.nodes.values().all(|n| n.stopped().is_none()));
}

/// CP-M1: the leader itself is removed: it hands over first.
#[tokio::test(start_paused = true)]
async fn the_leader_is_removed() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    let old = cluster.leader().await;
    let rest: Vec<_> = (1..=3).filter(|id| *id != old).map(|id: u64| id.to_string()).collect();
    cluster.want(&rest.join(",")).await;
    cluster.write(3..6).await;
    assert_ne!(cluster.leader().await, old);
    assert!(cluster.nodes.values().all(|n| n.stopped().is_none()));
}

/// Without the driver's handover: the engine panics when a removed leader has an entry in flight.
#[tokio::test(start_paused = true)]
async fn a_leader_removed_with_entries_in_flight_steps_down() {
    for demoted in [false, true] {
        let cluster = Cluster::start([1, 2, 3]).await;
        cluster.write(0..3).await;
        let old = cluster.leader().await;
        let rest: Vec<_> = (1..=3).filter(|id| *id != old).collect();
        let learners = if demoted { vec![old] } else { vec![] };
        let engine = cluster.node(old).engine.clone();
        let joint = configuration(rest.clone(), [1, 2, 3], learners.clone());
        // The driver's own reconciliation wants nothing here: the state has no quorum to want.
        engine.reconfigure(joint).await.expect("a step");
        let uniform = configuration(rest.clone(), [], learners);
        let mut left = Err(EngineError::NoQuorum);
        for _ in 0..100 {
            left = engine.reconfigure(uniform.clone()).await;
            if left.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        left.expect("the joint configuration is left");
        for n in 0..20 {
            let in_flight = engine.append(entry(&format!("in flight {n}"))).await;
            assert!(matches!(in_flight, Ok(_) | Err(EngineError::NotLeader { .. })), "{in_flight:?}");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        cluster.until("it steps down", |c| c.node(old).seam.role() != ControlPlaneRole::Leader).await;
        cluster.until("another", |c| rest.iter().any(|id| c.node(*id).seam.is_leader())).await;
        assert!(cluster.nodes.values().all(|n| n.stopped().is_none()));
    }
}

/// CP-P1: a second change before the first is committed is refused, not turned into an empty entry.
#[tokio::test(start_paused = true)]
async fn a_second_configuration_waits() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    let leader = cluster.leader().await;
    let engine = &cluster.node(leader).engine;
    let learner = |id: u64| configuration([1, 2, 3], [], [id]);
    let before = cluster.node(leader).store.last();
    let (first, second) = tokio::join!(engine.reconfigure(learner(4)), engine.reconfigure(learner(5)));
    first.expect("one at a time");
    assert!(matches!(second, Err(EngineError::Refused(_))), "{second:?}");
    assert_eq!(cluster.node(leader).store.last().index, before.index.next(), "one record, no blank beside it");
    let voters = engine.reconfigure(configuration([1, 2], [], [])).await;
    assert!(matches!(voters, Err(EngineError::Refused(_))), "voters change through a joint one: {voters:?}");
}

/// An address changes without a change of members.
#[tokio::test(start_paused = true)]
async fn an_address_changes() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..1).await;
    let engine = &cluster.node(cluster.leader().await).engine;
    let mut moved = configuration([1, 2, 3], [], []);
    moved.voters[2].address = "elsewhere:9".to_owned();
    let position = engine.reconfigure(moved.clone()).await.expect("a step");
    cluster.write(1..3).await;
    cluster.agree().await;
    for id in 1..=3 {
        assert_eq!(cluster.newest(id), (position, moved.clone()));
    }
}
