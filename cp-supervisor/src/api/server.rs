//! Answers clients from a node's supervisor.

use super::access::{allow, caller};
use super::convert;
use super::messages::{
    CloseGateReply, CloseGateRequest, JoinChunk, JoinRequest, LeaseDesk, NodeStatus, Progress, ProposeReply,
    ProposeRequest, Query, ReadReply, ReadRequest, ReadResult, Redirect, Refused, RefusedCode, RenewLeaseReply,
    RenewLeaseRequest, SnapshotPiece, SnapshotRequest, TransferReply, TransferRequest, TransferResult, WatchEvent,
    WatchRequest,
};
use super::service::ControlPlaneApi;
use super::throttle::Throttle;
use super::{join, propose, query, snapshot, watch};
use crate::supervisor::{Reading, Supervisor};
use async_trait::async_trait;
use cp_catalog::{Catalog, Privilege};
use cp_seam::{
    ControlPlaneRole, ControlPlaneStateMachine, MemberId, MemberKind, ProposeRefusal, ReadError, Standing,
    TransferError,
};
use cp_store::{Identity, Store};
use futures::stream::BoxStream;
use std::sync::Arc;
use tonic::{Request, Status, Streaming};

/// A node, as its clients see it.
#[derive(Debug)]
pub struct NodeApi {
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) identity: Identity,
    pub(super) store: Store,
    pub(super) engine: &'static str,
    pub(super) denials: Throttle,
}

impl NodeApi {
    /// Serves `supervisor`, whose node runs on `store`, driven by `engine`.
    pub fn new(supervisor: Arc<Supervisor>, store: Store, engine: &'static str) -> Self {
        Self { supervisor, identity: store.identity(), store, engine, denials: Throttle::default() }
    }

    /// Where the leader is, for one that asked the wrong node.
    pub(super) fn redirect(&self, leader: Option<MemberId>) -> Redirect {
        let address = leader.as_ref().and_then(|leader| self.client_address(leader));
        Redirect { leader: leader.map(|leader| leader.to_string()), address }
    }

    fn client_address(&self, member: &MemberId) -> Option<String> {
        let address = |catalog: &Catalog| catalog.member(member).map(|m| m.addresses.client.clone());
        self.supervisor.machine().read(address).filter(|address| !address.is_empty())
    }

    /// What to answer where a proposal was refused.
    pub(super) fn refusal(&self, refusal: ProposeRefusal) -> Result<Redirect, Refused> {
        let code = match &refusal {
            ProposeRefusal::NotLeader { leader } => return Ok(self.redirect(leader.clone())),
            ProposeRefusal::Transferring { to } => return Ok(self.redirect(Some(to.clone()))),
            ProposeRefusal::NoQuorum => RefusedCode::NoQuorum,
            ProposeRefusal::DiskStalled { .. } => RefusedCode::DiskStalled,
            ProposeRefusal::Busy => RefusedCode::Busy,
            ProposeRefusal::Stopped { .. } => RefusedCode::Stopped,
            _ => RefusedCode::Unspecified,
        };
        Err(refused(code, refusal.to_string()))
    }

    /// Whether the state may be read now, `stale` or not.
    pub(super) async fn readable(&self, stale: bool) -> Result<(), ReadResult> {
        // A node that stopped may have a state that nobody else has (CP-R3).
        if let Some(reason) = self.supervisor.status().stopped {
            return Err(ReadResult::Refused(refused(RefusedCode::Stopped, format!("the node has stopped: {reason}"))));
        }
        if stale {
            return Ok(());
        }
        let barrier = self.supervisor.consensus().read_barrier().await.map(drop);
        barrier.map_err(|error| match error {
            ReadError::NotLeader { leader } => ReadResult::Redirect(self.redirect(leader)),
            ReadError::NoQuorum => ReadResult::Refused(refused(RefusedCode::NoQuorum, error.to_string())),
            ReadError::Stopped { .. } => ReadResult::Refused(refused(RefusedCode::Stopped, error.to_string())),
            _ => ReadResult::Refused(refused(RefusedCode::Unspecified, error.to_string())),
        })
    }

    fn lease_desk(&self) -> Option<LeaseDesk> {
        let desk = self.supervisor.leases();
        let status = desk.status()?;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let longest = self.supervisor.machine().read(cp_catalog::Catalog::longest_lease);
        Some(LeaseDesk {
            length_ns: convert::nanos(desk.policy().ok()?.length()),
            longest_ns: convert::nanos(longest.length()),
            settles_in_ns: convert::nanos(status.settles_in),
            awaiting: count(status.awaiting),
            granted: desk.counts().granted,
        })
    }

    /// How this node is.
    pub fn node_status(&self) -> NodeStatus {
        let status = self.supervisor.status();
        let read = |applied, catalog: &cp_catalog::Catalog| (applied, catalog.digest(), catalog.feature_level());
        let (digest_at, digest, feature_level) = self.supervisor.machine().read_at(read);
        let role = match status.role {
            ControlPlaneRole::Leader => "leader",
            ControlPlaneRole::Follower => "follower",
            ControlPlaneRole::Candidate => "candidate",
        };
        let progress = |p: cp_seam::MemberProgress| Progress {
            member: p.member.to_string(),
            incarnation: p.incarnation.0,
            standing: match p.standing {
                Standing::Voter => "voter",
                Standing::Outgoing => "outgoing",
                Standing::Learner => "learner",
            }
            .to_owned(),
            matched: p.matched.0,
            diverged_at: p.diverged_at.map(|index| index.0),
            last_ack_ms: p.last_ack.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        };
        NodeStatus {
            cluster: self.identity.cluster.to_string(),
            generation: self.identity.generation.number.into(),
            generation_id: self.identity.generation.id.to_vec(),
            member: self.identity.member.to_string(),
            incarnation: self.identity.incarnation.0,
            engine: self.engine.to_owned(),
            role: role.to_owned(),
            term: status.term.0,
            leader_address: status.leader.as_ref().and_then(|leader| self.client_address(leader)),
            leader: status.leader.map(|leader| leader.to_string()),
            serving: self.supervisor.consensus().is_leader(),
            committed: status.committed.0,
            applied: status.applied.0,
            digest: digest.to_string(),
            digest_at: digest_at.0,
            settled: status.settled,
            stopped: status.stopped,
            diverged_at: status.diverged_at.map(|index| index.0),
            progress: self.supervisor.consensus().progress().into_iter().map(progress).collect(),
            feature_level,
            supports_level: cp_catalog::FEATURE_LEVEL,
            leases: self.lease_desk(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

pub(super) fn refused(code: RefusedCode, message: impl Into<String>) -> Refused {
    Refused { code: code.into(), message: message.into() }
}

#[async_trait]
impl ControlPlaneApi for NodeApi {
    async fn propose(
        self: Arc<Self>,
        requests: Request<Streaming<ProposeRequest>>,
    ) -> Result<BoxStream<'static, Result<ProposeReply, Status>>, Status> {
        let principal = caller(&requests)?;
        Ok(propose::replies(self, principal, requests.into_inner()))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<ReadReply, Status> {
        let principal = caller(&request)?;
        let ReadRequest { stale, query } = request.into_inner();
        let Some(query) = query else {
            return Err(Status::invalid_argument("query is missing or unknown to this release; upgrade this node"));
        };
        if matches!(query, Query::Node(_)) {
            let status = self.node_status();
            return Ok(ReadReply {
                applied: status.applied,
                stale: true,
                result: Some(ReadResult::Node(Box::new(status))),
            });
        }
        // Only the leader keeps a book of leases, so that is not to be had stale.
        let stale = stale && !matches!(query, Query::Awaiting(_));
        if let Err(result) = self.readable(stale).await {
            return Ok(ReadReply { applied: 0, stale, result: Some(result) });
        }
        // Judged by the state that is read: what was granted or revoked before counts.
        let answer = |catalog: &Catalog| {
            allow(catalog, &principal, Privilege::Read)
                .map_or_else(ReadResult::Refused, |()| query::answer(&query, catalog))
        };
        let (applied, result) = match query {
            // Short, and frequent: without a copy of the state, which would cost the next write.
            Query::Awaiting(_) => {
                let may = self.allows(&principal, Privilege::Read);
                (self.supervisor.machine().applied(), may.map_or_else(ReadResult::Refused, |()| self.awaiting()))
            }
            Query::Lookup(_) => self.supervisor.machine().read_at(|applied, catalog| (applied, answer(catalog))),
            _ => {
                let Reading { applied, catalog, .. } = self.supervisor.read_stale();
                (applied, answer(&catalog))
            }
        };
        Ok(ReadReply { applied: applied.0, stale, result: Some(result) })
    }

    async fn transfer(&self, request: Request<TransferRequest>) -> Result<TransferReply, Status> {
        let principal = caller(&request)?;
        let leads = self.supervisor.consensus().is_leader();
        if let Err(refusal) = self.allows(&principal, Privilege::Operate)
            && leads
        {
            return Ok(TransferReply { result: Some(TransferResult::Refused(refusal)) });
        }
        let result = match self.hand_over(&request.into_inner().to).await {
            Ok(leader) => TransferResult::Leader(leader.to_string()),
            Err(result) => result,
        };
        Ok(TransferReply { result: Some(result) })
    }

    async fn renew_lease(&self, request: Request<RenewLeaseRequest>) -> Result<RenewLeaseReply, Status> {
        let principal = caller(&request)?;
        Ok(RenewLeaseReply { result: Some(self.renewed(&principal, request.get_ref()).await) })
    }

    async fn close_gate(&self, request: Request<CloseGateRequest>) -> Result<CloseGateReply, Status> {
        let principal = caller(&request)?;
        Ok(CloseGateReply { result: Some(self.noted(&principal, request.get_ref()).await) })
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<BoxStream<'static, Result<WatchEvent, Status>>, Status> {
        let principal = caller(&request)?;
        Ok(watch::events(&self.supervisor, principal, &request.into_inner()))
    }

    async fn join(
        &self,
        request: Request<JoinRequest>,
    ) -> Result<BoxStream<'static, Result<JoinChunk, Status>>, Status> {
        let peer = convert::peer(&request)?;
        Ok(join::admit(self, &peer, request.into_inner()).await)
    }

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<BoxStream<'static, Result<SnapshotPiece, Status>>, Status> {
        if let Err(refusal) = self.allows(&caller(&request)?, Privilege::Read) {
            return Err(Status::permission_denied(refusal.message));
        }
        Ok(snapshot::pieces(self, request.into_inner()).await)
    }
}

impl NodeApi {
    async fn hand_over(&self, to: &str) -> Result<MemberId, TransferResult> {
        let invalid = |why: String| TransferResult::Refused(refused(RefusedCode::Invalid, why));
        let consensus = self.supervisor.consensus();
        let to = if to.is_empty() {
            let mut voters: Vec<_> = consensus.progress();
            voters.retain(|p| p.standing == Standing::Voter && p.incarnation != self.identity.incarnation);
            let catalog = self.supervisor.read_stale().catalog;
            let data = |id: &MemberId| catalog.member(id).is_some_and(|m| m.kind == MemberKind::Data);
            voters.sort_by_key(|p| (data(&p.member), p.matched, std::cmp::Reverse(p.incarnation)));
            match voters.pop() {
                Some(heir) => heir.member,
                None if consensus.is_leader() => {
                    return Err(invalid("there is no other voter to hand over to; promote a member first".to_owned()));
                }
                None => return Err(TransferResult::Redirect(self.redirect(consensus.leader()))),
            }
        } else {
            MemberId::new(to).map_err(|bad| invalid(bad.to_string()))?
        };
        if to == self.identity.member && consensus.is_leader() {
            return Ok(to);
        }
        match consensus.transfer_leadership(&to).await {
            Ok(()) => Ok(to),
            Err(TransferError::NotLeader { leader }) => Err(TransferResult::Redirect(self.redirect(leader))),
            Err(error @ TransferError::NotAVoter { .. }) => Err(invalid(error.to_string())),
            Err(error @ TransferError::Stopped { .. }) => {
                Err(TransferResult::Refused(refused(RefusedCode::Stopped, error.to_string())))
            }
            Err(error) => Err(TransferResult::Refused(refused(RefusedCode::NotTaken, error.to_string()))),
        }
    }
}
