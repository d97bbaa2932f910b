//! A desk and a keeper around a node in this process.

use crate::common::{PATIENCE, Site, embedded};
use crate::{id, rk, until};
use cp_catalog::*;
use cp_lease::{GateRefusal, Withheld};
use cp_seam::{
    ControlPlaneConsensus, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, ControlPlaneWatch, Incarnation,
    LogPosition, MemberId, MemberProgress, Outcome, ProposeError, ReadError, ReadPoint, ShutdownError, Term,
    TransferError,
};
use cp_supervisor::daemon::{Daemon, Layer};
use cp_supervisor::leases::{self, ClosureFile, KeeperEnd, KeeperError};
use cp_supervisor::supervisor::Supervisor;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A node in this process that leads, and a range of its own.
pub(crate) async fn node(site: &Site, length_ms: u64) -> (Daemon, Range) {
    let longest = LongestLease::new(Duration::from_millis(length_ms + 100)).unwrap();
    let (place, node) = embedded::first(site, longest, Layer { lease_ms: Some(length_ms), ..Layer::default() }).await;
    let client = site.client(&[&place]);
    let (collection, mode) = (rk(1).collection, Mode::Ordered);
    let group = GroupName::new("shop").unwrap();
    let range = NewRange {
        range: rk(1),
        mode,
        bounds: Bounds::ALL,
        owner: id("n1"),
        replicas: Copies::default(),
        archives: Copies::default(),
        placement: Placement::default(),
    };
    for command in
        [OwnershipCommand::CreateCollection { collection, group, mode }, OwnershipCommand::CreateRange(range)]
    {
        assert!(client.submit(command).await.unwrap().verdict.is_done());
    }
    let owned = range_of(&node);
    (node, owned)
}

fn range_of(node: &Daemon) -> Range {
    node.supervisor().read_stale().catalog.range(&rk(1)).unwrap().clone()
}

#[tokio::test]
async fn a_store_in_the_process_of_its_node_writes_until_a_lease_after_the_node_has_stopped() {
    let site = Site::new();
    let (node, owned) = node(&site, 600).await;
    let closures = Arc::new(ClosureFile::open(&site.path().join("closed")).unwrap());
    let again = Arc::clone(&closures);
    let keeper = node.keeper(closures).await.unwrap();
    let gates = keeper.gates();
    let refused = gates.admit(&rk(1), owned.epoch);
    assert!(matches!(refused, Err(GateRefusal::Unleased { .. })), "nothing is granted before it runs: {refused:?}");
    let kept = tokio::spawn(keeper.run());
    until("the node's store writes", || gates.admit(&rk(1), owned.epoch).is_ok()).await;
    // Longer than a lease: renewals come by themselves.
    let first = gates.gate(&rk(1)).unwrap().lease.unwrap().expires_at;
    until("its lease is another", || {
        assert!(gates.admit(&rk(1), owned.epoch).is_ok());
        gates.gate(&rk(1)).unwrap().lease.unwrap().granted_at > first
    })
    .await;
    let second = node.keeper(again).await.map(drop);
    assert!(matches!(second, Err(KeeperError::InUse { .. })), "two would close and write by themselves: {second:?}");
    node.shutdown().await.unwrap();
    assert!(matches!(kept.await.unwrap(), KeeperEnd::NodeStopped));
    until("it fences itself", || matches!(gates.admit(&rk(1), owned.epoch), Err(GateRefusal::Expired { .. }))).await;
}

/// A real node whose read barriers take their time.
#[derive(Debug)]
struct Slow(Arc<dyn ControlPlaneConsensus>);

/// How long: what is granted after one lasts so much less.
const SLOWLY: Duration = Duration::from_millis(200);

#[async_trait::async_trait]
impl ControlPlaneConsensus for Slow {
    fn role(&self) -> ControlPlaneRole {
        self.0.role()
    }
    fn term(&self) -> Term {
        self.0.term()
    }
    fn leader(&self) -> Option<MemberId> {
        self.0.leader()
    }
    fn is_leader(&self) -> bool {
        self.0.is_leader()
    }
    fn committed_index(&self) -> ControlPlaneLogIndex {
        self.0.committed_index()
    }
    async fn propose(&self, entry: ControlPlaneEntry) -> Result<LogPosition, ProposeError> {
        self.0.propose(entry).await
    }
    async fn outcome(&self, position: LogPosition, wait: Duration) -> Outcome {
        self.0.outcome(position, wait).await
    }
    async fn read_barrier(&self) -> Result<ReadPoint, ReadError> {
        sleep(SLOWLY).await;
        self.0.read_barrier().await
    }
    fn progress(&self) -> Vec<MemberProgress> {
        self.0.progress()
    }
    fn watch(&self) -> Box<dyn ControlPlaneWatch> {
        self.0.watch()
    }
    async fn transfer_leadership(&self, to: &MemberId) -> Result<(), TransferError> {
        self.0.transfer_leadership(to).await
    }
    async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.0.shutdown().await
    }
}

#[tokio::test]
async fn one_barrier_serves_all_who_wait_and_who_gives_up_takes_nothing_from_the_others() {
    let site = Site::new();
    let (node, owned) = node(&site, 10_000).await;
    let life = MemberLife { id: id("n1"), incarnation: node.identity().incarnation };
    let slow = Arc::new(Slow(Arc::clone(node.supervisor().consensus())));
    let supervisor = Supervisor::new(slow, node.supervisor().machine().clone(), PATIENCE);
    let desk = supervisor.leases();
    let length_of_one = desk.policy().unwrap().length();
    assert_eq!((desk.status(), desk.may_take_effect(&rk(1), owned.epoch)), (None, None));
    let renewals = futures::future::join_all((0..100).map(|_| desk.renew(&life))).await;
    // The first began a barrier; all that came meanwhile waited for the next.
    assert_eq!((desk.counts().granted, desk.counts().barriers), (100, 2));
    // Leadership was known when the barrier began, and from then on the lease counts.
    for renewal in &renewals {
        let length = renewal.as_ref().unwrap().length;
        assert!(length <= length_of_one - SLOWLY, "{length:?}");
    }
    let status = desk.status().unwrap();
    assert_eq!(status.term, node.supervisor().status().term);
    assert!(!status.settles_in.is_zero(), "{status:?}");
    let may = desk.may_take_effect(&rk(1), owned.epoch).unwrap();
    assert!(matches!(may, Err(Withheld::Wait { .. })), "nobody knows what was granted before: {may:?}");

    let mut first = Box::pin(desk.renew(&life));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(desk.renew(&life));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
    let stranger = MemberLife { incarnation: Incarnation(9), ..life.clone() };
    assert!(desk.renew(&stranger).await.unwrap_err().to_string().contains("no joined member"));
    assert_eq!(desk.counts().not_a_member, 1);
    node.shutdown().await.unwrap();
    // Its book is there still, and is nobody's: it does not lead.
    assert_eq!((desk.status(), desk.awaiting(1), desk.may_take_effect(&rk(1), owned.epoch)), (None, None, None));
    assert!(matches!(desk.renew(&life).await, Err(leases::Refused::Stopped { .. })));
}
