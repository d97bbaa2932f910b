//! The engine's handle: what the driver asks of it, in openraft's words.

use crate::core::{Ear, Raft, beat, hand_over, publish, stand_last};
use crate::inbound::{self, QUEUE_MAX, Request};
use crate::network::{Clients, Exchange};
use crate::snapshot::{Content, Shadow, Shelf};
use crate::storage::{Ground, LogStorage};
use crate::timing;
use crate::translate;
use crate::types::{Payload, Placed, Proposal, Reply, Snapshot, Types, Vote};
use crate::wire::{Body, Header, Message, NUMBER_MAX};
use async_trait::async_trait;
use bytes::Bytes;
use cp_driver::{Engine, EngineError, Host, StartError};
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, Incarnation, LogPosition};
use cp_store::{Configuration, Staged};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::{Precondition, RaftMetrics, ReadPolicy};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// openraft under the driver.
pub(crate) struct Handle {
    host: Arc<Host>,
    raft: Raft,
    ground: Arc<Ground>,
    exchange: Arc<Exchange>,
    shelf: Arc<Shelf>,
    requests: mpsc::Sender<Request>,
    adopting: tokio::sync::Mutex<()>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("me", &self.host.me()).finish_non_exhaustive()
    }
}

/// Builds and starts openraft over the host's store.
pub(crate) async fn build(host: Arc<Host>) -> Result<Arc<dyn Engine>, StartError> {
    let settings = host.settings();
    let config = Arc::new(timing::config(settings)?);
    let halting = Arc::clone(&host);
    let ground = Ground::new(host.store().clone(), host.me(), settings.append_bytes_max, move |why| halting.halt(why));
    let ground = Arc::new(ground);
    let shelf = Arc::new(Shelf::new(Arc::clone(&ground)));
    let exchange = Arc::new(Exchange::new(Arc::clone(&host)));
    let clients = Clients(Arc::clone(&exchange));
    let log = LogStorage { ground: Arc::clone(&ground) };
    let shadow = Shadow::new(Arc::clone(&shelf));
    // No two nodes draw alike, even if they were given one seed.
    let seed = settings.seed ^ host.me().0.rotate_left(32);
    // openraft's `initialize` is never called: genesis is the store's snapshot at 0.0.
    let begun = Box::pin(timing::seeded(seed, Raft::new(host.me().0, config, clients, log, shadow))).await;
    let raft = begun.map_err(|fatal| StartError::Engine(Box::new(fatal)))?;
    let (requests, queue) = mpsc::channel(QUEUE_MAX);
    let ear = Arc::new(Ear::new());
    let handle = Handle {
        ground,
        exchange: Arc::clone(&exchange),
        shelf,
        requests,
        adopting: tokio::sync::Mutex::default(),
        tasks: Mutex::default(),
        host: Arc::clone(&host),
        raft: raft.clone(),
    };
    handle.spawn("heartbeat", beat(Arc::clone(&host), raft.clone(), Arc::clone(&exchange)));
    handle.spawn("inbound", inbound::serve(raft.clone(), host.store().clone(), exchange, Arc::clone(&ear), queue));
    handle.spawn("publishing", publish(Arc::clone(&host), raft.clone()));
    handle.spawn("witness", stand_last(host, raft, ear));
    Ok(Arc::new(handle))
}

impl Handle {
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        let task = cp_driver::guarded(Arc::clone(&self.host), name, task);
        tasks.push(tokio::spawn(cp_driver::of_node(task)).abort_handle());
    }

    fn not_leader(&self) -> EngineError {
        EngineError::NotLeader { leader: self.host.view().leader.filter(|leader| *leader != self.host.me()) }
    }

    /// Resolves once openraft has ended.
    async fn until_ended(&self) {
        let mut metrics = self.raft.metrics();
        while metrics.borrow_and_update().running_state.is_ok() {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until all up to `index` is on the disk as committed: before that, no leader is told so (CP-D2).
    async fn holds(&self, index: ControlPlaneLogIndex) -> Result<(), EngineError> {
        let mut durable = self.host.store().durable();
        tokio::select! {
            held = durable.wait_for(|durable| durable.committed >= index) => held.map(drop).map_err(|_| ended()),
            () = self.until_ended() => Err(ended()),
        }
    }

    /// Waits until openraft says that it has reached `position`.
    async fn reached(
        &self,
        position: LogPosition,
        what: impl Fn(&RaftMetrics<Types>) -> Option<LogPosition> + Send,
    ) -> Result<(), EngineError> {
        let mut metrics = self.raft.metrics();
        while what(&metrics.borrow_and_update()) < Some(position) {
            metrics.changed().await.map_err(|_| ended())?;
        }
        Ok(())
    }
}

fn ended() -> EngineError {
    EngineError::Unknown("openraft has stopped".to_owned())
}

/// openraft turned a request away before it did anything.
fn forwarded(forward: &ForwardToLeader<Types>) -> EngineError {
    match forward.reason {
        ForwardReason::NotLeader => EngineError::NotLeader { leader: forward.leader_id.map(Incarnation) },
        ForwardReason::LeaseExpired => EngineError::NoQuorum,
        ForwardReason::LeadershipTransfer => EngineError::Refused("leadership is being handed over".to_owned()),
    }
}

fn not_written(error: &ClientWriteError<Types>) -> EngineError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => forwarded(forward),
        ClientWriteError::LogEntryDiscarded(_) => EngineError::Unknown(cp_driver::chain(error)),
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            EngineError::Refused(cp_driver::chain(error))
        }
    }
}

#[async_trait]
impl Engine for Handle {
    async fn append(&self, entry: ControlPlaneEntry) -> Result<LogPosition, EngineError> {
        let (placed, position) = Placed::pair();
        let (reply, fate) = Reply::pair();
        let proposal = Proposal { entry, placed };
        self.raft.client_write_ff(proposal, Some(reply)).await.map_err(|_| ended())?;
        // The one is told when the entry is in the log; dropped untold, the other knows why.
        if let Ok(position) = position.await {
            return Ok(position);
        }
        match fate.await {
            Ok(Ok(response)) => Ok(translate::position(&response.log_id)),
            Ok(Err(error)) => Err(not_written(&error)),
            Err(_) => Err(ended()),
        }
    }

    async fn reconfigure(&self, next: Configuration) -> Result<LogPosition, EngineError> {
        let Some((newest, current)) = self.host.store().configurations().pop() else {
            return Err(EngineError::Refused("no configuration is known".to_owned()));
        };
        // openraft alone would also change one voter without a joint configuration.
        if !cp_driver::is_step(&current, &next) {
            return Err(EngineError::Refused(format!("the newest configuration is another by now, at {newest}")));
        }
        let (placed, position) = Placed::pair();
        let membership = translate::membership(&next);
        let since = Precondition::LastMembershipLogId { last_membership_log_id: Some(translate::log_id(newest)) };
        let appended = self.raft.append_membership(membership, Payload::Configuration(next, placed), [since]);
        tokio::select! {
            biased;
            Ok(position) = position => Ok(position),
            appended = appended => match appended {
                Ok(response) => Ok(translate::position(&response.log_id)),
                Err(RaftError::APIError(error)) => Err(not_written(&error)),
                Err(RaftError::Fatal(_)) => Err(ended()),
            },
        }
    }

    async fn read_index(&self) -> Result<ControlPlaneLogIndex, EngineError> {
        let (term, question) = (self.host.view().term, self.exchange.last_question());
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => {
                self.exchange.confirmed(term, question).await;
                Ok(ControlPlaneLogIndex(linearizer.read_log_id().log_id().index))
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => Err(forwarded(&forward)),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(EngineError::NoQuorum),
            Err(RaftError::Fatal(_)) => Err(ended()),
        }
    }

    async fn transfer(&self, to: Incarnation) -> Result<(), EngineError> {
        let view = self.host.view();
        if view.role != ControlPlaneRole::Leader {
            return Err(self.not_leader());
        }
        let newest = self.host.store().configurations().pop().map(|(_, configuration)| configuration);
        if to == self.host.me() || !newest.is_some_and(|newest| newest.is_voter(to)) {
            return Err(EngineError::Refused(format!("member {to} is not another voter")));
        }
        let (host, exchange) = (Arc::clone(&self.host), Arc::clone(&self.exchange));
        self.spawn("handover", hand_over(host, self.raft.clone(), exchange, view.term, to));
        Ok(())
    }

    fn matched(&self) -> Vec<(Incarnation, ControlPlaneLogIndex)> {
        let metrics = self.raft.data_metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.iter().flatten();
        replication
            .map(|(who, matched)| {
                (Incarnation(*who), ControlPlaneLogIndex(matched.as_ref().map_or(0, |matched| matched.index)))
            })
            .collect()
    }

    fn receive(&self, from: Incarnation, message: Bytes) {
        if from == self.host.me() {
            return tracing::warn!("a message that claims to be this node's own was dropped");
        }
        let (id, body) = match Message::read(message) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%from, %error, "a message was dropped"),
        };
        match body {
            Body::Appended(_) | Body::Judged(_) | Body::Transferred(_) => self.exchange.answered(from, id, body),
            Body::Append(_) | Body::Campaign(_) | Body::Transfer(_) => {
                if self.requests.try_send(Request { from, id, body }).is_err() {
                    tracing::debug!(%from, "too many requests wait; one was dropped");
                }
            }
        }
    }

    async fn install(&self, from: Incarnation, header: Bytes, staged: Staged) -> Result<(), EngineError> {
        let refused = |why: String| Err(EngineError::Refused(why));
        let term = match Header::read(header) {
            Ok(header) => header.term,
            Err(error) => return refused(error.to_string()),
        };
        let meta = staged.meta();
        if from == self.host.me() {
            return refused("it claims to be this node's own".to_owned());
        }
        if meta.position.term.0 > term || meta.position.index.0 > NUMBER_MAX {
            return refused(format!("the leader of term {term} cannot have a snapshot at {}", meta.position));
        }
        let index = meta.position.index;
        if index <= self.host.store().committed() {
            // All of it is here, which is what the leader wants to know.
            return self.holds(index).await;
        }
        let snapshot = Snapshot { meta: translate::snapshot_meta(meta), snapshot: Content::Staged(staged) };
        let vote = Vote::new_committed(term, from.0);
        match self.raft.install_full_snapshot(vote, snapshot).await {
            // openraft answers at once for what it knows to be committed, wherever that is yet.
            Ok(response) if response.vote == vote => self.holds(index).await,
            Ok(response) => refused(format!("this node has promised itself to {}", response.vote)),
            Err(_) => Err(ended()),
        }
    }

    async fn adopt(&self, staged: Staged, compact_to: ControlPlaneLogIndex) -> Result<(), EngineError> {
        let _one_at_a_time = self.adopting.lock().await;
        let position = staged.meta().position;
        // The driver applies by itself and may be ahead of openraft's shadow.
        self.reached(position, |now| now.last_applied.as_ref().map(translate::position)).await?;
        let done = self.shelf.offer(staged);
        self.raft.trigger().snapshot().await.map_err(|_| ended())?;
        let made_current = tokio::select! {
            done = done => done.map_err(|_| ended())?,
            () = self.until_ended() => return Err(ended()),
        };
        made_current.map_err(|error| EngineError::Unknown(error.to_string()))?;
        self.reached(position, |now| now.snapshot.as_ref().map(translate::position)).await?;
        // openraft purges as far as no follower still reads, and catches up later.
        self.raft.trigger().purge_log(compact_to.0).await.map_err(|_| ended())
    }

    async fn stop(&self) {
        self.exchange.close();
        self.ground.close();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(error = cp_driver::chain(&error), "openraft did not end in order");
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{meta, staged};
    use crate::testing::{Gate, host};
    use cp_seam::Term;
    use cp_store::{Batch, LogRecord, RecordBody};
    use prost::Message as _;
    use std::time::Duration;
    use tokio::time::timeout;

    /// CP-D2: an answer to an offered snapshot says that all up to it is on the disk. That it
    /// was taken as committed is not enough.
    #[tokio::test(start_paused = true)]
    async fn an_install_is_answered_once_it_is_durable() {
        let disk = Gate::open();
        let (host, _) = host(Arc::clone(&disk)).await;
        let store = host.store().clone();
        let engine = build(Arc::clone(&host)).await.expect("built");
        let at = |index| LogPosition::new(Term(1), ControlPlaneLogIndex(index));
        let members = store.snapshot().configuration.clone();
        let offered = staged(&store, meta(at(2), LogPosition::GENESIS, members)).await;
        disk.stall(true);
        let append = (1..=3).map(|index| LogRecord { position: at(index), body: RecordBody::Blank }).collect();
        let committed = Some(ControlPlaneLogIndex(3));
        let taken = store.submit(Batch { append, committed, ..Batch::default() }).expect("taken");
        let header = Bytes::from(Header { term: 1 }.encode_to_vec());
        let mut installing = engine.install(Incarnation(2), header, offered);
        assert!(timeout(Duration::from_secs(60), installing.as_mut()).await.is_err(), "told before it is durable");
        disk.stall(false);
        installing.await.expect("all of it is here");
        taken.await.expect("durable");
        engine.stop().await;
    }
}
