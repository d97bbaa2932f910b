//! What the handle and the writer share: the submitted state, the queue, the end.

use crate::backend::Directory;
use crate::base::{Base, Fuse};
use crate::batch::Batch;
use crate::error::{Failure, Rejected};
use crate::fault::Fault;
use crate::identity::Identity;
use crate::record::LogRecord;
use crate::snapshot::{SnapshotMeta, Staged};
use crate::state::{Change, State, Summary};
use crate::store::Durable;
use bytes::Bytes;
use cp_seam::{Incarnation, LastVote};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Locks; a panic elsewhere does not make the data wrong, the writer's guard deals with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) type Done = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// A batch in the queue.
pub(crate) struct Queued {
    pub(crate) number: u64,
    pub(crate) change: Change,
    /// Whether its snapshot drops the log.
    pub(crate) dropped: bool,
    /// The state after it.
    pub(crate) after: Summary,
    pub(crate) at: Instant,
    /// Whether it may wait for another.
    pub(crate) patient: bool,
    pub(crate) done: Done,
    /// Kept from being swept until its batch is through.
    pub(crate) _staged: Option<Staged>,
}

/// Work on snapshot files, and the last work of all.
pub(crate) enum Bulk {
    Chunk { stage: u64, chunk: Bytes, done: Done },
    Seal { stage: u64, meta: SnapshotMeta, done: Box<dyn FnOnce(Result<Staged, Failure>) + Send> },
    Abandon { stage: u64 },
    Close { done: Done },
}

impl Bulk {
    pub(crate) fn fail(self, failure: &Failure) {
        match self {
            Self::Chunk { done, .. } => done(Err(failure.clone())),
            // Closed by another call.
            Self::Close { done } => done(if failure.is_close() { Ok(()) } else { Err(failure.clone()) }),
            Self::Seal { done, .. } => done(Err(failure.clone())),
            Self::Abandon { .. } => {}
        }
    }
}

/// Under the one lock; never held during I/O.
pub(crate) struct Inner {
    pub(crate) state: State,
    /// Records submitted and not yet in redb, with the number of their batch: the end of the log.
    pub(crate) overlay: BTreeMap<u64, (u64, LogRecord)>,
    /// How often such were let go of, being in redb.
    pub(crate) absorptions: u64,
    pub(crate) batches: VecDeque<Queued>,
    pub(crate) bulk: VecDeque<(Instant, Bulk)>,
    pub(crate) in_flight: Option<Instant>,
    /// When the lap that is on its way into redb was left.
    pub(crate) absorbing_since: Option<Instant>,
    pub(crate) numbered: u64,
    pub(crate) stages: u64,
    /// Sealed snapshot files that somebody may still install.
    pub(crate) staged: BTreeSet<String>,
    /// What keeps redb from writing; `None` once it is closed.
    pub(crate) fuse: Option<Fuse>,
    /// Why nothing is accepted any more.
    pub(crate) stopped: Option<Failure>,
    /// No handle is left, or `close` was called: end when the queue is empty.
    pub(crate) closing: bool,
}

pub(crate) struct Shared {
    pub(crate) dir: Arc<dyn Directory>,
    /// Which set of files is this node's.
    pub(crate) set: u32,
    pub(crate) me: Incarnation,
    pub(crate) identity: Mutex<Identity>,
    pub(crate) boot: u64,
    pub(crate) inner: Mutex<Inner>,
    /// For whoever reads: held while a view begins, so that it is not closed under it.
    pub(crate) base: RwLock<Option<Arc<Base>>>,
    pub(crate) durable: watch::Sender<Durable>,
    /// The vote that was last acknowledged as durable, which may not be published yet.
    pub(crate) acknowledged: Mutex<Option<LastVote>>,
    pub(crate) thread_wake: Condvar,
    pub(crate) task_wake: Notify,
    pub(crate) absorb_wake: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).field("boot", &self.boot).finish_non_exhaustive()
    }
}

/// When something is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Instant),
}

impl Inner {
    /// When the queued batches are to be written; `None` if there are none.
    pub(crate) fn due(&self) -> Option<Due> {
        let first = self.batches.front()?;
        let waits = !self.closing && self.batches.iter().all(|queued| queued.patient);
        let until = first.at + Batch::PATIENCE;
        // Who does not wait asks no clock: a thread may have another than whoever submits.
        Some(if waits && Instant::now() < until { Due::At(until) } else { Due::Now })
    }
}

impl Shared {
    pub(crate) fn wake(&self) {
        self.thread_wake.notify_one();
        self.task_wake.notify_one();
    }

    /// Checks, applies to the submitted state, and queues.
    pub(crate) fn submit(&self, change: Change, staged: Option<Staged>, done: Done) -> Result<(), Rejected> {
        let mut inner = lock(&self.inner);
        if let Some(failure) = &inner.stopped {
            return Err(failure.clone().into());
        }
        if inner.closing {
            return Err(Failure::closed().into());
        }
        inner.state.check(&change)?;
        inner.numbered += 1;
        let number = inner.numbered;
        let dropped = inner.state.apply(&change);
        if let Some(from) = change.truncate_from {
            inner.overlay.split_off(&from.0);
        }
        if dropped {
            inner.overlay.clear();
        } else {
            let records = change.append.iter().map(|r| (r.position.index.0, (number, r.clone())));
            inner.overlay.extend(records);
        }
        let after = inner.state.summary();
        let follows = after.vote.following.is_some_and(|leader| leader != self.me);
        let patient = follows && change.only_commits();
        let at = Instant::now();
        inner.batches.push_back(Queued { number, change, dropped, after, at, patient, done, _staged: staged });
        drop(inner);
        self.wake();
        Ok(())
    }

    /// Queues work on a snapshot file, or fails it at once.
    pub(crate) fn queue(&self, bulk: Bulk) {
        let mut inner = lock(&self.inner);
        match inner.stopped.clone().or_else(|| inner.closing.then(Failure::closed)) {
            Some(failure) => {
                drop(inner);
                bulk.fail(&failure);
            }
            None => {
                inner.bulk.push_back((Instant::now(), bulk));
                drop(inner);
                self.wake();
            }
        }
    }

    /// Ends the store for good (CP-D4) and returns why it ended, which may be an earlier failure.
    pub(crate) fn fail(&self, failure: Failure) -> Failure {
        let mut inner = lock(&self.inner);
        if let Some(fuse) = &inner.fuse {
            fuse.blow();
        }
        let why = inner.stopped.get_or_insert(failure).clone();
        drop(inner);
        self.wake();
        why
    }

    pub(crate) fn fail_with(&self, fault: Fault, doing: impl Into<String>) -> Failure {
        self.fail(fault.failing(doing))
    }

    /// Lets go of the records up to the batch of this number, which are in redb now.
    pub(crate) fn absorbed(&self, batch: u64) {
        let mut inner = lock(&self.inner);
        // Higher indexes are of later batches: a truncation takes what is above it along.
        let kept = inner.overlay.iter().find(|(_, (number, _))| *number > batch).map(|(index, _)| *index);
        let kept = kept.map_or_else(BTreeMap::new, |index| inner.overlay.split_off(&index));
        let absorbed = std::mem::replace(&mut inner.overlay, kept);
        inner.absorptions += 1;
        drop(inner);
        // Thousands, for which nobody should wait.
        drop(absorbed);
    }

    /// Takes everything that waits.
    pub(crate) fn drain(&self) -> (VecDeque<Queued>, VecDeque<(Instant, Bulk)>) {
        let mut inner = lock(&self.inner);
        inner.in_flight = None;
        (std::mem::take(&mut inner.batches), std::mem::take(&mut inner.bulk))
    }

    /// Queues the end; later writes are refused.
    pub(crate) fn close(&self, done: Done) {
        let mut inner = lock(&self.inner);
        if let Some(failure) = inner.stopped.clone() {
            drop(inner);
            return Bulk::Close { done }.fail(&failure);
        }
        inner.closing = true;
        inner.bulk.push_back((Instant::now(), Bulk::Close { done }));
        drop(inner);
        self.wake();
    }
}
