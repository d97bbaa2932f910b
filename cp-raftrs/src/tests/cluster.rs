//! Elections, proposals, reads, a disk that fails.

use crate::testing::{Cluster, entry, quorum_member};
use cp_driver::EngineError;
use cp_seam::{
    ControlPlaneConsensusExt, ControlPlaneRole, Incarnation, Outcome, ProposeError, ProposeRefusal, ReadError,
    SettleError,
};
use cp_store::RecordBody;
use raft::eraftpb::MessageType;
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn elects_and_commits() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..10).await;
    cluster.agree().await;
    let leader = cluster.leader().await;
    for (id, node) in &cluster.nodes {
        assert_eq!(node.engine.matched().is_empty(), *id != leader, "only a leader keeps books");
    }
}

/// Word of a commit goes with the next records; if none come, followers have it long before a heartbeat.
#[tokio::test(start_paused = true)]
async fn word_of_a_commit_costs_no_message_while_records_follow() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..1).await;
    cluster.agree().await;
    cluster.net.audit();
    let before = cluster.net.sent(MessageType::MsgAppend);
    for n in 0..20 {
        cluster.commit(entry(&format!("{n}"))).await;
    }
    let sent = cluster.net.sent(MessageType::MsgAppend) - before;
    assert!((40..=46).contains(&sent), "{sent} appends for 20 records and two followers");
    let mut longest = Duration::ZERO;
    for n in 20..40 {
        let last = cluster.commit(entry(&format!("{n}"))).await.index;
        let since = tokio::time::Instant::now();
        cluster.until("all know", |c| c.nodes.values().all(|n| n.seam.committed_index() >= last)).await;
        longest = longest.max(since.elapsed());
    }
    assert!(longest < cluster.settings.heartbeat / 2, "{longest:?}");
}

/// A single voter does not wait for anyone.
#[tokio::test(start_paused = true)]
async fn a_single_voter_leads_at_once() {
    let start = tokio::time::Instant::now();
    let cluster = Cluster::start([1]).await;
    assert!(start.elapsed() < cluster.settings.election_timeout / 4, "{:?}", start.elapsed());
    cluster.write(0..3).await;
    assert_eq!(cluster.node(1).state.lines().len(), 3);
}

/// CP-S2, CP-L1: nothing acknowledged is lost with the leader, and another leads within 3T.
#[tokio::test(start_paused = true)]
async fn survives_its_leader() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..5).await;
    for round in 1..4 {
        let old = cluster.leader().await;
        let lost_at = tokio::time::Instant::now();
        cluster.kill(old).await;
        cluster.leader().await;
        assert!(lost_at.elapsed() < cluster.settings.election_timeout * 3, "{:?}", lost_at.elapsed());
        cluster.write(round * 10..round * 10 + 5).await;
        cluster.boot(old).await;
        cluster.agree().await;
    }
    let lines = cluster.node(1).state.lines();
    assert!((0..5).chain(10..15).all(|n| lines.contains(&format!("o:{n}"))), "{lines:?}");
}

/// CP-S2, CP-S3: everything restarts from what was synced.
#[tokio::test(start_paused = true)]
async fn survives_a_power_loss_everywhere() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..5).await;
    let terms: Vec<_> = cluster.nodes.values().map(|n| n.seam.term()).collect();
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.boot(id).await;
    }
    assert!(cluster.nodes.values().zip(terms).all(|(n, before)| n.seam.term() >= before), "no term falls");
    cluster.write(5..8).await;
    cluster.agree().await;
    assert_eq!(cluster.node(2).state.lines().len(), 8);
}

/// CP-P1: a follower of this engine would take a proposal and forward it; it must not.
#[tokio::test(start_paused = true)]
async fn a_follower_forwards_nothing() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..1).await;
    let leader = cluster.leader().await;
    for (id, node) in cluster.nodes.iter().filter(|(id, _)| **id != leader) {
        let answer = node.engine.append(entry("forwarded")).await;
        let named = matches!(answer, Err(EngineError::NotLeader { leader: Some(l) }) if l == Incarnation(leader));
        assert!(named, "{id}: {answer:?}");
        let read = node.engine.read_index().await;
        assert!(matches!(read, Err(EngineError::NotLeader { .. })), "{read:?}");
    }
    cluster.write(1..3).await;
    cluster.agree().await;
    assert!(cluster.nodes.values().all(|n| n.state.lines().len() == 3));
}

/// CP-P3: many proposals at once are placed next to each other, each at its own position.
#[tokio::test(start_paused = true)]
async fn proposals_of_one_round_get_their_own_positions() {
    let cluster = Cluster::start([1, 2, 3]).await;
    let node = cluster.node(cluster.leader().await);
    let wait = Duration::from_secs(5);
    let texts: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let all = texts.iter().map(|text| node.seam.propose_committed(entry(text), wait));
    let positions = futures::future::try_join_all(all).await.expect("all are committed");
    let lines = node.state.lines();
    for (text, position) in texts.iter().zip(&positions) {
        let found = node.store.read(position.index..position.index.next(), 1).expect("reads");
        assert_eq!(found[0].body, RecordBody::Entry(entry(text)), "at {position}");
        assert_eq!(lines.iter().filter(|line| **line == format!("o:{text}")).count(), 1);
    }
    let distinct: BTreeSet<_> = positions.iter().map(|position| position.index).collect();
    assert_eq!(distinct.len(), 200);
    let (first, last) = (distinct.first().expect("200"), distinct.last().expect("200"));
    assert_eq!(last.0 - first.0, 199, "without a gap");
}

/// CP-P2, CP-P3: a leader that is cut off refuses within T, and what it took is superseded, not lost in silence.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_refuses() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    let old = cluster.leader().await;
    cluster.net.isolate(old);
    let taken = cluster.node(old).seam.propose(entry("cut off")).await.expect("it does not know yet");
    tokio::time::sleep(cluster.settings.election_timeout).await;
    let refused = cluster.node(old).seam.propose(entry("too late")).await;
    assert!(matches!(refused, Err(ProposeError::Refused(ProposeRefusal::NoQuorum))), "{refused:?}");
    let read = cluster.node(old).seam.read_barrier().await;
    assert!(matches!(read, Err(ReadError::NoQuorum)), "{read:?}");
    cluster.until("another leader", |c| c.nodes.iter().any(|(id, n)| *id != old && n.seam.is_leader())).await;
    cluster.write(3..6).await;
    cluster.net.heal();
    cluster.agree().await;
    for node in cluster.nodes.values() {
        assert_eq!(node.seam.outcome(taken, Duration::from_secs(5)).await, Outcome::Superseded);
        assert!(!node.state.lines().contains(&"o:cut off".to_owned()));
    }
}

/// CP-P4: reads wait for a quorum, also those that come before the leader has committed in its term.
#[tokio::test(start_paused = true)]
async fn reads_are_confirmed() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..4).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader);
    let reads = futures::future::join_all((0..20).map(|_| node.seam.read_barrier())).await;
    assert!(reads.iter().all(|read| read.as_ref().is_ok_and(|read| read.applied >= node.seam.committed_index())));
    cluster.kill(leader).await;
    let mut watches: Vec<_> = cluster.nodes.values().map(|n| (n, n.seam.watch())).collect();
    let elected = watches.iter_mut().map(|(node, watch)| {
        Box::pin(async move {
            while node.seam.role() != ControlPlaneRole::Leader {
                watch.changed().await.expect("it runs");
            }
            *node
        })
    });
    let (early, ..) = futures::future::select_all(elected).await;
    assert!(!early.seam.is_leader(), "it has not committed in its term");
    let index = early.engine.read_index().await.expect("held until it can be served");
    assert!(index.0 >= 6, "{index} is from before its first record was committed");
}

/// CP-P4: a round of reads does not take the place of one that is still under way.
#[tokio::test(start_paused = true)]
async fn reads_of_several_rounds_are_all_confirmed() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..1).await;
    let engine = &cluster.node(cluster.leader().await).engine;
    let reads = (0..20).map(|n| async move {
        tokio::time::sleep(Duration::from_micros(300) * n).await;
        engine.read_index().await
    });
    let reads = futures::future::join_all(reads).await;
    assert!(reads.iter().all(Result::is_ok), "{reads:?}");
}

/// Leadership is handed over on request, and an unanswered request is called off.
#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    let old = cluster.leader().await;
    let heir = if old == 3 { 1 } else { old + 1 };
    cluster.node(old).seam.transfer_leadership(&quorum_member(heir).id).await.expect("handed over");
    cluster.until("the heir leads", |c| c.node(heir).seam.is_leader()).await;
    cluster.net.cut(heir, old);
    let answer = cluster.node(heir).engine.transfer(Incarnation(9)).await;
    assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
    cluster.net.isolate(old);
    let answer = cluster.node(heir).seam.transfer_leadership(&quorum_member(old).id).await;
    assert!(answer.is_err(), "{answer:?}");
    cluster.write(3..5).await;
    assert_eq!(cluster.leader().await, heir, "it serves on");
}

/// CP-L2: a leader whose disk stands still is replaced, and its callers do not hang.
#[tokio::test(start_paused = true)]
async fn a_stalled_leader_is_replaced() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    let old = cluster.leader().await;
    let node = cluster.node(old);
    node.stall(true);
    let start = tokio::time::Instant::now();
    let first = node.seam.propose(entry("stalled")).await;
    tokio::time::sleep(cluster.settings.election_timeout).await;
    let refused = node.seam.propose(entry("refused")).await;
    assert!(matches!(refused, Err(ProposeError::Refused(_))), "{refused:?}");
    cluster.until("another leader", |c| c.nodes.iter().any(|(id, n)| *id != old && n.seam.is_leader())).await;
    assert!(start.elapsed() < cluster.settings.election_timeout * 3, "{:?}", start.elapsed());
    cluster.write(3..6).await;
    node.stall(false);
    cluster.agree().await;
    if let Ok(position) = first {
        let on = async |id| cluster.node(id).seam.outcome(position, Duration::from_secs(5)).await;
        assert_eq!(on(1).await, on(2).await);
        assert_ne!(on(1).await, Outcome::Unknown);
    }
}

/// CP-D4: once the store has failed, nothing is said any more.
#[tokio::test(start_paused = true)]
async fn a_failed_store_stops_the_node() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    let old = cluster.leader().await;
    cluster.node(old).store.abandon();
    let answer = cluster.node(old).seam.propose_committed(entry("nowhere"), Duration::from_secs(1)).await;
    assert!(matches!(answer, Err(SettleError::Propose(_) | SettleError::Unknown { .. })), "{answer:?}");
    cluster.until("it stops", |c| c.node(old).stopped().is_some()).await;
    cluster.until("another leader", |c| c.nodes.iter().any(|(id, n)| *id != old && n.seam.is_leader())).await;
    let late = cluster.node(old).engine.append(entry("later")).await;
    assert!(matches!(late, Err(EngineError::Refused(_) | EngineError::Unknown(_))), "{late:?}");
    cluster.write(3..5).await;
    let told = |c: &Cluster| c.nodes.values().any(|n| n.state.lines().contains(&"o:nowhere".to_owned()));
    assert!(!told(&cluster), "nothing left the node after its store had failed");
}
