//! The client of the daemon's API: what the CLI, the demo and applications use.
//!
//! It takes requests to the leader, follows redirects, and retries under the same
//! request id until the deadline; what it cannot tell it calls unknown (CP-P3, CP-P5).

mod audit;
mod connect;
mod error;
mod join;
mod lease;
mod proposals;
mod query;
mod route;
mod snapshot;
mod state;
mod watch;

pub use audit::Audit;
pub use error::ClientError;
pub use lease::{Awaited, LeaseError, Renewed};
pub use snapshot::SnapshotStream;
pub use watch::{Watch, Watched};

use crate::api::convert;
use crate::api::messages::{
    MembersQuery, NodeQuery, NodeStatus, ProposeRequest, ProposeResult, Query, ReadRequest, ReadResult,
    TransferRequest, TransferResult,
};
use crate::session::Session;
use crate::supervisor::Decision;
use connect::Connections;
use cp_catalog::{AuthorityClaim, Command, Refusal, Request, RequestId, RequestRefusal, Verdict, codec};
use cp_net::tls::Credentials;
use cp_seam::ControlPlaneLogIndex;
use futures::FutureExt;
use proposals::Unanswered;
use route::{Attempt, Route};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// A client of one cluster. Use one per process: it holds the connections and
/// numbers the requests.
#[derive(Debug)]
pub struct Client {
    route: Route,
    within: Duration,
    stale: bool,
    claim: Option<AuthorityClaim>,
    session: Mutex<Option<Session>>,
}

/// An answer and what it reflects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// The index it reflects.
    pub applied: ControlPlaneLogIndex,
    /// Whether it may be older than what was acknowledged.
    pub stale: bool,
}

impl<T> Answer<T> {
    fn with<U>(self, value: U) -> Answer<U> {
        Answer { value, applied: self.applied, stale: self.stale }
    }
}

impl Client {
    /// A client that knows the cluster by `endpoints` (client addresses, as
    /// `host:port`) and gives each call at most `within`. Connects when first used.
    pub fn new(endpoints: Vec<String>, credentials: Credentials, within: Duration) -> Self {
        let route = Route::new(Connections::new(credentials), endpoints);
        Self { route, within, stale: false, claim: None, session: Mutex::new(None) }
    }

    /// Lets reads be answered by any node as it is; answers say so.
    #[must_use]
    pub fn stale(mut self, stale: bool) -> Self {
        self.stale = stale;
        self
    }

    /// Acts by a placement authority: from feature level 2 on, requests that move nothing past
    /// evidence are refused once that authority has moved, or if they are about another group.
    #[must_use]
    pub fn under(mut self, claim: AuthorityClaim) -> Self {
        self.claim = Some(claim);
        self
    }

    /// Gives each call at most `within`.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The id for a new request.
    pub async fn next_id(&self) -> Result<RequestId, ClientError> {
        let mut kept = self.session.lock().await;
        if let Some(session) = kept.as_ref() {
            return Ok(session.next_id());
        }
        let since = match self.ask(Query::Members(MembersQuery {}), false).await {
            Ok(members) => {
                self.learn_members(&members.value);
                members.applied
            }
            // Whoever may not read may still ask, and be told what it lacks.
            Err(ClientError::Refused { .. }) => ControlPlaneLogIndex(self.leader().await?.applied),
            Err(error) => return Err(error),
        };
        Ok(kept.insert(Session::begin(since)?).next_id())
    }

    /// The next id is one of a new session, if the session of `id` is still the present one.
    async fn renew(&self, id: &RequestId) {
        self.session.lock().await.take_if(|session| session.client() == id.client);
    }

    fn learn_members(&self, result: &ReadResult) {
        if let ReadResult::Members(members) = result {
            let known = members.members.iter().filter_map(|bytes| codec::decode_member(bytes).ok());
            self.route.learn(known.map(|member| member.addresses.client));
        }
    }

    /// Submits a new request and waits for its verdict.
    ///
    /// If the state has forgotten this client, which was idle while others asked much, the request
    /// is submitted again in a new session, unless an attempt was sent and not answered.
    pub async fn submit(&self, command: impl Into<Command>) -> Result<Decision, ClientError> {
        let command = command.into();
        let id = self.next_id().await?;
        let doubts = AtomicU32::new(0);
        let decision = self.attempts(id, command.clone(), &doubts).await?;
        let Verdict::Refused(Refusal::Request(refusal)) = &decision.verdict else { return Ok(decision) };
        // Either the session began in what a recovery has lost, or it is forgotten: nothing of it is in
        // the state. But an attempt that was not answered may still come, and by then the log may have
        // got so far, or may have taken effect before its session was forgotten.
        let in_doubt = doubts.load(Ordering::Relaxed) > 0;
        match refusal {
            RequestRefusal::ClientFromFuture { .. } if in_doubt => {
                self.renew(&id).await;
                Err(ClientError::Unknown { reason: refusal.to_string() })
            }
            // That is the caller's to judge, and the next request need not share its fate.
            RequestRefusal::Expired { .. } if in_doubt => {
                self.renew(&id).await;
                Ok(decision)
            }
            RequestRefusal::ClientFromFuture { .. } | RequestRefusal::Expired { .. } => {
                self.renew(&id).await;
                let id = self.next_id().await?;
                self.submit_as(id, command).await
            }
            _ => Ok(decision),
        }
    }

    /// Submits a request under an id; again under the same id is the same request (CP-P5).
    pub async fn submit_as(&self, id: RequestId, command: impl Into<Command>) -> Result<Decision, ClientError> {
        self.attempts(id, command, &AtomicU32::new(0)).await
    }

    /// As [`submit_as`](Self::submit_as); `doubts` is how many attempts were sent and not answered.
    async fn attempts(
        &self,
        id: RequestId,
        command: impl Into<Command>,
        doubts: &AtomicU32,
    ) -> Result<Decision, ClientError> {
        let request = Request { claim: self.claim.clone(), ..Request::new(Some(id), command) };
        let entry = request.to_entry().map_err(|error| ClientError::Refused { reason: error.to_string() })?;
        let kind = convert::kind_number(entry.kind());
        let body = entry.payload().as_bytes().clone();
        self.route
            .call(self.within, |node, patience| {
                let wait_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).saturating_mul(9) / 10;
                let message = ProposeRequest { kind, request: body.clone(), wait_ms, number: 0 };
                async move {
                    // Taken back by an answer; an attempt that is given up leaves it.
                    doubts.fetch_add(1, Ordering::Relaxed);
                    let outcome = match node.proposals.ask(&node.caller, message).await {
                        Ok(reply) => decided(reply.result),
                        Err(Unanswered::Unsent(status)) => Attempt::unsent(&status),
                        Err(Unanswered::Lost(status)) => Attempt::Perhaps(route::explain(&status)),
                    };
                    if !matches!(outcome, Attempt::Perhaps(_)) {
                        doubts.fetch_sub(1, Ordering::Relaxed);
                    }
                    outcome
                }
                .boxed()
            })
            .await
    }

    async fn ask(&self, query: Query, stale: bool) -> Result<Answer<ReadResult>, ClientError> {
        self.route
            .call(self.within, |node, _| {
                let message = ReadRequest { stale, query: Some(query.clone()) };
                async move {
                    let reply = match node.caller.read(tonic::Request::new(message)).await {
                        Ok(reply) => reply,
                        Err(status) => return Attempt::status(&status, true),
                    };
                    let applied = ControlPlaneLogIndex(reply.applied);
                    match reply.result {
                        Some(ReadResult::Redirect(redirect)) => Attempt::Elsewhere(redirect),
                        Some(ReadResult::Refused(refused)) => Attempt::refused(refused),
                        Some(value) => Attempt::Done(Answer { value, applied, stale: reply.stale }),
                        None => Attempt::Fail(newer()),
                    }
                }
                .boxed()
            })
            .await
            .map_err(|error| match error {
                // A read has no effect that could be unknown.
                ClientError::Unknown { reason } => {
                    let within_ms = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
                    ClientError::NotServed { reason, within_ms }
                }
                other => other,
            })
    }

    /// How the node at `address` is; nobody else is asked.
    pub async fn node(&self, address: &str, within: Duration) -> Result<NodeStatus, ClientError> {
        let asked = async {
            let node = self.route.connections.to(address).await?;
            let message = ReadRequest { stale: true, query: Some(Query::Node(NodeQuery {})) };
            match node.caller.read(tonic::Request::new(message)).await.map(|reply| reply.result) {
                Ok(Some(ReadResult::Node(status))) => Ok(*status),
                Ok(_) => Err(newer()),
                Err(status) => {
                    self.route.connections.forget(address, &node);
                    Err(ClientError::Unreachable { reason: format!("{address}: {}", route::explain(&status)) })
                }
            }
        };
        match tokio::time::timeout(within, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Unreachable { reason: format!("{address} did not answer in time") }),
        }
    }

    /// How the node is that leads and serves, wherever it is.
    pub async fn leader(&self) -> Result<NodeStatus, ClientError> {
        let started = tokio::time::Instant::now();
        let mut why = String::new();
        loop {
            for address in self.addresses() {
                match self.node(&address, self.within).await {
                    Ok(status) if status.serving => return Ok(status),
                    Ok(status) => {
                        why = format!("{} does not lead", status.member);
                        self.route.learn(status.leader_address);
                    }
                    Err(error) if error.is_final() => return Err(error),
                    Err(error) => why = error.reason(),
                }
            }
            if started.elapsed() >= self.within {
                let within_ms = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
                return Err(ClientError::NotServed { reason: why, within_ms });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the quorum follows a membership change decided at `index`, for
    /// as long as a call may take; `false` if it does not by then.
    pub async fn settled(&self, index: ControlPlaneLogIndex) -> Result<bool, ClientError> {
        let started = tokio::time::Instant::now();
        while started.elapsed() < self.within {
            let leader = self.leader().await?;
            if leader.settled && leader.applied >= index.0 {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(false)
    }

    /// The client addresses known so far, the one that answered last first.
    pub fn addresses(&self) -> Vec<String> {
        self.route.addresses()
    }

    /// Hands leadership to `to`, or to the voter that is furthest. Returns who leads.
    pub async fn transfer(&self, to: Option<&str>) -> Result<String, ClientError> {
        self.route
            .call(self.within, |node, _| {
                let message = TransferRequest { to: to.unwrap_or_default().to_owned() };
                async move {
                    match node.caller.transfer(tonic::Request::new(message)).await.map(|reply| reply.result) {
                        Ok(Some(TransferResult::Leader(leader))) => Attempt::Done(leader),
                        Ok(Some(TransferResult::Redirect(redirect))) => Attempt::Elsewhere(redirect),
                        Ok(Some(TransferResult::Refused(refused))) => Attempt::refused(refused),
                        Ok(None) => Attempt::Fail(newer()),
                        // Retried without a named target, it could move leadership twice.
                        Err(status) => Attempt::Fail(ClientError::Unknown { reason: route::explain(&status) }),
                    }
                }
                .boxed()
            })
            .await
    }
}

/// What a reply to a proposal means.
fn decided(result: Option<ProposeResult>) -> Attempt<Decision> {
    match result {
        Some(ProposeResult::Committed(committed)) => match codec::decode_verdict(&committed.verdict) {
            Ok(verdict) => Attempt::Done(Decision {
                position: convert::log_position(committed.position),
                verdict,
                settled: committed.settled,
            }),
            // It is committed, and what it did is not to be told.
            Err(error) => Attempt::Fail(ClientError::Unknown { reason: cp_driver::chain(&error) }),
        },
        Some(ProposeResult::Redirect(redirect)) => Attempt::Elsewhere(redirect),
        Some(ProposeResult::Refused(refused)) => Attempt::refused(refused),
        Some(ProposeResult::Unknown(unknown)) => Attempt::Perhaps(unknown.reason),
        None => Attempt::Fail(ClientError::Unknown { reason: newer().reason() }),
    }
}

fn newer() -> ClientError {
    ClientError::Server { reason: "it answers what this release does not know; upgrade this client".to_owned() }
}
