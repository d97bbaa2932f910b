//! Request and response over frames that go one way: the asking half.
//!
//! A request waits under its id until it is answered or its time is up. Ids begin
//! anew above all earlier ones at every start, so that an answer to a question of
//! an earlier life is never taken for one of this life.

use crate::confirmed::Confirmed;
use crate::pipeline;
use crate::snapshot::Content;
use crate::timing;
use crate::translate;
use crate::types::{Snapshot, Types, Vote};
use crate::wire::{
    Append, Appended, Body, Campaign, Fate, Header, Judged, Message, Transfer, Transferred, VoteMessage, position,
    voted,
};
use bytes::Bytes;
use cp_driver::Host;
use cp_driver::wire::RecordMessage;
use cp_seam::{Incarnation, LogPosition, Term};
use futures::future::Either;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use prost::Message as _;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The questions under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    host: Arc<Host>,
    closed: AtomicBool,
    still: AtomicBool,
    open: Mutex<Open>,
    confirmed: Confirmed,
}

#[derive(Debug)]
struct Open {
    next: u64,
    questions: BTreeMap<u64, Question>,
}

#[derive(Debug)]
struct Question {
    to: Incarnation,
    asked: Instant,
    /// What an append of this leader's term acknowledges.
    acknowledges: Option<(Term, LogPosition)>,
    answer: oneshot::Sender<Body>,
}

impl Exchange {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        let next = host.store().boot() << 32;
        Self {
            host,
            closed: AtomicBool::new(false),
            still: AtomicBool::new(false),
            open: Mutex::new(Open { next, questions: BTreeMap::new() }),
            confirmed: Confirmed::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last question that was asked.
    pub(crate) fn last_question(&self) -> u64 {
        self.open().next
    }

    /// Waits until a quorum has answered what was asked in `term` after `question` (CP-P4).
    pub(crate) async fn confirmed(&self, term: Term, question: u64) {
        let newest = self.host.store().configurations().pop().map(|(_, configuration)| configuration);
        self.confirmed.quorum(&newest.unwrap_or_default(), self.host.me(), term, question).await;
    }

    /// From now on no frame leaves, and nobody is answered.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.open().questions.clear();
    }

    /// Whether this node, as a leader, has others hear nothing of it for now.
    pub(crate) fn keep_still(&self, still: bool) {
        self.still.store(still, Ordering::SeqCst);
    }

    pub(crate) fn send(&self, to: Incarnation, id: u64, body: Body) {
        let still = self.still.load(Ordering::SeqCst) && matches!(body, Body::Append(_));
        if !still && !self.closed.load(Ordering::SeqCst) {
            self.host.send(to, Message::bytes(id, body));
        }
    }

    /// Sends `body` at once; the future is its answer, `None` if there is none in time.
    fn ask(
        &self,
        to: Incarnation,
        body: Body,
        acknowledges: Option<(Term, LogPosition)>,
        patience: Duration,
    ) -> impl Future<Output = Option<Body>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + patience;
        let id = {
            let mut open = self.open();
            open.next += 1;
            let (id, asked) = (open.next, Instant::now());
            // Questions whose asker has gone stay until an answer is too old to count.
            let stale = timing::answer_deadline(self.host.settings()).max(patience);
            while open.questions.first_entry().is_some_and(|first| asked.duration_since(first.get().asked) > stale) {
                open.questions.pop_first();
            }
            open.questions.insert(id, Question { to, asked, acknowledges, answer });
            id
        };
        self.send(to, id, body);
        async move { timeout_at(until, answered).await.ok()?.ok() }
    }

    /// Sends `body` at once, and after every heartbeat again until it is answered, so
    /// that a way may be longer than a heartbeat, and a lost frame costs no more than one.
    fn insist(
        &self,
        to: Incarnation,
        body: Body,
        acknowledges: Option<(Term, LogPosition)>,
        patience: Duration,
    ) -> impl Future<Output = Option<Body>> + Send {
        let pause = self.host.settings().heartbeat;
        let until = Instant::now() + patience;
        let asked = FuturesUnordered::from_iter([self.ask(to, body.clone(), acknowledges, patience)]);
        async move {
            let mut asked = asked;
            loop {
                tokio::select! {
                    biased;
                    Some(Some(answer)) = asked.next() => return Some(answer),
                    () = sleep_until(until) => return None,
                    () = sleep(pause) => {
                        let left = until.saturating_duration_since(Instant::now());
                        asked.push(self.ask(to, body.clone(), acknowledges, left));
                    }
                }
            }
        }
    }

    /// Asks `to` to take over from the leader of `term`: why it does not, empty if it
    /// does; `None` if it does not answer.
    pub(crate) async fn transfer(&self, to: Incarnation, term: Term, last: Option<LogPosition>) -> Option<String> {
        let transfer = Transfer { term: term.0, last: last.map(Into::into) };
        let patience = timing::append_deadline(self.host.settings()) * 2;
        match self.ask(to, Body::Transfer(transfer), None, patience).await? {
            Body::Transferred(Transferred { refusal }) => Some(refusal),
            _ => None,
        }
    }

    /// Takes an answer. An append that was acknowledged in time tells the driver
    /// that the peer is in touch, even if openraft has stopped waiting for it.
    pub(crate) fn answered(&self, from: Incarnation, id: u64, body: Body) {
        let Some(question) = ({
            let mut open = self.open();
            let asked_of_it = open.questions.get(&id).is_some_and(|question| question.to == from);
            if asked_of_it { open.questions.remove(&id) } else { None }
        }) else {
            return tracing::trace!(%from, id, "an answer that nobody waits for");
        };
        let durable = matches!(body, Body::Appended(Appended { fate: Some(Fate::Durable(_)) }));
        if let Some((term, _)) = question.acknowledges
            && durable
        {
            self.confirmed.note(from, term, id);
        }
        if let Some((term, matched)) = question.acknowledges
            && durable
            && question.asked.elapsed() <= timing::answer_deadline(self.host.settings())
        {
            self.host.acknowledged(from, term, matched);
        }
        if question.answer.send(body).is_err() {
            tracing::trace!(%from, id, "an answer came too late");
        }
    }
}

/// Makes clients.
#[derive(Debug, Clone)]
pub(crate) struct Clients(pub(crate) Arc<Exchange>);

impl RaftNetworkFactory<Types> for Clients {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &()) -> Client {
        Client { exchange: Arc::clone(&self.0), target: Incarnation(target) }
    }
}

/// Asks one peer.
#[derive(Debug)]
pub(crate) struct Client {
    exchange: Arc<Exchange>,
    target: Incarnation,
}

pub(crate) type RpcError = RPCError<Types>;
type Answers<'s> = Pin<Box<dyn Stream<Item = Result<StreamAppendResult<Types>, RpcError>> + Send + 's>>;
type Opening<'s> = Pin<Box<dyn Future<Output = Result<Answers<'s>, RpcError>> + Send + 's>>;

impl Client {
    fn late(&self, action: RPCTypes, timeout: Duration) -> RpcError {
        let id = self.exchange.host.me().0;
        RPCError::Timeout(Timeout { action, id, target: self.target.0, timeout })
    }

    fn odd(&self) -> RpcError {
        RPCError::Network(NetworkError::from_string(format!("member {} answered something else", self.target)))
    }

    /// The vote that a peer says it has given. A peer that followed an earlier life of
    /// this node remembers it as elected; to this life it was a vote and no more, and
    /// openraft would take it as elected. Not to listen at all would be worse: a leader
    /// that has restarted could then not be elected by those that followed it.
    fn voted(&self, vote: VoteMessage) -> Result<VoteMessage, RpcError> {
        let about_me = Incarnation(vote.candidate) == self.exchange.host.me();
        let vote = VoteMessage { elected: vote.elected && !about_me, ..vote };
        voted(vote).map_err(|_| self.odd())
    }

    /// Sends records at once; the future is what became of them.
    fn append(
        &self,
        rpc: AppendEntriesRequest<Types>,
    ) -> impl Future<Output = Result<AppendEntriesResponse<Types>, RpcError>> + Send {
        let after = rpc.prev_log_id.as_ref().map(translate::position);
        let term = Term(rpc.vote.leader_id.term);
        let records: Vec<_> = rpc.entries.into_iter().filter_map(translate::record).collect();
        let end = records.last().map(|record| record.position).or(after).unwrap_or_default();
        let append = Append {
            term: term.0,
            after: after.map(Into::into),
            records: records.iter().map(RecordMessage::from).collect(),
            committed: rpc.leader_commit.as_ref().map(|id| translate::position(id).into()),
        };
        let patience = timing::append_deadline(self.exchange.host.settings());
        let (append, acknowledges) = (Body::Append(append), Some((term, end)));
        let answer = if records.is_empty() {
            Either::Left(self.exchange.insist(self.target, append, acknowledges, patience))
        } else {
            Either::Right(self.exchange.ask(self.target, append, acknowledges, patience))
        };
        async move {
            match answer.await {
                Some(Body::Appended(Appended { fate: Some(fate) })) => match fate {
                    Fate::Durable(_) => Ok(AppendEntriesResponse::Success),
                    Fate::Conflict(_) if after.is_some() => Ok(AppendEntriesResponse::Conflict),
                    Fate::Conflict(_) => Err(self.odd()),
                    Fate::Outvoted(vote) => Ok(AppendEntriesResponse::HigherVote(vote_of(self.voted(vote)?))),
                },
                Some(_) => Err(self.odd()),
                None => Err(self.late(RPCTypes::AppendEntries, patience)),
            }
        }
    }

    async fn campaign(
        &self,
        request: VoteRequest<Types>,
        pre: bool,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let campaign = Campaign {
            term: request.vote.leader_id.term,
            last: request.last_log_id.as_ref().map(|last| translate::position(last).into()),
            pre,
            transfer: request.leadership_transfer,
        };
        let patience = option.hard_ttl();
        match self.exchange.ask(self.target, Body::Campaign(campaign), None, patience).await {
            Some(Body::Judged(Judged { vote: Some(vote), granted, last })) => {
                let vote = self.voted(vote)?;
                let last = last.map(position).transpose().map_err(|_| self.odd())?.map(translate::log_id);
                Ok(VoteResponse::new(vote_of(vote), last, granted))
            }
            Some(_) => Err(self.odd()),
            None => Err(self.late(RPCTypes::Vote, patience)),
        }
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = Content;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RpcError> {
        self.append(rpc).await
    }

    fn stream_append<'s, S>(&'s mut self, input: S, _option: RPCOption) -> Opening<'s>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let answers: Answers<'s> = Box::pin(pipeline::answers(|rpc| self.append(rpc), input));
        Box::pin(std::future::ready(Ok(answers)))
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, RpcError> {
        self.campaign(rpc, false, &option).await
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, RpcError> {
        self.campaign(rpc, true, &option).await
    }

    /// The driver streams the store's current snapshot, which is the one given
    /// here or a newer one, and either holds everything that openraft then takes
    /// the peer to hold.
    async fn full_snapshot(
        &mut self,
        vote: Vote,
        _snapshot: Snapshot<Content>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let header = Bytes::from(Header { term: vote.leader_id.term }.encode_to_vec());
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.exchange.host.send_snapshot(self.target, header) => match sent {
                Ok(()) => Ok(SnapshotResponse::new(vote)),
                Err(error) => Err(StreamingError::Unreachable(Unreachable::new(&error))),
            },
        }
    }
}

pub(crate) fn vote_of(vote: VoteMessage) -> Vote {
    if vote.elected { Vote::new_committed(vote.term, vote.candidate) } else { Vote::new(vote.term, vote.candidate) }
}

pub(crate) fn vote_message(vote: &Vote) -> VoteMessage {
    VoteMessage { term: vote.leader_id.term, candidate: vote.leader_id.voted_for, elected: vote.committed }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
