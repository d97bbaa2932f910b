//! What an adapter adds to the driver: the consensus engine proper.
//!
//! The node that [`start`](crate::start) makes implements the seam once for all engines
//! on top of this trait; an adapter implements this trait and feeds the
//! [`Host`](crate::Host). Everything that could differ between engines and must
//! not be seen above the seam is absorbed here.

use async_trait::async_trait;
use bytes::Bytes;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, Incarnation, LogPosition, Term};
use cp_store::{Configuration, Failure, Staged};
use std::fmt::Debug;

/// A running engine. Methods are called from any task.
#[async_trait]
pub trait Engine: Debug + Send + Sync + 'static {
    /// Puts `entry` into the leader's log and returns where, without waiting for
    /// durability or commitment.
    ///
    /// [`EngineError::NotLeader`] and [`EngineError::Refused`] promise that the
    /// entry is in no log and never will be (CP-P1).
    async fn append(&self, entry: ControlPlaneEntry) -> Result<LogPosition, EngineError>;

    /// Puts `next` into the leader's log and returns where. The driver has made
    /// sure that `next` is one legal step from the newest configuration: a joint
    /// one from a uniform one, the uniform one that a joint one leads to, or a
    /// change of learners and addresses only. Refused while another is not yet committed,
    /// and if the newest configuration is another by now ([`is_step`](crate::is_step)).
    async fn reconfigure(&self, next: Configuration) -> Result<LogPosition, EngineError>;

    /// Confirms by a quorum round trip that this node still leads, and returns the
    /// index that a linearizable read must see applied (CP-P4). Never a lease. The record
    /// there is of the term that was confirmed: a leader serves no read before it has
    /// committed in its term.
    async fn read_index(&self) -> Result<ControlPlaneLogIndex, EngineError>;

    /// Asks `to` to take over at once. Returns when it has been asked; the driver
    /// watches the view for the result. The engine itself calls an unanswered
    /// transfer off within one election timeout.
    async fn transfer(&self, to: Incarnation) -> Result<(), EngineError>;

    /// How far each peer is by this leader's books, itself included; empty if it does not lead.
    fn matched(&self) -> Vec<(Incarnation, ControlPlaneLogIndex)>;

    /// Takes one of the engine's own messages (what a peer's engine gave to
    /// [`Host::send`](crate::Host::send)). Does not block; garbage is dropped with a log line.
    fn receive(&self, from: Incarnation, message: Bytes);

    /// Takes a whole snapshot that a peer's engine sent with
    /// [`Host::send_snapshot`](crate::Host::send_snapshot), `header` being that
    /// engine's own bytes. Returns once it is installed (durable, current) or refused
    /// (stale: another term leads, or the log is already past it).
    async fn install(&self, from: Incarnation, header: Bytes, staged: Staged) -> Result<(), EngineError>;

    /// A snapshot at `staged` was built here: make it current and compact the log up
    /// to `compact_to`, in the order that the engine wants.
    async fn adopt(&self, staged: Staged, compact_to: ControlPlaneLogIndex) -> Result<(), EngineError>;

    /// Ends the engine's tasks. Idempotent. After it, no frame leaves and nothing is written.
    async fn stop(&self);
}

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This node does not lead; nothing was done.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, if known.
        leader: Option<Incarnation>,
    },
    /// No quorum; nothing was done.
    #[error("no quorum confirmed in time")]
    NoQuorum,
    /// Nothing was done, for this reason; it may be tried again.
    #[error("refused: {0}")]
    Refused(String),
    /// It may or may not have been done.
    #[error("it is unknown whether it was done: {0}")]
    Unknown(String),
    /// The store failed; the node is stopping.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// What an engine says of itself; published with [`Host::publish`](crate::Host::publish) whenever it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineView {
    /// The role.
    pub role: ControlPlaneRole,
    /// The term.
    pub term: Term,
    /// The leader of the term, if known.
    pub leader: Option<Incarnation>,
}
