//! Snapshot bodies are hashed files; the pointer to the current one is in the log of writes.

use crate::error::Failure;
use crate::record::{Configuration, TermRuns};
use crate::store::Ticket;
use bytes::Bytes;
use cp_seam::{LogPosition, StateDigest};

/// What is known of a snapshot besides its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last record it includes.
    pub position: LogPosition,
    /// The newest configuration at or below `position`.
    pub configuration: Configuration,
    /// Where that configuration was recorded (genesis: 0.0).
    pub configuration_at: LogPosition,
    /// The history of terms up to `position`.
    pub terms: TermRuns,
    /// The digest of the state.
    pub digest: StateDigest,
}

/// A snapshot file being written, chunk by chunk, on the writer. Dropping it
/// abandons the file.
#[derive(Debug)]
pub struct Stage {}

impl Stage {
    /// Queues the next chunk (at most 1 MiB).
    pub fn push(&mut self, _chunk: Bytes) -> Ticket {
        todo!()
    }
    /// Syncs and renames the file, and syncs the directory.
    pub async fn seal(self, _meta: SnapshotMeta) -> Result<Staged, Failure> {
        todo!()
    }
}

/// A whole, durable snapshot file that is not the current one yet; see `Batch::snapshot`.
/// Dropping it leaves the file to be swept at the next opening or install.
#[derive(Debug)]
pub struct Staged {}

impl Staged {
    /// What it is.
    pub fn meta(&self) -> &SnapshotMeta {
        todo!()
    }
}

/// The current snapshot, opened for reading; stays readable if it is replaced meanwhile.
#[derive(Debug)]
pub struct SnapshotBody {}

impl SnapshotBody {
    /// What it is.
    pub fn meta(&self) -> &SnapshotMeta {
        todo!()
    }
    /// How many chunks it has. Chunk boundaries are kept as they were pushed.
    pub fn chunk_count(&self) -> u64 {
        todo!()
    }
    /// The chunk at `ordinal`, its checksum verified.
    pub fn chunk(&self, _ordinal: u64) -> Result<Bytes, Failure> {
        todo!()
    }
}
