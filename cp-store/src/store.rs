//! The handle: reads of the submitted state, ordered writes, the durable watermark.

use crate::backend::Directory;
use crate::batch::Batch;
use crate::error::{CreateError, Failure, OpenError, Rejected};
use crate::identity::{Expected, Identity};
use crate::record::{Configuration, LogRecord, TermRuns};
use crate::snapshot::{SnapshotBody, SnapshotMeta, Stage};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, LastVote, LogPosition, Term};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// How the writer loop is driven.
#[derive(Debug, Clone)]
pub enum Writer {
    /// A thread of its own; blocking I/O. Production.
    Thread,
    /// A task on the current runtime, which waits for the pace before each piece
    /// of I/O and then does it inline. The simulator.
    Task(Arc<dyn Pace>),
}

/// How long a simulated disk takes.
pub trait Pace: std::fmt::Debug + Send + Sync + 'static {
    /// Resolves when the work may be done.
    fn wait(&self, work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What the writer is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterWork {
    /// Write and sync a group of batches of this many bytes.
    Commit {
        /// How many.
        bytes: usize,
    },
    /// Write a snapshot chunk.
    Chunk {
        /// How many.
        bytes: usize,
    },
    /// Sync and rename a snapshot.
    Seal,
}

/// What a new directory starts from: genesis, or the snapshot of a join reply.
/// A store always has a snapshot; genesis is one at position 0.0.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The snapshot's metadata.
    pub meta: SnapshotMeta,
    /// Its chunks.
    pub chunks: Vec<Bytes>,
}

/// What is on disk, as of the last finished fsync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// The vote.
    pub vote: LastVote,
    /// The end of the log.
    pub last: LogPosition,
    /// The committed index (CP-D3).
    pub committed: ControlPlaneLogIndex,
    /// The current snapshot.
    pub snapshot: LogPosition,
    /// Why the store has stopped, if it has.
    pub failed: Option<String>,
}

/// Resolves when a batch is durable. Dropping it forgets the question, not the batch.
#[derive(Debug)]
pub struct Ticket {}

impl Future for Ticket {
    type Output = Result<(), Failure>;
    fn poll(self: Pin<&mut Self>, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        todo!()
    }
}

/// What an image holds; see [`Store::inspect`].
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Whose it is.
    pub identity: Identity,
    /// How often it has been opened.
    pub boot: u64,
    /// The vote.
    pub vote: LastVote,
    /// The committed index.
    pub committed: ControlPlaneLogIndex,
    /// The current snapshot.
    pub snapshot: SnapshotMeta,
    /// The retained records.
    pub log: Vec<LogRecord>,
}

/// One node's durable state. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    /// Makes a new directory. Durable when it returns; a crash in it leaves a
    /// directory that `create` accepts again and `open` refuses as absent.
    pub fn create(_dir: &dyn Directory, _identity: &Identity, _founding: Founding) -> Result<(), CreateError> {
        todo!()
    }
    /// Opens an existing directory, verifies it, repairs a torn tail, and makes a
    /// boot record durable before it returns. Blocks.
    pub fn open(_dir: Arc<dyn Directory>, _expected: &Expected, _writer: Writer) -> Result<Self, OpenError> {
        todo!()
    }
    /// Reads an image without changing it: no lock, no boot record, no repair.
    pub fn inspect(_dir: &dyn Directory) -> Result<Inspection, OpenError> {
        todo!()
    }
    /// Whose directory it is.
    pub fn identity(&self) -> Identity {
        todo!()
    }
    /// Rewrites the remembered engine, durably. Blocks.
    pub fn remember_engine(&self, _engine: &str) -> Result<(), Failure> {
        todo!()
    }
    /// How often it has been opened, this time included.
    pub fn boot(&self) -> u64 {
        todo!()
    }

    /// The vote, as submitted.
    pub fn vote(&self) -> LastVote {
        todo!()
    }
    /// The committed index, as submitted. Readers outside the adapter want `durable`.
    pub fn committed(&self) -> ControlPlaneLogIndex {
        todo!()
    }
    /// The last record, or the snapshot's position if the log is empty; as submitted.
    pub fn last(&self) -> LogPosition {
        todo!()
    }
    /// The last compacted position: the record before the first one retained.
    pub fn purged(&self) -> LogPosition {
        todo!()
    }
    /// The term at any index from genesis to the last record; `None` beyond.
    pub fn term_at(&self, _index: ControlPlaneLogIndex) -> Option<Term> {
        todo!()
    }
    /// The history of terms up to and including `index`.
    pub fn terms_to(&self, _index: ControlPlaneLogIndex) -> TermRuns {
        todo!()
    }
    /// Records of the range, from its start, as many as fit `bytes_max` but at
    /// least one; stops at the end of the log. An index that was compacted is a
    /// caller's bug and gives an empty list.
    pub fn read(&self, _range: Range<ControlPlaneLogIndex>, _bytes_max: usize) -> Result<Vec<LogRecord>, Failure> {
        todo!()
    }
    /// Every configuration still known, ascending: the snapshot's, then those in
    /// the retained log above it; as submitted. Never empty.
    pub fn configurations(&self) -> Vec<(LogPosition, Configuration)> {
        todo!()
    }
    /// The current snapshot, as submitted.
    pub fn snapshot(&self) -> SnapshotMeta {
        todo!()
    }
    /// Opens the current snapshot's body.
    pub fn open_snapshot(&self) -> Result<SnapshotBody, Failure> {
        todo!()
    }

    /// What is on disk, as it changes.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        todo!()
    }
    /// When the oldest write that is not finished was submitted; the disk gate reads it.
    pub fn oldest_unfinished(&self) -> Option<Instant> {
        todo!()
    }

    /// Queues a batch. Visible to readers at once, durable when the ticket resolves.
    /// Never blocks. Tickets resolve in order of submission.
    pub fn submit(&self, _batch: Batch) -> Result<Ticket, Rejected> {
        todo!()
    }
    /// As `submit`, and calls `done` from the writer once durable, in order,
    /// before the durable watermark is published. `done` must not block.
    pub fn submit_then(
        &self,
        _batch: Batch,
        _done: impl FnOnce(Result<(), Failure>) + Send + 'static,
    ) -> Result<(), Rejected> {
        todo!()
    }
    /// Begins to write a snapshot file, interleaved with batches.
    pub fn stage(&self) -> Stage {
        todo!()
    }
    /// Finishes all queued writes and closes the files; later writes are refused.
    pub async fn close(&self) -> Result<(), Failure> {
        todo!()
    }
}
