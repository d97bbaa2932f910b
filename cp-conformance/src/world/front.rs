//! A node as its callers reach it: while it is paused, calls wait.

use crate::life::Life;
use async_trait::async_trait;
use cp_seam::{
    ControlPlaneConsensus, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, ControlPlaneWatch, LogPosition,
    MemberId, MemberProgress, Outcome, ProposeError, ReadError, ReadPoint, ShutdownError, Term, TransferError,
};
use std::sync::Arc;
use std::time::Duration;

/// Calls run as tasks of the node. What only reads memory is answered as it was
/// left: a caller that must not hear from a paused node asks the life first.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) node: Arc<dyn ControlPlaneConsensus>,
    pub(super) life: Arc<Life>,
}

#[async_trait]
impl ControlPlaneConsensus for Front {
    fn role(&self) -> ControlPlaneRole {
        self.node.role()
    }

    fn term(&self) -> Term {
        self.node.term()
    }

    fn leader(&self) -> Option<MemberId> {
        self.node.leader()
    }

    fn is_leader(&self) -> bool {
        self.node.is_leader()
    }

    fn committed_index(&self) -> ControlPlaneLogIndex {
        self.node.committed_index()
    }

    async fn propose(&self, entry: ControlPlaneEntry) -> Result<LogPosition, ProposeError> {
        self.life.freezer().run(self.node.propose(entry)).await
    }

    async fn outcome(&self, position: LogPosition, wait: Duration) -> Outcome {
        self.life.freezer().run(self.node.outcome(position, wait)).await
    }

    async fn read_barrier(&self) -> Result<ReadPoint, ReadError> {
        self.life.freezer().run(self.node.read_barrier()).await
    }

    fn progress(&self) -> Vec<MemberProgress> {
        self.node.progress()
    }

    fn watch(&self) -> Box<dyn ControlPlaneWatch> {
        self.node.watch()
    }

    async fn transfer_leadership(&self, to: &MemberId) -> Result<(), TransferError> {
        self.life.freezer().run(self.node.transfer_leadership(to)).await
    }

    async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.life.freezer().run(self.node.shutdown()).await
    }
}
