//! What the engine starts from, on logs that another engine may have written.

use crate::testing::{Cluster, configuration, entry, genesis, quorum_member};
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LastVote, LogPosition, MemberKind, Term,
};
use cp_store::{Batch, Configuration, LogRecord, RecordBody};

/// Writes `bodies` from index 1 on, all of term 1, the first `committed` of them committed.
async fn written(cluster: &Cluster, id: u64, bodies: Vec<RecordBody>, committed: u64) {
    written_in(cluster, id, bodies.into_iter().map(|body| (1, body)).collect(), committed).await;
}

/// Writes records of these terms from index 1 on.
async fn written_in(cluster: &Cluster, id: u64, records: Vec<(u64, RecordBody)>, committed: u64) {
    let (store, _disk) = cluster.open(id);
    let term = records.last().map(|(term, _)| Term(*term)).expect("some");
    let record =
        |((term, body), n)| LogRecord { position: LogPosition::new(Term(term), ControlPlaneLogIndex(n)), body };
    let batch = Batch {
        vote: Some(LastVote { term, granted_to: Some(Incarnation(1)), following: Some(Incarnation(1)) }),
        append: records.into_iter().zip(1..).map(record).collect(),
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

/// CP-M1, CP-E1: 4 and 5 have committed that the joint configuration is left, and 2 and 3 hold all
/// of it but have not heard so. A leader of this engine's would have told them that the joint one
/// is committed before it left it; here it had to learn that itself.
#[tokio::test(start_paused = true)]
async fn a_joint_record_that_was_left_binds_before_it_is_known_to_be_committed() {
    let mut cluster = Cluster::prepared([1, 2, 3]);
    let binding = RecordBody::Configuration(joint([1, 4, 5]));
    let left = RecordBody::Configuration(configuration([1, 4, 5], [], []));
    for id in [4, 5] {
        cluster.found(id, genesis([1, 2, 3]));
    }
    written(&cluster, 2, vec![RecordBody::Blank, binding.clone()], 1).await;
    written(&cluster, 3, vec![RecordBody::Blank], 1).await;
    written(&cluster, 4, vec![RecordBody::Blank, binding, left], 1).await;
    for id in 2..=5 {
        cluster.boot(id).await;
    }
    // 4 alone can win. That its first record has come to 2 and 3 it is told; what it makes of that, they are not.
    let holds = |cluster: &Cluster, id| cluster.node(id).store.last().index >= ControlPlaneLogIndex(4);
    let slice = cluster.settings.election_timeout / 5000;
    while !(holds(&cluster, 2) && holds(&cluster, 3)) {
        for id in [2, 3] {
            if holds(&cluster, id) {
                cluster.net.cut(4, id);
            }
        }
        tokio::time::sleep(slice).await;
    }
    cluster.net.cut(4, 2);
    cluster.net.cut(4, 3);
    cluster.until("the change is final", |c| c.newest(5).0.index <= c.node(5).store.committed()).await;
    for id in [2, 3] {
        assert_eq!(cluster.node(id).store.committed(), ControlPlaneLogIndex(1), "{id} was told");
    }
    tokio::time::sleep(cluster.settings.election_timeout * 40).await;
    let position = cluster.commit(entry("4 and 5 are a quorum")).await;
    for id in [2, 3] {
        let store = &cluster.node(id).store;
        assert_eq!((store.last().index, store.vote().term), (position.index.prev(), position.term), "{id} went on");
    }
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

/// CP-M2: the leader committed with the witness alone, and the data member that is left has a longer
/// log of an earlier term. It cannot win, and must not refuse the witness for its priority.
#[tokio::test(start_paused = true)]
async fn a_longer_log_of_an_earlier_term_does_not_keep_a_witness_from_leading() {
    let mut founding = genesis([1, 2, 3]);
    founding.meta.configuration.voters[2].kind = MemberKind::Witness;
    let mut cluster = Cluster::prepared([]);
    for id in 1..=3 {
        cluster.found(id, founding.clone());
    }
    let blanks = |terms: &[u64]| terms.iter().map(|term| (*term, RecordBody::Blank)).collect::<Vec<_>>();
    written_in(&cluster, 2, blanks(&[1, 1, 1, 1]), 1).await;
    written_in(&cluster, 3, blanks(&[1, 2]), 2).await;
    cluster.boot(2).await;
    cluster.boot(3).await;
    cluster.write(0..3).await;
    cluster.agree().await;
}

/// CP-M2: a witness does not lead while a data member with as long a log can.
#[tokio::test(start_paused = true)]
async fn a_witness_stands_last() {
    let mut founding = genesis([1, 2, 3]);
    founding.meta.configuration.voters[2].kind = MemberKind::Witness;
    let mut cluster = Cluster::prepared([]);
    for id in 1..=3 {
        cluster.found(id, founding.clone());
    }
    for id in 1..=3 {
        cluster.boot(id).await;
    }
    for round in 0..8 {
        cluster.write(round..round + 1).await;
        cluster.agree().await;
        let leader = cluster.leader().await;
        assert_ne!(leader, 3, "the witness leads in round {round}");
        cluster.kill(leader).await;
        assert_ne!(cluster.leader().await, 3, "the witness took over in round {round}");
        cluster.boot(leader).await;
    }
}
