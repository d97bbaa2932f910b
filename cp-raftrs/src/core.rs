//! The loop that owns the engine. All that comes in, from callers, peers and the
//! clock, is taken in here; what comes out of it goes through [`ready`](crate::ready).
//!
//! Invariants: the store is written by this loop alone. A position is handed out
//! only in a term that is durable. Nothing is stepped that would make the engine
//! stand with records in memory that are not in the store.

use crate::books::Books;
use crate::commands::{Command, Proposals};
use crate::reads::Reads;
use crate::snapshot::Sent;
use crate::storage::{Fault, Storage, opening_configuration};
use crate::timing::{self, Timeouts};
use crate::{trace, translate};
use cp_driver::{EngineView, Host};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneRole, Incarnation, LastVote, MemberKind, Term};
use cp_store::{Batch, Configuration, Failure, Rejected, Staged, Store, Ticket};
use raft::eraftpb::Message;
use raft::{RawNode, StateRole};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How many messages, and how many proposals, one round takes in before it writes.
pub(crate) const ROUND_MAX: usize = 1024;

/// Why the loop ended; the node stops with it (CP-D4).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error(transparent)]
    Store(#[from] Failure),
    #[error("the engine asked for a write that contradicts the store")]
    Batch(#[source] Rejected),
    #[error(transparent)]
    Record(#[from] translate::NotARecord),
    #[error("a committed configuration cannot be applied")]
    Step(#[from] translate::NotAStep),
    #[error("the engine refused")]
    Engine(#[from] raft::Error),
    #[error("the engine installs a snapshot that it was not given")]
    NoSnapshot,
    #[error("a snapshot transfer failed without a word")]
    Transfer(#[from] JoinError),
}

impl From<Rejected> for Stop {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Failed(failure) => Self::Store(failure),
            contradiction => Self::Batch(contradiction),
        }
    }
}

/// The engine and all that its loop keeps beside it.
pub(crate) struct Core {
    pub(crate) host: Arc<Host>,
    pub(crate) store: Store,
    pub(crate) node: RawNode<Storage>,
    pub(crate) fault: Fault,
    pub(crate) reads: Reads,
    /// The vote that is on disk.
    pub(crate) vote: LastVote,
    /// Configurations at or below this are in the engine already.
    pub(crate) configured_at: ControlPlaneLogIndex,
    /// The term that a fresh node enters, on its way to the disk.
    entering: Option<Ticket>,
    /// A commit that is on its way to the disk while the loop goes on.
    pub(crate) committing: Option<Ticket>,
    pub(crate) word: Word,
    /// The snapshot that the engine is being told of.
    pub(crate) installing: Option<Staged>,
    pub(crate) sends: JoinSet<Sent>,
    pub(crate) sending: BTreeMap<u64, u64>,
    pub(crate) transfers: u64,
    books: Arc<Books>,
    timeouts: Timeouts,
    /// The role and term for which the election timeout was drawn.
    drawn_for: (StateRole, u64),
    pub(crate) ticks: u64,
    /// The tick at which each peer last answered in this reign.
    pub(crate) heard: BTreeMap<u64, u64>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("me", &self.host.me()).field("vote", &self.vote).finish_non_exhaustive()
    }
}

/// An engine on the store as it is now, and up to where its configuration is settled.
fn open(host: &Host, fault: &Fault) -> Result<(RawNode<Storage>, ControlPlaneLogIndex), Stop> {
    let store = host.store();
    let (at, configuration) = opening_configuration(store)?;
    let priority = priority(host.me(), &configuration);
    // What is committed is applied: the driver replays it, and its configurations are in the one above.
    let config = timing::config(host.me().0, store.committed().0, priority, host.settings());
    let storage = Storage::new(store.clone(), &configuration, fault.clone());
    Ok((RawNode::new(&config, storage, &trace::logger())?, at.index))
}

/// A witness stands last: data members refuse it unless its log is longer (CP-M2).
pub(crate) fn priority(me: Incarnation, configuration: &Configuration) -> i64 {
    let witness = configuration.member(me).is_some_and(|member| member.kind == MemberKind::Witness);
    if witness { -1 } else { 0 }
}

/// A fresh node enters a term of its own accord: the engine panics when it refuses a
/// vote in term 0 (raft 0.7.0, `send`), and expects no log to be of a later term than
/// its hard state, as it is when a store was founded on a snapshot. The ticket is of
/// that write: a refusal needs none of its own, and would leave before it.
fn enter_a_term(store: &Store) -> Result<Option<Ticket>, Stop> {
    let (vote, term) = (store.vote(), store.last().term.max(Term(1)));
    if vote.term < term {
        let vote = Some(LastVote { term, ..LastVote::default() });
        return Ok(Some(store.submit(Batch { vote, ..Batch::default() })?));
    }
    Ok(None)
}

impl Core {
    pub(crate) fn open(host: Arc<Host>, books: Arc<Books>) -> Result<Self, Stop> {
        let store = host.store().clone();
        let entering = enter_a_term(&store)?;
        let fault = Fault::default();
        let (node, configured_at) = open(&host, &fault)?;
        let boot = store.boot();
        let mut core = Self {
            timeouts: Timeouts::new(host.settings().seed, boot),
            drawn_for: (node.raft.state, node.raft.term),
            vote: store.vote(),
            reads: Reads::new(boot),
            entering,
            committing: None,
            word: Word::default(),
            installing: None,
            sends: JoinSet::new(),
            sending: BTreeMap::new(),
            transfers: 0,
            ticks: 0,
            heard: BTreeMap::new(),
            host,
            store,
            node,
            fault,
            configured_at,
            books,
        };
        core.draw();
        Ok(core)
    }

    /// Makes the engine anew from the store: the joint configuration that it started
    /// from has been truncated away, or there is one now that it must start from.
    pub(crate) fn reopen(&mut self) -> Result<(), Stop> {
        let (term, leader) = (self.node.raft.term, self.node.raft.leader_id);
        (self.node, self.configured_at) = open(&self.host, &self.fault)?;
        self.node.raft.become_follower(term, leader);
        self.draw();
        Ok(())
    }

    /// Runs until the node stops or this task is aborted.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<(), Stop> {
        if let Some(entering) = self.entering.take() {
            entering.await?;
        }
        let mut clock = timing::ticks(self.host.settings(), &mut self.timeouts);
        if self.node.raft.promotable() && self.node.raft.prs().is_singleton() {
            // Nobody else can lead, so there is nobody to wait for.
            self.node.campaign()?;
            self.redraw();
        }
        self.settle().await?;
        let mut proposals = Proposals::default();
        loop {
            let mut ticked = false;
            let mut message = None;
            let mut command = None;
            tokio::select! {
                biased;
                _ = clock.tick() => ticked = true,
                Some(arrived) = inbox.recv() => message = Some(arrived),
                asked = commands.recv() => match asked {
                    Some(asked) => command = Some(asked),
                    None => return Ok(()),
                },
                Some(sent) = self.sends.join_next() => self.snapshot_sent(sent?),
                written = on_disk(&mut self.committing) => { self.committing = None; written? }
                () = self.word.due() => self.spread(),
            }
            if command.is_some() {
                // Whoever else is ready to ask does so now, and shares the write.
                tokio::task::yield_now().await;
            }
            // Messages before the tick: a leader that has spoken is not to be stood against.
            let mut taken = 0;
            while let Some(next) = message.take().or_else(|| inbox.try_recv().ok()) {
                self.receive(next).await?;
                taken += 1;
                if taken == ROUND_MAX {
                    break;
                }
            }
            if ticked {
                self.tick().await?;
            }
            while proposals.has_room()
                && let Some(next) = command.take().or_else(|| commands.try_recv().ok())
            {
                match next {
                    Command::Append(entry, reply) => proposals.push(entry, reply),
                    other => {
                        self.propose(proposals.take()).await?;
                        self.command(other).await?;
                    }
                }
            }
            self.propose(proposals.take()).await?;
            self.settle().await?;
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Steps a message, and draws the election timeout that may have been reset by it.
    pub(crate) fn step(&mut self, message: Message) {
        let from = message.from;
        if let Err(error) = self.node.step(message) {
            tracing::debug!(from, %error, "the engine did not take a message");
        }
        self.redraw();
    }

    async fn tick(&mut self) -> Result<(), Stop> {
        self.ticks += 1;
        self.settle_log().await?;
        let stood = self.node.tick() && !self.leads();
        if stood {
            self.draw();
        }
        self.redraw();
        self.reads.expire(self.ticks);
        if self.leads() && self.ticks.is_multiple_of(timing::ELECTION_TICKS / 2) {
            self.probe_the_silent();
        }
        Ok(())
    }

    /// Tells the followers what is committed, with no records.
    fn spread(&mut self) {
        let raft = &mut self.node.raft;
        self.word.given(raft.raft_log.committed);
        if raft.state == StateRole::Leader {
            raft.bcast_append();
        }
    }

    /// The engine draws a timeout of its own at every change of role or term; ours takes its place.
    fn redraw(&mut self) {
        if self.drawn_for != (self.node.raft.state, self.node.raft.term) {
            self.draw();
        }
    }

    fn draw(&mut self) {
        self.drawn_for = (self.node.raft.state, self.node.raft.term);
        self.node.raft.set_randomized_election_timeout(self.timeouts.draw());
    }

    /// A node must not stand, nor win, on records that are not in the store.
    pub(crate) async fn settle_log(&mut self) -> Result<(), Stop> {
        let log = &self.node.raft.raft_log;
        if !self.leads() && (!log.unstable_entries().is_empty() || log.unstable_snapshot().is_some()) {
            self.settle().await?;
        }
        Ok(())
    }

    /// A position must not be handed out twice, so its term must be durable first (CP-P3).
    pub(crate) async fn settle_term(&mut self) -> Result<(), Stop> {
        if self.vote.term.0 != self.node.raft.term {
            self.settle().await?;
        }
        Ok(())
    }

    /// Carries out all that the engine wants done, and says what it is now.
    pub(crate) async fn settle(&mut self) -> Result<(), Stop> {
        if self.leads() {
            self.reads.ask(&mut self.node);
        }
        while self.node.has_ready() {
            self.round().await?;
        }
        let raft = &self.node.raft;
        let leads = self.leads();
        if !leads {
            let leader = translate::member(raft.leader_id).filter(|leader| *leader != self.host.me());
            self.reads.refuse(leader);
            self.heard.clear();
        }
        self.word.note(leads.then_some(raft.raft_log.committed));
        self.books.write(leads.then(|| raft.prs()));
        let view = EngineView {
            role: match raft.state {
                StateRole::Leader => ControlPlaneRole::Leader,
                StateRole::Follower => ControlPlaneRole::Follower,
                StateRole::Candidate | StateRole::PreCandidate => ControlPlaneRole::Candidate,
            },
            term: Term(raft.term),
            leader: translate::member(raft.leader_id),
        };
        if self.host.view() != view {
            self.host.publish(view);
        }
        Ok(())
    }
}

/// What the followers have been told of the committed index.
#[derive(Debug, Default)]
pub(crate) struct Word {
    /// With the last message that went to all.
    said: u64,
    due: Option<Instant>,
}

impl Word {
    /// All are told of `committed` now.
    pub(crate) fn given(&mut self, committed: u64) {
        (self.said, self.due) = (committed, None);
    }

    /// `committed` is what a leader knows to be; it waits for records to go with it.
    fn note(&mut self, committed: Option<u64>) {
        match committed {
            Some(committed) if committed > self.said => {
                self.due = self.due.or_else(|| Some(Instant::now() + cp_driver::COMMIT_PATIENCE));
            }
            _ => self.due = None,
        }
    }

    async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// Resolves when a commit that the loop did not wait for is on disk.
async fn on_disk(ticket: &mut Option<Ticket>) -> Result<(), Failure> {
    match ticket {
        Some(ticket) => ticket.await,
        None => std::future::pending().await,
    }
}
