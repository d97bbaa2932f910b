use crate::testing::{Rig, lock, settings, uniform, want};
use cp_seam::{ControlPlaneRole, Outcome};
use cp_store::RecordBody;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A configuration counts from the moment it is appended (CP-M1): a member that it brings in must be
/// reachable before it is committed, or the two that could commit it never meet.
#[tokio::test(start_paused = true)]
async fn a_member_of_an_appended_configuration_is_served() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    assert_eq!(*lock(&rig.wire.served), [2, 3]);
    rig.puppet.withholds.store(true, Ordering::SeqCst);
    rig.puppet.write(RecordBody::Configuration(uniform(&[1, 2, 3], &[4])));
    rig.until("4 is served", || *lock(&rig.wire.served) == [2, 3, 4]).await;
}

/// CP-M3: a member that is in neither the state nor the configuration in force is not served, although
/// the log still holds configurations that name it.
#[tokio::test(start_paused = true)]
async fn a_removed_member_is_not_served() {
    let rig = Rig::start(&[1, 2, 3], settings()).await;
    rig.puppet.write(RecordBody::Entry(want(&[1, 2])));
    rig.puppet.write(RecordBody::Configuration(uniform(&[1, 2], &[])));
    rig.until("3 is not served", || *lock(&rig.wire.served) == [2]).await;
}

/// Whoever sees an entry applied sees what it did to the quorum too.
#[tokio::test(start_paused = true)]
async fn a_change_is_not_settled_before_it_has_begun() {
    let rig = Rig::start(&[1], settings()).await;
    rig.lead(1).await;
    rig.until("it is settled", || rig.node.watch().current().settled).await;
    let position = rig.node.propose(want(&[1, 2])).await.expect("placed");
    assert_eq!(rig.node.outcome(position, Duration::from_secs(1)).await, Outcome::Committed);
    assert!(!rig.node.watch().current().settled);
}

/// A stopped node follows nobody, itself least of all, and its last word stays published.
#[tokio::test(start_paused = true)]
async fn a_stopped_node_names_no_leader() {
    let rig = Rig::start(&[1], settings()).await;
    rig.lead(1).await;
    rig.host().halt("told to");
    let status = rig.node.watch().current();
    assert_eq!((status.leader, status.role, status.serving), (None, ControlPlaneRole::Follower, false));
    assert_eq!(status.stopped.as_deref(), Some("told to"));
    assert_eq!(rig.node.leader(), None);
}
