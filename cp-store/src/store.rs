//! The handle: reads of the submitted state, ordered writes, the durable watermark.

use crate::backend::Directory;
use crate::batch::Batch;
use crate::create::{Layout, create, write_identity};
use crate::drive::Handle;
use crate::error::{CreateError, Failure, OpenError, Rejected};
use crate::file_set::Home;
use crate::identity::{Expected, Identity};
use crate::open::{inspect, open};
use crate::record::{Configuration, LogRecord, TermRuns};
use crate::shared::{Done, Shared, lock};
use crate::snapshot::{SnapshotBody, SnapshotMeta, Stage};
use crate::state::Change;
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, LastVote, LogPosition, Term};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// How the writer loop is driven.
#[derive(Debug, Clone)]
pub enum Writer {
    /// A thread of its own; blocking I/O. Production.
    Thread,
    /// A task on the current runtime, which waits for the pace before each piece
    /// of I/O and then does it inline; a full segment is absorbed between other
    /// pieces, when its own pace has passed or there is no other way on. The simulator.
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
    /// Bring a full write-ahead segment into the database, beside other work.
    Absorb,
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
pub struct Ticket(oneshot::Receiver<Result<(), Failure>>);

impl Ticket {
    pub(crate) fn pending() -> (Self, Done) {
        let (answer, asked) = oneshot::channel();
        // A ticket that was dropped has nobody to tell.
        (Self(asked), Box::new(move |result| drop(answer.send(result))))
    }

    /// The answer of a ticket whose writer is gone.
    pub(crate) fn orphaned() -> Failure {
        Failure { what: "its writer was stopped".to_owned(), source: None }
    }
}

impl Future for Ticket {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(Self::orphaned())))
    }
}

/// What an image holds; see [`Store::inspect`].
#[derive(Debug, Clone, PartialEq, Eq)]
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
///
/// Dropping the last clone finishes what is queued and closes the files, in the
/// background; [`close`](Self::close) waits for that.
#[derive(Debug, Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

impl Store {
    /// Makes a new directory. Durable when it returns; a crash in it leaves a
    /// directory that `create` accepts again and `open` refuses as absent.
    pub fn create(dir: &dyn Directory, identity: &Identity, founding: Founding) -> Result<(), CreateError> {
        Self::create_with(dir, identity, founding, Layout::default())
    }

    /// As `create`, with files of other sizes.
    pub fn create_with(
        dir: &dyn Directory,
        identity: &Identity,
        founding: Founding,
        layout: Layout,
    ) -> Result<(), CreateError> {
        create(dir, identity, founding, LastVote::default(), layout)
    }

    /// As `create`, for a node that has voted already: one that is restored goes
    /// on above the terms of before (CP-S3).
    pub fn create_voted(
        dir: &dyn Directory,
        identity: &Identity,
        founding: Founding,
        vote: LastVote,
    ) -> Result<(), CreateError> {
        create(dir, identity, founding, vote, Layout::default())
    }

    /// Opens an existing directory, verifies it, repairs a torn tail, and makes a
    /// boot record durable before it returns. Blocks.
    ///
    /// Guarantees: all that was ever acknowledged is there, or an error says what
    /// is wrong (CP-D4); a lost file is never replaced by a fresh one. Nothing is
    /// changed unless everything has been verified. An interrupted opening is
    /// opened again like an interrupted write.
    ///
    /// With [`Writer::Task`] it is called within a tokio runtime.
    pub fn open(dir: Arc<dyn Directory>, expected: &Expected, writer: Writer) -> Result<Self, OpenError> {
        let core = open(dir, expected)?;
        Handle::drive(core, writer).map(|handle| Self { handle: Arc::new(handle) })
    }

    /// Reads an image without changing it: no lock, no boot record, no repair. It
    /// shows exactly what `open` would find. Blocks.
    pub fn inspect(dir: &dyn Directory) -> Result<Inspection, OpenError> {
        inspect(dir).map(|(inspection, ..)| inspection)
    }

    /// Whose directory it is.
    pub fn identity(&self) -> Identity {
        lock(&self.shared().identity).clone()
    }

    /// Rewrites the remembered engine, durably. Blocks for two fsyncs.
    pub fn remember_engine(&self, engine: &str) -> Result<(), Failure> {
        let shared = self.shared();
        if let Some(failure) = &lock(&shared.inner).stopped {
            return Err(failure.clone());
        }
        let mut identity = lock(&shared.identity);
        let next = Identity { engine: engine.to_owned(), ..identity.clone() };
        if next != *identity {
            let home = Home { identity: next, set: shared.set };
            write_identity(shared.dir.as_ref(), &home)
                .map_err(|e| shared.fail_with(e.into(), "writing the identity file failed"))?;
            *identity = home.identity;
        }
        Ok(())
    }

    /// How often it has been opened, this time included.
    pub fn boot(&self) -> u64 {
        self.shared().boot
    }

    /// The vote, as submitted.
    pub fn vote(&self) -> LastVote {
        lock(&self.shared().inner).state.vote
    }

    /// The committed index, as submitted. Readers outside the adapter want `durable`.
    pub fn committed(&self) -> ControlPlaneLogIndex {
        lock(&self.shared().inner).state.committed
    }

    /// The last record, or the snapshot's position if the log is empty; as submitted.
    pub fn last(&self) -> LogPosition {
        lock(&self.shared().inner).state.last
    }

    /// The last compacted position: the record before the first one retained.
    pub fn purged(&self) -> LogPosition {
        lock(&self.shared().inner).state.purged
    }

    /// The term at any index from genesis to the last record; `None` beyond.
    pub fn term_at(&self, index: ControlPlaneLogIndex) -> Option<Term> {
        lock(&self.shared().inner).state.term_at(index)
    }

    /// The history of terms up to and including `index`.
    pub fn terms_to(&self, index: ControlPlaneLogIndex) -> TermRuns {
        let mut terms = lock(&self.shared().inner).state.terms.clone();
        terms.truncate(index.next());
        terms
    }

    /// Records of the range, from its start, as many as fit `bytes_max` but at
    /// least one; stops at the end of the log. An index that was compacted is a
    /// caller's bug and gives an empty list.
    pub fn read(&self, range: Range<ControlPlaneLogIndex>, bytes_max: usize) -> Result<Vec<LogRecord>, Failure> {
        self.shared().read(range, bytes_max)
    }

    /// Every configuration still known, ascending: the snapshot's, then those in
    /// the retained log above it; as submitted. Never empty.
    pub fn configurations(&self) -> Vec<(LogPosition, Configuration)> {
        let inner = lock(&self.shared().inner);
        let meta = &inner.state.snapshot.meta;
        let first = (meta.configuration_at, meta.configuration.clone());
        std::iter::once(first).chain(inner.state.configurations.iter().cloned()).collect()
    }

    /// Where the newest known configuration was recorded; as submitted. Cheap: a
    /// caller that keeps the configuration of this position need not ask for it again.
    pub fn newest_configuration_at(&self) -> LogPosition {
        let inner = lock(&self.shared().inner);
        inner.state.configurations.last().map_or(inner.state.snapshot.meta.configuration_at, |(at, _)| *at)
    }

    /// The current snapshot, as submitted.
    pub fn snapshot(&self) -> SnapshotMeta {
        lock(&self.shared().inner).state.snapshot.meta.clone()
    }

    /// Opens the current snapshot's body.
    pub fn open_snapshot(&self) -> Result<SnapshotBody, Failure> {
        let pointer = Arc::clone(&lock(&self.shared().inner).state.snapshot);
        let body = pointer.body.clone().ok_or_else(Ticket::orphaned)?;
        Ok(SnapshotBody { shared: Arc::clone(self.shared()), pointer, body })
    }

    /// What is on disk, as it changes: all that a reader, a watcher or a verdict may
    /// be told of (CP-D3). Coalesces; never falls.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.shared().durable.subscribe()
    }

    /// When the oldest write that is not finished was submitted; the disk gate reads it.
    pub fn oldest_unfinished(&self) -> Option<Instant> {
        let inner = lock(&self.shared().inner);
        let batch = inner.batches.front().map(|queued| queued.at);
        let bulk = inner.bulk.front().map(|(at, _)| *at);
        [inner.in_flight, batch, bulk].into_iter().flatten().min()
    }

    /// When the write-ahead segment that the database takes over was left; `None` if none
    /// is on its way. It holds up no batch before the next one is full; what waits for it
    /// is in [`oldest_unfinished`](Self::oldest_unfinished): so the disk gate does not
    /// read it, and a metric says beforehand that the disk has become too slow.
    pub fn absorbing_since(&self) -> Option<Instant> {
        lock(&self.shared().inner).absorbing_since
    }

    /// Queues a batch: visible to this store's readers at once, durable when the
    /// ticket resolves. Does not block.
    ///
    /// Guarantees: the batch becomes durable whole or not at all; batches become
    /// durable, and tickets resolve, in the order of submission. When a ticket
    /// resolves with `Ok`, what the batch holds survives power loss (CP-D1, CP-D2,
    /// CP-D3). A batch that breaks a promise (CP-S2, CP-S3) is rejected and changes
    /// nothing.
    ///
    /// Errors: a ticket that fails says nothing of whether its batch reached the
    /// disk; the store has stopped, and every later ticket fails alike (CP-D4).
    pub fn submit(&self, batch: Batch) -> Result<Ticket, Rejected> {
        let (ticket, done) = Ticket::pending();
        self.queue(batch, done).map(|()| ticket)
    }

    /// As `submit`, and calls `done` from the writer once durable, in order,
    /// before the durable watermark is published. `done` must not block.
    pub fn submit_then(
        &self,
        batch: Batch,
        done: impl FnOnce(Result<(), Failure>) + Send + 'static,
    ) -> Result<(), Rejected> {
        self.queue(batch, Box::new(done))
    }

    fn queue(&self, batch: Batch, done: Done) -> Result<(), Rejected> {
        let change = Change {
            vote: batch.vote,
            truncate_from: batch.truncate_from,
            append: batch.append,
            committed: batch.committed,
            snapshot: batch.snapshot.as_ref().map(|staged| Arc::clone(&staged.pointer)),
            compact_to: batch.compact_to,
        };
        self.shared().submit(change, batch.snapshot, done)
    }

    /// Begins to write a snapshot file, interleaved with batches.
    pub fn stage(&self) -> Stage {
        Stage::new(self.shared())
    }

    /// Finishes all queued writes and closes the files; later writes are refused.
    /// Idempotent. Dropping the future does not undo it.
    pub async fn close(&self) -> Result<(), Failure> {
        let (ticket, done) = Ticket::pending();
        self.shared().close(done);
        ticket.await
    }

    /// Stops the writer where it is, as a crash would: queued writes are lost,
    /// nothing more reaches the disk, tickets fail. For simulators and tests.
    pub fn abandon(&self) {
        self.shared().fail(Ticket::orphaned());
        self.handle.abort();
    }

    /// Does all queued work here and now, if the writer is a task; otherwise nothing.
    pub(crate) fn flush_inline(&self) {
        self.handle.flush();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }
}
