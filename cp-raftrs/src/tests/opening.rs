//! What the engine starts from, on logs that another engine may have written.

use crate::testing::{Cluster, configuration, quorum_member};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LastVote, LogPosition, Term};
use cp_store::{Batch, Configuration, LogRecord, RecordBody};

/// Writes `bodies` from index 1 on, all of term 1, the first `committed` of them committed.
async fn written(cluster: &Cluster, id: u64, bodies: Vec<RecordBody>, committed: u64) {
    let (store, _disk) = cluster.open(id);
    let record = |(body, n)| LogRecord { position: LogPosition::new(Term(1), ControlPlaneLogIndex(n)), body };
    let batch = Batch {
        vote: Some(LastVote { term: Term(1), granted_to: Some(Incarnation(1)), following: Some(Incarnation(1)) }),
        append: bodies.into_iter().zip(1..).map(record).collect(),
        committed: Some(ControlPlaneLogIndex(committed)),
        ..Batch::default()
    };
    store.submit(batch).expect("fits").await.expect("is written");
    store.close().await.expect("closes");
}

fn wants(quorum: &str) -> RecordBody {
    let payload = ControlPlanePayload::new(quorum.to_owned()).expect("short");
    RecordBody::Entry(ControlPlaneEntry::MembershipChange(payload))
}

fn joint(voters: [u64; 3]) -> Configuration {
    configuration(voters, [1, 2, 3], [])
}

/// CP-M1, CP-E1: an engine that obeys configurations once appended left the joint one on 1, 2 and
/// 4, and 1 and 4 have gone on alone. 2 and 3, a majority of the old half, must not win here.
#[tokio::test(start_paused = true)]
async fn a_joint_record_binds_before_it_is_committed() {
    let mut cluster = Cluster::prepared([1, 2, 3]);
    let binding = RecordBody::Configuration(joint([1, 4, 5]));
    written(&cluster, 2, vec![RecordBody::Blank, binding], 1).await;
    written(&cluster, 3, vec![RecordBody::Blank], 1).await;
    cluster.boot(2).await;
    cluster.boot(3).await;
    tokio::time::sleep(cluster.settings.election_timeout * 40).await;
    assert!(cluster.nodes.values().all(|n| !n.seam.is_leader() && n.seam.term() == Term(1)), "the trial vote fails");
}

/// CP-M1: when that record turns out not to be committed, it binds no longer.
#[tokio::test(start_paused = true)]
async fn a_joint_record_that_is_truncated_binds_no_longer() {
    let mut cluster = Cluster::prepared([1, 2, 3]);
    let binding = RecordBody::Configuration(joint([1, 4, 5]));
    written(&cluster, 1, vec![RecordBody::Blank], 1).await;
    written(&cluster, 2, vec![RecordBody::Blank, binding], 1).await;
    written(&cluster, 3, vec![RecordBody::Blank], 1).await;
    cluster.boot(1).await;
    cluster.boot(3).await;
    cluster.write(0..3).await;
    cluster.boot(2).await;
    cluster.agree().await;
    let leader = cluster.leader().await;
    cluster.node(leader).seam.transfer_leadership(&quorum_member(2).id).await.expect("1 and 3 suffice");
    cluster.write(3..6).await;
    assert_eq!(cluster.leader().await, 2);
    assert_eq!(cluster.newest(2).1, configuration([1, 2, 3], [], []));
}

/// CP-M1: an interrupted change is finished by whoever leads next; what the engine started from is not applied twice.
#[tokio::test(start_paused = true)]
async fn an_interrupted_change_is_finished() {
    for committed in 1..=4 {
        let mut cluster = Cluster::prepared([1, 2, 3]);
        cluster.found(4, crate::testing::genesis([1, 2, 3]));
        let admitted = RecordBody::Configuration(configuration([1, 2, 3], [], [4]));
        let promoted = RecordBody::Configuration(joint([1, 2, 4]));
        let bodies = || vec![RecordBody::Blank, wants("1,2,4"), admitted.clone(), promoted.clone()];
        for id in [1, 2] {
            written(&cluster, id, bodies(), committed).await;
        }
        for id in [1, 2, 4] {
            cluster.boot(id).await;
        }
        cluster.leader().await;
        cluster
            .until("settled", |c| c.nodes.values().any(|n| n.seam.is_leader() && n.seam.watch().current().settled))
            .await;
        cluster.write(0..3).await;
        cluster.agree().await;
        assert_eq!(cluster.newest(4).1, configuration([1, 2, 4], [], []));
        let other = if cluster.leader().await == 1 { 2 } else { 1 };
        cluster.kill(other).await;
        cluster.write(3..5).await;
        assert_eq!(cluster.newest(4).1.voters, [1, 2, 4].map(quorum_member));
    }
}

/// CP-M1: a change that was even left, all of it uncommitted, is gone through again in order.
#[tokio::test(start_paused = true)]
async fn a_change_that_was_left_is_applied_in_order() {
    let mut cluster = Cluster::prepared([1, 2, 3]);
    cluster.found(4, crate::testing::genesis([1, 2, 3]));
    let left = RecordBody::Configuration(configuration([1, 2, 4], [], []));
    let bodies = || vec![RecordBody::Blank, wants("1,2,4"), RecordBody::Configuration(joint([1, 2, 4])), left.clone()];
    for id in [1, 2] {
        written(&cluster, id, bodies(), 1).await;
    }
    for id in [1, 2, 4] {
        cluster.boot(id).await;
    }
    cluster.write(0..3).await;
    cluster.agree().await;
    cluster.kill(2).await;
    cluster.write(3..5).await;
    assert!(cluster.nodes.values().all(|n| n.stopped().is_none()));
}
