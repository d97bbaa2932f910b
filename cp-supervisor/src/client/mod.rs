//! The client of the daemon's API: what the CLI, the demo and applications use.
//!
//! It takes requests to the leader, follows redirects, and retries under the same
//! request id until the deadline; what it cannot tell it calls unknown (CP-P3, CP-P5).

mod connect;
mod join;
mod route;
mod watch;

pub use watch::{Watch, Watched};

use crate::api::convert;
use crate::api::messages::{
    CollectionsQuery, LookupQuery, MembersQuery, NodeQuery, NodeStatus, ProposeRequest, ProposeResult, Query,
    RangeName, RangesQuery, ReadRequest, ReadResult, TransferRequest, TransferResult,
};
use crate::session::{NoRandomness, Session};
use crate::supervisor::Decision;
use bytes::Bytes;
use connect::Connections;
use cp_catalog::{CollectionName, CollectionSpec, Command, Member, Range, RangeKey, Request, RequestId, codec};
use cp_net::tls::Credentials;
use cp_seam::ControlPlaneLogIndex;
use futures::FutureExt;
use route::{Attempt, Route};
use std::time::Duration;
use tokio::sync::OnceCell;

/// A client of one cluster. Use one per process: it holds the connections and
/// numbers the requests.
#[derive(Debug)]
pub struct Client {
    route: Route,
    within: Duration,
    stale: bool,
    session: OnceCell<Session>,
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node could be connected to. Nothing was done.
    #[error("no node can be reached ({reason}); check the endpoints and whether the nodes run")]
    Unreachable {
        /// Of the last attempt.
        reason: String,
    },
    /// Nodes were reached, and none of them served the request. Nothing was done.
    #[error("no node served the request within {within_ms} ms: {reason}")]
    NotServed {
        /// Of the last attempt.
        reason: String,
        /// For how long it was tried.
        within_ms: u64,
    },
    /// It may or may not have taken effect. Only the same id makes a retry safe.
    #[error("whether the request took effect is unknown: {reason}; read the state before asking again")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// The node refuses the request itself. Nothing was done.
    #[error("{reason}")]
    Refused {
        /// Why, and what would do.
        reason: String,
    },
    /// The node failed, or speaks another version.
    #[error("the node answered with an error: {reason}")]
    Server {
        /// What it said.
        reason: String,
    },
    /// The other end is not who it must be, or does not accept this certificate.
    #[error("{reason}")]
    Identity {
        /// Where, and why, from either end.
        reason: String,
    },
    /// No random request id.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl ClientError {
    /// What happened, without the advice.
    fn reason(&self) -> String {
        match self {
            Self::Unreachable { reason } | Self::NotServed { reason, .. } | Self::Unknown { reason } => reason.clone(),
            other => cp_driver::chain(other),
        }
    }

    /// Whether no other node would do better.
    fn is_final(&self) -> bool {
        matches!(self, Self::Identity { .. } | Self::Refused { .. } | Self::Server { .. })
    }
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
        Self { route, within, stale: false, session: OnceCell::new() }
    }

    /// Lets reads be answered by any node as it is; answers say so.
    #[must_use]
    pub fn stale(mut self, stale: bool) -> Self {
        self.stale = stale;
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
        let session = self
            .session
            .get_or_try_init(|| async {
                let members = self.ask(Query::Members(MembersQuery {}), false).await?;
                self.learn_members(&members.value);
                Session::begin(members.applied).map_err(ClientError::from)
            })
            .await?;
        Ok(session.next_id())
    }

    fn learn_members(&self, result: &ReadResult) {
        if let ReadResult::Members(members) = result {
            let known = members.members.iter().filter_map(|bytes| codec::decode_member(bytes).ok());
            self.route.learn(known.map(|member| member.addresses.client));
        }
    }

    /// Submits a new request and waits for its verdict.
    pub async fn submit(&self, command: impl Into<Command>) -> Result<Decision, ClientError> {
        let id = self.next_id().await?;
        self.submit_as(id, command).await
    }

    /// Submits a request under an id; again under the same id is the same request (CP-P5).
    pub async fn submit_as(&self, id: RequestId, command: impl Into<Command>) -> Result<Decision, ClientError> {
        let request = Request::new(Some(id), command);
        let entry = request.to_entry().map_err(|error| ClientError::Refused { reason: error.to_string() })?;
        let kind = convert::kind_number(entry.kind());
        let body = entry.payload().as_bytes().clone();
        self.route
            .call(self.within, |caller, patience| {
                let wait_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).saturating_mul(9) / 10;
                let message = ProposeRequest { kind, request: body.clone(), wait_ms };
                async move {
                    let reply = match caller.propose(tonic::Request::new(message)).await {
                        Ok(reply) => reply,
                        Err(status) => return Attempt::status(&status, false),
                    };
                    match reply.result {
                        Some(ProposeResult::Committed(committed)) => match codec::decode_verdict(&committed.verdict) {
                            Ok(verdict) => Attempt::Done(Decision {
                                position: convert::log_position(committed.position),
                                verdict,
                                settled: committed.settled,
                            }),
                            Err(error) => Attempt::Fail(ClientError::Server { reason: cp_driver::chain(&error) }),
                        },
                        Some(ProposeResult::Redirect(redirect)) => Attempt::Elsewhere(redirect),
                        Some(ProposeResult::Refused(refused)) => Attempt::refused(refused),
                        Some(ProposeResult::Unknown(unknown)) => Attempt::Perhaps(unknown.reason),
                        None => Attempt::Fail(newer()),
                    }
                }
                .boxed()
            })
            .await
    }

    async fn ask(&self, query: Query, stale: bool) -> Result<Answer<ReadResult>, ClientError> {
        self.route
            .call(self.within, |caller, _| {
                let message = ReadRequest { stale, query: Some(query.clone()) };
                async move {
                    let reply = match caller.read(tonic::Request::new(message)).await {
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

    /// Every member, in ascending order of names.
    pub async fn members(&self) -> Result<Answer<Vec<Member>>, ClientError> {
        let answer = self.ask(Query::Members(MembersQuery {}), self.stale).await?;
        self.learn_members(&answer.value);
        let ReadResult::Members(members) = &answer.value else { return Err(newer()) };
        let members = decode(&members.members, codec::decode_member)?;
        Ok(answer.with(members))
    }

    /// Every collection, in ascending order of names.
    pub async fn collections(&self) -> Result<Answer<Vec<CollectionSpec>>, ClientError> {
        let answer = self.ask(Query::Collections(CollectionsQuery {}), self.stale).await?;
        let ReadResult::Collections(collections) = &answer.value else { return Err(newer()) };
        let collections = decode(&collections.collections, codec::decode_collection)?;
        Ok(answer.with(collections))
    }

    /// The ranges of one collection or of all, by collection and key. Asked for in
    /// pages: each is as fresh as the answer says, and `applied` is that of the first.
    pub async fn ranges(
        &self,
        collection: Option<&CollectionName>,
    ) -> Result<Answer<Vec<(RangeKey, Range)>>, ClientError> {
        let mut all: Option<Answer<Vec<(RangeKey, Range)>>> = None;
        loop {
            let after = all
                .as_ref()
                .and_then(|all| all.value.last())
                .map(|(key, _)| RangeName { collection: key.collection.to_string(), id: key.id.0 });
            let query = RangesQuery { collection: collection.map(ToString::to_string), after, limit: 0 };
            let answer = self.ask(Query::Ranges(query), self.stale).await?;
            let (page, more) = page(&answer.value)?;
            match &mut all {
                Some(all) => all.value.extend(page),
                None => all = Some(answer.with(page)),
            }
            match all.take() {
                Some(done) if !more => return Ok(done),
                rest => all = rest,
            }
        }
    }

    /// The range that holds `key`, if one does.
    pub async fn lookup(
        &self,
        collection: &CollectionName,
        key: &[u8],
    ) -> Result<Answer<Option<(RangeKey, Range)>>, ClientError> {
        let query = LookupQuery { collection: collection.to_string(), key: Bytes::copy_from_slice(key) };
        let answer = self.ask(Query::Lookup(query), self.stale).await?;
        let found = page(&answer.value)?.0.pop();
        Ok(answer.with(found))
    }

    /// The range of this name, if it exists.
    pub async fn range(&self, key: &RangeKey) -> Result<Option<Range>, ClientError> {
        let ranges = self.ranges(Some(&key.collection)).await?.value;
        Ok(ranges.into_iter().find(|(name, _)| name == key).map(|(_, range)| range))
    }

    /// How the node at `address` is; nobody else is asked.
    pub async fn node(&self, address: &str, within: Duration) -> Result<NodeStatus, ClientError> {
        let asked = async {
            let caller = self.route.connections.to(address).await?;
            let message = ReadRequest { stale: true, query: Some(Query::Node(NodeQuery {})) };
            match caller.read(tonic::Request::new(message)).await.map(|reply| reply.result) {
                Ok(Some(ReadResult::Node(status))) => Ok(*status),
                Ok(_) => Err(newer()),
                Err(status) => {
                    self.route.connections.forget(address);
                    Err(ClientError::Unreachable { reason: format!("{address}: {}", status.message()) })
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
            .call(self.within, |caller, _| {
                let message = TransferRequest { to: to.unwrap_or_default().to_owned() };
                async move {
                    match caller.transfer(tonic::Request::new(message)).await.map(|reply| reply.result) {
                        Ok(Some(TransferResult::Leader(leader))) => Attempt::Done(leader),
                        Ok(Some(TransferResult::Redirect(redirect))) => Attempt::Elsewhere(redirect),
                        Ok(Some(TransferResult::Refused(refused))) => Attempt::refused(refused),
                        Ok(None) => Attempt::Fail(newer()),
                        // Retried without a named target, it could move leadership twice.
                        Err(status) => Attempt::Fail(ClientError::Unknown { reason: status.message().to_owned() }),
                    }
                }
                .boxed()
            })
            .await
    }
}

fn page(result: &ReadResult) -> Result<(Vec<(RangeKey, Range)>, bool), ClientError> {
    let ReadResult::Ranges(ranges) = result else { return Err(newer()) };
    let mut page = Vec::new();
    for item in &ranges.ranges {
        let bad = |reason: String| ClientError::Server { reason };
        let collection = CollectionName::new(&item.collection).map_err(|error| bad(error.to_string()))?;
        let range = codec::decode_range(&item.range).map_err(|error| bad(cp_driver::chain(&error)))?;
        page.push((RangeKey::new(collection, range.id), range));
    }
    Ok((page, ranges.more))
}

fn decode<T>(
    records: &[Bytes],
    decode: impl Fn(&[u8]) -> Result<T, codec::DecodeError>,
) -> Result<Vec<T>, ClientError> {
    let decoded: Result<Vec<_>, _> = records.iter().map(|bytes| decode(bytes)).collect();
    decoded.map_err(|error| ClientError::Server { reason: cp_driver::chain(&error) })
}

fn newer() -> ClientError {
    ClientError::Server { reason: "it answers what this release does not know; upgrade this client".to_owned() }
}
