//! One atomic, ordered write.

use crate::record::LogRecord;
use crate::snapshot::Staged;
use cp_seam::{ControlPlaneLogIndex, LastVote};
use std::time::Duration;

/// Everything that becomes durable together or not at all.
///
/// Applied in the order of the fields. Batches are applied in the order of
/// submission; many may share one fsync.
#[derive(Debug, Default)]
pub struct Batch {
    /// Replaces the vote.
    pub vote: Option<LastVote>,
    /// Drops every record from this index on. Never at or below the committed index.
    pub truncate_from: Option<ControlPlaneLogIndex>,
    /// Appends records; the first follows the last record without a gap.
    pub append: Vec<LogRecord>,
    /// Raises the committed index (lowering it is ignored). At most the last index.
    pub committed: Option<ControlPlaneLogIndex>,
    /// Makes a staged snapshot the current one. If the log holds the snapshot's
    /// (term, index) the log is kept; otherwise the whole log is dropped and the
    /// committed index becomes at least the snapshot's. One transaction.
    pub snapshot: Option<Staged>,
    /// Drops records up to and including this index; at most the current
    /// snapshot's index.
    pub compact_to: Option<ControlPlaneLogIndex>,
}

impl Batch {
    /// How long a committed index alone waits for another batch whose fsync it can share, on a
    /// node that follows another: whoever asked waits for that one's.
    pub(crate) const PATIENCE: Duration = Duration::from_millis(2);
}
