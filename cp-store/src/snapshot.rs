//! Snapshot bodies are hashed files; the pointer to the current one is in the log of writes.

use crate::error::Failure;
use crate::record::{Configuration, TermRuns};
use crate::shared::{Bulk, Shared, lock};
use crate::snapshot_file::Body;
use crate::state::Pointer;
use crate::store::Ticket;
use bytes::Bytes;
use cp_seam::{LogPosition, StateDigest};
use std::sync::Arc;
use tokio::sync::oneshot;

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
pub struct Stage {
    shared: Arc<Shared>,
    number: u64,
    begun: bool,
}

impl Stage {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let mut inner = lock(&shared.inner);
        inner.stages += 1;
        Self { shared: Arc::clone(shared), number: inner.stages, begun: false }
    }

    /// Queues the next chunk (at most 1 MiB).
    pub fn push(&mut self, chunk: Bytes) -> Ticket {
        self.begun = true;
        let (ticket, done) = Ticket::pending();
        self.shared.queue(Bulk::Chunk { stage: self.number, chunk, done });
        ticket
    }

    /// Syncs and renames the file, and syncs the directory.
    pub async fn seal(mut self, meta: SnapshotMeta) -> Result<Staged, Failure> {
        self.begun = false;
        let (answer, asked) = oneshot::channel();
        let done = Box::new(move |result| {
            // Nobody waits for it any more: the file stays to be swept.
            drop(answer.send(result));
        });
        self.shared.queue(Bulk::Seal { stage: self.number, meta, done });
        asked.await.unwrap_or_else(|_| Err(stopped(&self.shared)))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.begun {
            self.shared.queue(Bulk::Abandon { stage: self.number });
        }
    }
}

fn stopped(shared: &Shared) -> Failure {
    lock(&shared.inner).stopped.clone().unwrap_or_else(Ticket::orphaned)
}

/// A whole, durable snapshot file that is not the current one yet; see `Batch::snapshot`.
/// Dropping it leaves the file to be swept at the next opening or install.
#[derive(Debug)]
pub struct Staged {
    shared: Arc<Shared>,
    pub(crate) pointer: Arc<Pointer>,
}

impl Staged {
    pub(crate) fn new(shared: &Arc<Shared>, pointer: Arc<Pointer>) -> Self {
        lock(&shared.inner).staged.insert(pointer.file.clone());
        Self { shared: Arc::clone(shared), pointer }
    }

    /// What it is.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.pointer.meta
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        lock(&self.shared.inner).staged.remove(&self.pointer.file);
    }
}

/// The current snapshot, opened for reading; stays readable if it is replaced meanwhile.
#[derive(Debug)]
pub struct SnapshotBody {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pointer: Arc<Pointer>,
    pub(crate) body: Arc<Body>,
}

impl SnapshotBody {
    /// What it is.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.pointer.meta
    }

    /// How many chunks it has. Chunk boundaries are kept as they were pushed.
    pub fn chunk_count(&self) -> u64 {
        self.body.chunk_count()
    }

    /// The BLAKE3 of all chunks: equal bodies at equal positions are the same snapshot,
    /// whichever node built it.
    pub fn hash(&self) -> [u8; 32] {
        self.body.hash()
    }

    /// The chunk at `ordinal`, its checksum verified.
    ///
    /// A chunk that cannot be read or does not match stops the store (CP-D4). An
    /// ordinal beyond the last is a caller's bug and stops nothing.
    pub fn chunk(&self, ordinal: u64) -> Result<Bytes, Failure> {
        match self.body.chunk(ordinal) {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => {
                let what = format!("the snapshot has {} chunks, and no chunk {ordinal}", self.chunk_count());
                Err(Failure { what, source: None })
            }
            Err(fault) => Err(self.shared.fail_with(fault, format!("reading chunk {ordinal} of a snapshot failed"))),
        }
    }
}
