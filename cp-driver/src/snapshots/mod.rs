//! Snapshots: built from the state machine, pulled by peers chunk by chunk.

pub(crate) mod build;
pub(crate) mod mark;
mod partial;
pub(crate) mod receive;
pub(crate) mod send;

use crate::wire::{Chunk, Ended};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation};
use cp_store::SnapshotBody;
use partial::Partial;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// The transfers under way at this node.
#[derive(Debug)]
pub(crate) struct Transfers {
    books: Mutex<Books>,
    /// What was pulled of a snapshot so far. The transfer that pulls holds the lock, so that
    /// the one that takes its place finds all of it.
    partial: tokio::sync::Mutex<Option<Partial>>,
}

#[derive(Debug, Default)]
struct Books {
    last_id: u64,
    outgoing: BTreeMap<Incarnation, Outgoing>,
    incoming: Option<Incoming>,
    /// The last transfer from each peer that has ended here, and how: the word of it may
    /// have been lost, and an offer may come late.
    ended: BTreeMap<Incarnation, Ended>,
}

#[derive(Debug)]
struct Outgoing {
    id: u64,
    body: Arc<SnapshotBody>,
    /// Counts pulls, so that the sender sees that the peer is alive.
    pulls: watch::Sender<u64>,
    ended: Option<oneshot::Sender<Result<(), String>>>,
}

#[derive(Debug)]
struct Incoming {
    from: Incarnation,
    id: u64,
    chunks: mpsc::Sender<(u64, Bytes)>,
}

impl Transfers {
    /// Transfers are numbered above those of all earlier lives, so that a word about
    /// one of them is never taken for a word about one of this life.
    pub(crate) fn new(boot: u64) -> Self {
        Self { books: Mutex::new(Books { last_id: boot << 32, ..Books::default() }), partial: Default::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what was pulled of a snapshot that is of no use any more: the state is past it.
    pub(crate) fn forget_reached(&self, applied: ControlPlaneLogIndex) {
        if let Ok(mut partial) = self.partial.try_lock()
            && partial.as_ref().is_some_and(|partial| partial.position().index <= applied)
        {
            *partial = None;
        }
    }

    /// Forgets all peers but those to be kept.
    pub(crate) fn retain(&self, keep: impl Fn(Incarnation) -> bool) {
        self.books().ended.retain(|who, _| keep(*who));
    }

    /// A chunk that was pulled has come. One that nobody waits for is dropped.
    pub(crate) fn arrived(&self, from: Incarnation, chunk: Chunk) {
        let books = self.books();
        let Some(incoming) = books.incoming.as_ref().filter(|i| i.from == from && i.id == chunk.transfer) else {
            return;
        };
        if incoming.chunks.try_send((chunk.ordinal, chunk.bytes)).is_err() {
            tracing::debug!(%from, ordinal = chunk.ordinal, "a surplus snapshot chunk was dropped");
        }
    }

    /// The peer has installed the snapshot, or has given up.
    pub(crate) fn ended(&self, from: Incarnation, message: Ended) {
        let mut books = self.books();
        if books.outgoing.get(&from).is_none_or(|o| o.id != message.transfer) {
            return;
        }
        let result = if message.failure.is_empty() { Ok(()) } else { Err(message.failure) };
        let ended = books.outgoing.remove(&from).and_then(|mut outgoing| outgoing.ended.take());
        if ended.is_some_and(|ended| ended.send(result).is_err()) {
            tracing::debug!(%from, "nobody waits for this snapshot transfer any more");
        }
    }
}

#[cfg(test)]
mod tests;
