//! Committed changes, from an index on.

use cp_catalog::{CatalogMachine, Change, Changes as Batch};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneWatch};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many changes are fetched at once.
const BATCH_COUNT: usize = 256;

/// A reader of committed changes, in order and without gaps. It never holds
/// anything up; one that is slower than history is kept learns that it is.
#[derive(Debug)]
pub struct Changes {
    machine: CatalogMachine,
    status: Box<dyn ControlPlaneWatch>,
    next: ControlPlaneLogIndex,
    ready: VecDeque<Arc<Change>>,
}

/// Some of the changes asked for are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes that far back are no longer kept; read the state, then watch from index {resume}")]
pub struct Compacted {
    /// Where a watch can begin: after the state as it was when the answer was given.
    pub resume: ControlPlaneLogIndex,
}

/// Why there are no more changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangesEnd {
    /// The reader fell behind.
    #[error(transparent)]
    Compacted(#[from] Compacted),
    /// The node has stopped; go on at another, from the next index.
    #[error("the node has stopped; watch another member from index {next}")]
    Stopped {
        /// Where to go on.
        next: ControlPlaneLogIndex,
    },
}

impl Changes {
    pub(crate) fn begin(
        machine: CatalogMachine,
        status: Box<dyn ControlPlaneWatch>,
        from: ControlPlaneLogIndex,
    ) -> Result<Self, Compacted> {
        let mut changes = Self { machine, status, next: from.max(ControlPlaneLogIndex(1)), ready: VecDeque::new() };
        changes.fetch()?;
        Ok(changes)
    }

    fn fetch(&mut self) -> Result<(), Compacted> {
        match self.machine.changes_from(self.next, BATCH_COUNT) {
            Batch::Items { items, next } => {
                self.ready.extend(items);
                self.next = next;
                Ok(())
            }
            Batch::Compacted { snapshot_index } => Err(Compacted { resume: snapshot_index.next() }),
        }
    }

    /// The next change, waiting for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Change>, ChangesEnd> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            // Seen before it is fetched, so that what comes in between wakes the wait below.
            let seen = self.status.current();
            self.fetch()?;
            if self.ready.is_empty() && seen.applied < self.next && self.status.changed().await.is_err() {
                return Err(ChangesEnd::Stopped { next: self.next });
            }
        }
    }
}
