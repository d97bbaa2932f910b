//! Members that are far behind.

use crate::snapshot::Header;
use crate::testing::{Cluster, entry};
use crate::wire::NUMBER_MAX;
use cp_driver::EngineError;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LogPosition, Term};
use cp_store::SnapshotMeta;
use prost::Message;

/// CP-R1: a member far behind catches up from a snapshot, and takes part again after it.
#[tokio::test(start_paused = true)]
async fn a_member_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.settings.snapshot_every = 10;
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    let leader = cluster.leader().await;
    let behind = if leader == 1 { 2 } else { 1 };
    cluster.kill(behind).await;
    cluster.write(0..60).await;
    cluster.until("compaction", |c| c.nodes.values().all(|n| n.store.purged().index.0 > 20)).await;
    cluster.boot(behind).await;
    cluster.agree().await;
    assert!(cluster.node(behind).store.snapshot().position.index.0 > 20, "from a snapshot");
    cluster.write(60..65).await;
    cluster.restart(behind).await;
    cluster.agree().await;
    let other = cluster.nodes.keys().copied().find(|id| *id != behind && *id != leader).expect("three");
    cluster.kill(other).await;
    cluster.write(65..70).await;
}

/// CP-R1: the engine sends a peer nothing more until it hears how a snapshot fared.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_did_not_arrive_is_sent_again() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.settings.snapshot_every = 10;
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    cluster.write(0..3).await;
    let leader = cluster.leader().await;
    let behind = if leader == 1 { 2 } else { 1 };
    cluster.net.isolate(behind);
    cluster.write(3..60).await;
    cluster.until("compaction", |c| c.nodes.iter().all(|(id, n)| *id == behind || n.store.purged().index.0 > 20)).await;
    let node = cluster.node(behind);
    node.stall(true);
    cluster.net.heal();
    tokio::time::sleep(cluster.settings.election_timeout * 60).await;
    assert_eq!(node.store.snapshot().position.index.0, 0, "it cannot be written");
    node.stall(false);
    cluster.agree().await;
}

/// CP-S2: a snapshot that is installed takes the whole conflicting tail with it.
#[tokio::test(start_paused = true)]
async fn an_installed_snapshot_wipes_the_tail() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.settings.snapshot_every = 10;
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    let old = cluster.leader().await;
    cluster.net.isolate(old);
    for n in 0..80 {
        let taken = cluster.node(old).seam.propose(entry(&format!("lost {n}"))).await;
        assert!(taken.is_ok(), "{taken:?}");
    }
    let tail = cluster.node(old).store.last();
    cluster.until("another leader", |c| c.nodes.iter().any(|(id, n)| *id != old && n.seam.is_leader())).await;
    cluster.write(0..40).await;
    cluster.until("compaction", |c| c.nodes.iter().all(|(id, n)| *id == old || n.store.purged().index.0 > 15)).await;
    cluster.net.heal();
    cluster.agree().await;
    let store = &cluster.node(old).store;
    assert!(store.snapshot().position.index < tail.index, "the tail was longer than the snapshot");
    assert!(store.term_at(tail.index).is_none_or(|term| term > tail.term), "and is gone");
}

/// A large append goes out in frames that the transport takes.
#[tokio::test(start_paused = true)]
async fn large_entries_catch_up() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    let leader = cluster.leader().await;
    let behind = if leader == 1 { 2 } else { 1 };
    cluster.kill(behind).await;
    let body = || ControlPlanePayload::new(vec![b'x'; ControlPlanePayload::LEN_MAX_BYTES]).expect("the limit");
    for _ in 0..12 {
        cluster.commit(ControlPlaneEntry::OwnershipTransition(body())).await;
    }
    cluster.boot(behind).await;
    cluster.agree().await;
    assert_eq!(cluster.net.too_long(), 0);
}

/// A second leader of one term is a lie, also when it comes with a snapshot: it is refused and stops nobody.
#[tokio::test(start_paused = true)]
async fn a_snapshot_from_another_than_the_leader_is_refused() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    cluster.agree().await;
    let leader = cluster.leader().await;
    let [follower, liar] = [1, 2, 3].map(|n| (leader + n - 1) % 3 + 1)[..2] else { panic!("three") };
    let node = cluster.node(follower);
    let term = node.seam.term();
    let position = LogPosition::new(term, node.store.last().index.next().next());
    let mut terms = node.store.terms_to(node.store.last().index);
    terms.push(position);
    let meta = SnapshotMeta { position, terms, ..node.store.snapshot() };
    let staged = node.store.stage().seal(meta).await.expect("staged");
    let header = Header { term: term.0, index: position.index.0 }.encode_to_vec();
    let answer = node.engine.install(Incarnation(liar), header.into(), staged).await;
    assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
    cluster.write(3..6).await;
    assert_eq!(node.stopped(), None);
}

/// CP-R1: a snapshot that is not what its header says, or that no leader of this term can have, is refused.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_nobody_can_have_is_refused() {
    let cluster = Cluster::start([1, 2, 3]).await;
    cluster.write(0..3).await;
    cluster.agree().await;
    let leader = cluster.leader().await;
    let me = leader % 3 + 1;
    let node = cluster.node(me);
    let (term, end) = (node.seam.term(), node.store.last().index.0 + 2);
    let none_such = NUMBER_MAX + 1;
    for (from, header, at, why) in [
        (leader, (term.0 - 1, end), (term.0 - 1, end), "it is of term"),
        (leader, (term.0, end), (term.0 + 1, end), "it is of term"),
        (leader, (none_such, end), (term.0, end), "it is of term"),
        (leader, (term.0, end + 1), (term.0, end), "it ends at"),
        (leader, (term.0, end), (term.0, none_such), "it ends at"),
        (me, (term.0, end), (term.0, end), "it ends at"),
    ] {
        let position = LogPosition::new(Term(at.0), ControlPlaneLogIndex(at.1));
        let mut terms = node.store.terms_to(node.store.last().index);
        terms.push(position);
        let meta = SnapshotMeta { position, terms, ..node.store.snapshot() };
        let staged = node.store.stage().seal(meta).await.expect("staged");
        let header = Header { term: header.0, index: header.1 }.encode_to_vec();
        let answer = node.engine.install(Incarnation(from), header.into(), staged).await;
        assert!(matches!(&answer, Err(EngineError::Refused(said)) if said.contains(why)), "{answer:?}, not {why}");
    }
    cluster.write(3..6).await;
    assert_eq!(node.stopped(), None);
}
