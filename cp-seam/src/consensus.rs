//! What an engine offers: the narrow interface that the supervisor calls.

use crate::entry::ControlPlaneEntry;
use crate::id::{ControlPlaneLogIndex, Incarnation, LogPosition, MemberId, Term};
use async_trait::async_trait;
use std::fmt::Debug;
use std::time::Duration;

/// One node of the control plane, whichever engine drives it (CP-E1).
///
/// Used as `Arc<dyn ControlPlaneConsensus>`. Every method may be called from any
/// task at any time, also after [`shutdown`](Self::shutdown). Methods that are
/// not `async` read memory and do not block. An `async` method never blocks its
/// thread; what dropping its future means is said at each.
///
/// The rules of a proposal's life:
///
/// 1. A *refused* proposal is never in the log, now or later (CP-P1).
/// 2. An accepted proposal has a [`LogPosition`]. It is not committed yet.
/// 3. The position ends as [`Outcome::Committed`] or [`Outcome::Superseded`];
///    until that is known, and only then, it is [`Outcome::Unknown`] (CP-P3).
/// 4. *Unknown* is never reported as either of the others, and the caller must
///    treat it as neither: ask again, or retry under the same request id (CP-P5).
#[async_trait]
pub trait ControlPlaneConsensus: Debug + Send + Sync + 'static {
    /// The role this node plays now. A snapshot: it may be stale when it arrives.
    fn role(&self) -> ControlPlaneRole;

    /// The highest term this node has taken part in; never falls.
    fn term(&self) -> Term;

    /// The leader this node follows in [`term`](Self::term), itself included, if
    /// it knows one. A hint for routing: a leader that is cut off may still be named.
    fn leader(&self) -> Option<MemberId>;

    /// Whether this node may accept proposals now.
    ///
    /// Guarantees: `false` within one election timeout after a leader has lost
    /// touch with its quorum (CP-P2) or its disk has stalled (CP-L2), although
    /// [`role`](Self::role) may still say leader; `false` on a leader that has
    /// not yet committed an entry of its own term.
    fn is_leader(&self) -> bool;

    /// The highest index that this node knows to be committed *and* has made
    /// durable (CP-D3). Never falls, also not across restarts.
    fn committed_index(&self) -> ControlPlaneLogIndex;

    /// Appends `entry` to the log of this leader and returns where.
    ///
    /// Guarantees: `Ok` is the position assigned, not a commitment: ask
    /// [`outcome`](Self::outcome). [`ProposeError::Refused`] means that the entry
    /// is in no log and never will be (CP-P1). A leader out of touch with its
    /// quorum refuses with [`ProposeRefusal::NoQuorum`] within one election
    /// timeout, and a stalled disk with [`ProposeRefusal::DiskStalled`], without
    /// queueing behind the engine (CP-P2, CP-L2).
    ///
    /// Errors: *refused*: go where the refusal points. [`ProposeError::Unknown`]:
    /// the engine took the entry and then stopped, or did not place it within
    /// the deadline; it may or may not be committed one day (CP-P3).
    ///
    /// Dropping the future means unknown, unless it had not been polled.
    async fn propose(&self, entry: ControlPlaneEntry) -> Result<LogPosition, ProposeError>;

    /// What became of `position`, waiting up to `wait` for an answer.
    ///
    /// Guarantees: [`Outcome::Committed`] means that the entry put at `position`
    /// is committed, durably known to be so here (CP-D3), and applied to this
    /// node's state machine, so what it did can be read at once.
    /// [`Outcome::Superseded`] means that this entry is not and never will be in
    /// that slot. Answers are exact on leaders and followers, after restarts, and
    /// after compaction for every position (snapshots carry the history of
    /// terms). The same position never gets both answers, on any node (CP-S2).
    ///
    /// [`Outcome::Unknown`] says that it could not be told within `wait`, also
    /// because this node stopped. Dropping the future forgets the question and
    /// nothing else.
    async fn outcome(&self, position: LogPosition, wait: Duration) -> Outcome;

    /// Waits until this node's state machine reflects everything that was
    /// acknowledged anywhere before the call, and returns what it reached.
    ///
    /// Guarantees: linearizable, by a quorum round trip; no clock is trusted
    /// (CP-P4). A quorum confirmed after the call began that this node leads in
    /// [`ReadPoint::term`]. Errors: [`ReadError`]; a follower does not serve it and
    /// names the leader. Dropping the future abandons the read.
    async fn read_barrier(&self) -> Result<ReadPoint, ReadError>;

    /// How far each member of the engine's configuration is, by this leader's
    /// books; empty on any other node. In ascending incarnation.
    fn progress(&self) -> Vec<MemberProgress>;

    /// A subscription to [`ControlPlaneStatus`]: commits, applies, leadership.
    ///
    /// It coalesces: a slow reader sees the newest status, not each one, and
    /// never holds anything up.
    fn watch(&self) -> Box<dyn ControlPlaneWatch>;

    /// Hands leadership to `to`, a caught-up voter.
    ///
    /// Guarantees: on `Ok` this node no longer leads. On an error nothing hangs:
    /// proposals are refused for at most one election timeout while the target
    /// is tried, after which this node serves again if it still leads. Nothing
    /// accepted is lost by it (CP-S2). Dropping the future does not call the
    /// transfer back.
    async fn transfer_leadership(&self, to: &MemberId) -> Result<(), TransferError>;

    /// Stops this node: hands over if it leads and anyone can take over, then
    /// finishes what the store has begun, and ends the engine.
    ///
    /// Idempotent; later calls wait for the first. After it, proposals are
    /// refused, outcomes unknown, watches closed. Dropping the future does not
    /// undo the stop. Errors say that the store did not close cleanly; nothing
    /// acknowledged depends on that.
    async fn shutdown(&self) -> Result<(), ShutdownError>;
}

/// The part a node plays in its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlPlaneRole {
    /// Elected in this term. Says nothing of its quorum: see `is_leader`.
    Leader,
    /// Follows, or waits for, a leader. Members that are catching up are followers.
    Follower,
    /// Stands for election.
    Candidate,
}

/// What a linearizable read reflects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadPoint {
    /// The term in which a quorum confirmed this node as its leader.
    pub term: Term,
    /// The index that the state machine has reached.
    pub applied: ControlPlaneLogIndex,
}

/// What is known of a position (CP-P3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The entry of this position is in the log for good.
    Committed,
    /// The entry of this position will never be in the log: its slot is taken, or
    /// can only be taken, by an entry of a later term.
    Superseded,
    /// Neither is known. Not a failure, and not a success.
    Unknown,
}

/// A proposal that got no position.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// It is in no log and never will be. Act on the reason and try again.
    #[error("the proposal was refused")]
    Refused(#[source] ProposeRefusal),
    /// It may or may not take effect. Retry only under the same request id.
    #[error("whether the proposal took effect is unknown: {reason}; retry it under the same request id")]
    Unknown {
        /// What happened.
        reason: String,
    },
}

impl From<ProposeRefusal> for ProposeError {
    fn from(refusal: ProposeRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a proposal was refused (CP-P1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeRefusal {
    /// Another node leads, or none does. Go to `leader` if it is named.
    #[error("this node does not lead; {}", leader.as_ref().map_or_else(|| "no leader is known, try again shortly".to_owned(), |l| format!("ask {l}")))]
    NotLeader {
        /// Who leads, if known.
        leader: Option<MemberId>,
    },
    /// This node leads, or did until now, and cannot reach its quorum (CP-P2).
    #[error("this node cannot reach a quorum of voters; check the members that are down")]
    NoQuorum,
    /// This node's disk has not finished a write in time (CP-L2).
    #[error("this node's disk has not finished a write for {stalled_ms} ms; check the disk, or ask another member")]
    DiskStalled {
        /// The age of the oldest unfinished write, in milliseconds.
        stalled_ms: u64,
    },
    /// Leadership is being handed to another member.
    #[error("leadership is being handed to {to}; ask it")]
    Transferring {
        /// The member that takes over.
        to: MemberId,
    },
    /// Too many proposals wait. Back off and try again.
    #[error("too many proposals are waiting; back off and try again")]
    Busy,
    /// This node has stopped, and why.
    #[error("this node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Why a linearizable read was not served (CP-P4). Nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Another node leads, or none does.
    #[error("this node does not lead; {}", leader.as_ref().map_or_else(|| "no leader is known, try again shortly".to_owned(), |l| format!("ask {l}")))]
    NotLeader {
        /// Who leads, if known.
        leader: Option<MemberId>,
    },
    /// No quorum confirmed in time that this node still leads.
    #[error("this node cannot reach a quorum of voters; check the members that are down, or read stale")]
    NoQuorum,
    /// This node has stopped, and why.
    #[error("this node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Only a leader can hand over.
    #[error("this node does not lead; {}", leader.as_ref().map_or_else(|| "no leader is known, try again shortly".to_owned(), |l| format!("ask {l}")))]
    NotLeader {
        /// Who leads, if known.
        leader: Option<MemberId>,
    },
    /// The target has no vote, or is this node.
    #[error("{to} cannot take over: it is not another voting member; choose one that `progress` lists as a voter")]
    NotAVoter {
        /// The member asked for.
        to: MemberId,
    },
    /// The target did not take over within one election timeout; this node
    /// carries on if it still leads.
    #[error("{to} did not take over in time; see whether it is reachable and caught up")]
    TimedOut {
        /// The member asked for.
        to: MemberId,
    },
    /// This node has stopped, and why.
    #[error("this node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// The store did not close cleanly.
#[derive(Debug, thiserror::Error)]
#[error("the node stopped, but its store did not close cleanly")]
pub struct ShutdownError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A member's standing in the engine's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its vote counts in the newest configuration.
    Voter,
    /// Its vote counts only in the outgoing half of a joint configuration.
    Outgoing,
    /// It receives the log and has no vote.
    Learner,
}

/// A leader's books on one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberProgress {
    /// Its name.
    pub member: MemberId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its standing.
    pub standing: Standing,
    /// The highest index it has acknowledged as durable in this term.
    pub matched: ControlPlaneLogIndex,
    /// How long ago it last acknowledged anything; `None` if it has not in this
    /// term, zero for the leader itself.
    pub last_ack: Option<Duration>,
    /// For how long this leader has listened and heard nothing of it: at most since it has led
    /// in this term, and since it went on after a pause. Zero for the leader itself.
    pub silent_for: Duration,
    /// The first index at which its state was seen to differ from that of a majority (CP-R3).
    pub diverged_at: Option<ControlPlaneLogIndex>,
}

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneStatus {
    /// See [`ControlPlaneConsensus::role`].
    pub role: ControlPlaneRole,
    /// See [`ControlPlaneConsensus::term`].
    pub term: Term,
    /// See [`ControlPlaneConsensus::leader`].
    pub leader: Option<MemberId>,
    /// See [`ControlPlaneConsensus::is_leader`], as of the last change of it.
    pub serving: bool,
    /// See [`ControlPlaneConsensus::committed_index`].
    pub committed: ControlPlaneLogIndex,
    /// The highest index applied to the state machine; never above `committed`.
    pub applied: ControlPlaneLogIndex,
    /// Whether the committed engine configuration is uniform and is the quorum
    /// that the state machine wants: no membership change is in flight.
    pub settled: bool,
    /// Why the node has stopped, if it has.
    pub stopped: Option<String>,
    /// The first index at which its state was seen to differ from that of a majority; it
    /// has stopped for that (CP-R3).
    pub diverged_at: Option<ControlPlaneLogIndex>,
}

impl ControlPlaneStatus {
    /// Whether `other` differs in nothing but the indexes.
    pub fn equals_beyond_indexes(&self, other: &Self) -> bool {
        let Self { role, term, leader, serving, committed: _, applied: _, settled, stopped, diverged_at } = self;
        let led = *role == other.role && *term == other.term && *leader == other.leader && *serving == other.serving;
        led && *settled == other.settled && *stopped == other.stopped && *diverged_at == other.diverged_at
    }
}

/// A coalescing subscription to one node's [`ControlPlaneStatus`].
#[async_trait]
pub trait ControlPlaneWatch: Debug + Send + 'static {
    /// The newest status, which then counts as seen. Does not block.
    fn current(&mut self) -> ControlPlaneStatus;

    /// Waits for a status that has not been seen, and returns the newest.
    ///
    /// No change is lost: one that came between two calls returns at once.
    /// Errors once the node has shut down. Dropping the future loses nothing.
    async fn changed(&mut self) -> Result<ControlPlaneStatus, WatchClosed>;

    /// As [`changed`](Self::changed), and sleeps through what only raises the indexes: who waits
    /// for leadership or the end of a node is not woken by every commit.
    async fn changed_beyond_indexes(&mut self) -> Result<ControlPlaneStatus, WatchClosed>;
}

/// The node has shut down; there is nothing more to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has shut down; there is nothing more to watch")]
pub struct WatchClosed;
