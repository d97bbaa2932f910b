//! The state of a node and the one function that changes it. No clock, no disk, no
//! network: an input goes in, and what is to be written and then sent comes out.
//!
//! Invariants: the term never falls; a grant is never changed within its term; the
//! log is cut above the committed index only; whatever a message promises is in the
//! output that carries it, or was in an earlier one.

use super::commands::{Command, Done};
use super::election::Campaign;
use super::leader::Reign;
use super::storage::Log;
use super::timing::{Timeouts, WITNESS_TICKS};
use super::wire::{Body, Message};
use cp_driver::EngineView;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneRole, Incarnation, LastVote, LogPosition, MemberKind, Term};
use cp_store::Batch;

/// What a node is doing in its term.
#[derive(Debug)]
pub(super) enum Role {
    Follower,
    Candidate(Campaign),
    Leader(Reign),
}

/// Everything that can happen to a node.
#[derive(Debug)]
pub(super) enum Input {
    /// Another twentieth of the election timeout has passed.
    Tick,
    /// A peer says this.
    Message(Incarnation, Message),
    /// A caller asks this.
    Command(Command),
    /// A snapshot that was sent to this peer in this term is installed there, up to
    /// this index, or the transfer failed.
    SnapshotSent { to: Incarnation, term: Term, installed: Option<ControlPlaneLogIndex> },
}

/// What an input leads to, in the order in which it is carried out.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// To be durable before anything below.
    pub(super) vote: Option<LastVote>,
    /// To be durable before anything below.
    pub(super) batch: Batch,
    /// A peer answered this leader and holds this much.
    pub(super) acknowledged: Option<(Incarnation, LogPosition)>,
    pub(super) messages: Vec<(Incarnation, Message)>,
    /// Who is to be sent the current snapshot.
    pub(super) snapshots: Vec<Incarnation>,
    /// What waits for the batch.
    pub(super) done: Option<Done>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) me: Incarnation,
    /// Term, grant and leader followed; on disk once the output has been carried out.
    pub(super) vote: LastVote,
    pub(super) log: Log,
    pub(super) role: Role,
    pub(super) leader: Option<Incarnation>,
    pub(super) tick: u64,
    /// Ticks since a leader was heard, a vote was given, or this node stood.
    pub(super) quiet: u64,
    /// How many such ticks it takes for this node to stand.
    pub(super) patience: u64,
    pub(super) timeouts: Timeouts,
    pub(super) append_bytes_max: usize,
    pub(super) out: Output,
}

impl Core {
    /// A follower with this durable vote and log.
    pub(super) fn new(me: Incarnation, vote: LastVote, log: Log, timeouts: Timeouts, append_bytes_max: usize) -> Self {
        // A store founded on a snapshot has not voted, but belongs to the snapshot's term.
        let founded = LastVote { term: log.last().term, ..LastVote::default() };
        let vote = if vote.term < founded.term { founded } else { vote };
        let mut core = Self {
            me,
            vote,
            log,
            role: Role::Follower,
            leader: None,
            tick: 0,
            quiet: 0,
            patience: 0,
            timeouts,
            append_bytes_max,
            out: Output::default(),
        };
        core.rest();
        core
    }

    /// Takes one input.
    pub(super) fn step(&mut self, input: Input) -> Output {
        let before = self.vote;
        match input {
            Input::Tick => self.on_tick(),
            Input::Message(from, message) => self.receive(from, message),
            Input::Command(command) => self.command(command),
            Input::SnapshotSent { to, term, installed } => self.snapshot_sent(to, term, installed),
        }
        let mut out = std::mem::take(&mut self.out);
        out.vote = (self.vote != before).then_some(self.vote);
        out.batch = self.log.take_unwritten();
        out
    }

    fn on_tick(&mut self) {
        self.tick += 1;
        if matches!(self.role, Role::Leader(_)) {
            return self.lead_on();
        }
        self.quiet += 1;
        if self.quiet >= self.patience {
            self.stand(false);
        }
    }

    fn receive(&mut self, from: Incarnation, message: Message) {
        let Message { term, body } = message;
        if let Body::Ballot { handover: false, .. } = body
            && self.hears_a_leader()
        {
            // Whoever stands while a leader is heard has lost touch, or was removed (CP-M3).
            return;
        }
        if term > self.vote.term {
            self.enter(term);
        }
        if term < self.vote.term {
            return self.correct(from, &body);
        }
        match body {
            Body::Ballot { trial, last, .. } => self.asked_for_vote(from, trial, last),
            Body::Voted { trial, granted } => self.voted(from, trial, granted),
            Body::Append(append) => self.append_from(from, append),
            Body::Appended { up_to, round } => self.answered(from, Some(up_to), None, round),
            Body::NotAppended { committed, round } => self.answered(from, None, Some(committed), round),
            Body::StandNow if self.leader == Some(from) && self.may_stand() => self.stand(true),
            Body::StandNow => {}
        }
    }

    /// Tells one that is behind which term it is, if it waits for an answer.
    fn correct(&mut self, from: Incarnation, body: &Body) {
        match body {
            Body::Ballot { trial, .. } => self.send(from, Body::Voted { trial: *trial, granted: false }),
            Body::Append(append) => {
                let (committed, round) = (self.log.committed(), append.round);
                self.send(from, Body::NotAppended { committed, round });
            }
            _ => {}
        }
    }

    /// Goes to a later term, as a follower of nobody yet.
    pub(super) fn enter(&mut self, term: Term) {
        self.vote = LastVote { term, granted_to: None, following: None };
        self.follow_nobody();
    }

    /// Gives up whatever this node was doing in its term.
    pub(super) fn follow_nobody(&mut self) {
        self.leader = None;
        self.change_role(Role::Follower);
        self.rest();
    }

    pub(super) fn change_role(&mut self, role: Role) {
        let leader = self.leader.filter(|leader| *leader != self.me);
        if let Role::Leader(reign) = std::mem::replace(&mut self.role, role) {
            reign.reads.refuse(leader);
        }
    }

    /// Takes `from` for the leader of this term; false if another one is (CP-S1).
    pub(super) fn follow(&mut self, from: Incarnation) -> bool {
        if self.vote.following.is_some_and(|leader| leader != from) {
            tracing::warn!(%from, vote = ?self.vote, "a second leader of one term is not followed");
            return false;
        }
        self.vote.following = Some(from);
        self.leader = Some(from);
        self.change_role(Role::Follower);
        self.rest();
        true
    }

    /// Begins to wait anew before standing; a witness waits longest (CP-M2).
    pub(super) fn rest(&mut self) {
        let member = self.log.configuration().member(self.me);
        let witness = member.is_some_and(|member| member.kind == MemberKind::Witness);
        self.quiet = 0;
        self.patience = self.timeouts.draw() + if witness { WITNESS_TICKS } else { 0 };
    }

    pub(super) fn send(&mut self, to: Incarnation, body: Body) {
        self.out.messages.push((to, Message { term: self.vote.term, body }));
    }

    /// What this node is, for the world.
    pub(super) fn view(&self) -> EngineView {
        let role = match self.role {
            Role::Follower => ControlPlaneRole::Follower,
            Role::Candidate(_) => ControlPlaneRole::Candidate,
            Role::Leader(_) => ControlPlaneRole::Leader,
        };
        EngineView { role, term: self.vote.term, leader: self.leader }
    }
}
