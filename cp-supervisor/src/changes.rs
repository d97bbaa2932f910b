//! Committed changes, from an index on.

use cp_catalog::{CatalogMachine, Change, Changes as Batch};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneWatch, Generation};
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
    generation: Generation,
    next: ControlPlaneLogIndex,
    ready: VecDeque<Arc<Change>>,
    /// All before it has been told.
    told: ControlPlaneLogIndex,
}

/// What a reader of changes is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A change.
    Change(Arc<Change>),
    /// There is no other up to this index, which is applied.
    Reached(ControlPlaneLogIndex),
}

/// Where a watch goes on. An index is one of a generation: after a forced recovery or a
/// restore it may hold something else (CP-R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The next index wanted.
    pub index: ControlPlaneLogIndex,
    /// The generation that it is of; the present one if left out.
    pub generation: Option<Generation>,
}

impl From<ControlPlaneLogIndex> for Cursor {
    fn from(index: ControlPlaneLogIndex) -> Self {
        Self { index, generation: None }
    }
}

/// Some of the changes asked for are no longer kept, or are of a generation that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "changes that far back, or of a generation that is over, are not kept; read the state, then watch from index {resume}"
)]
pub struct Compacted {
    /// Where a watch can begin: after the state as it was when the answer was given.
    pub resume: ControlPlaneLogIndex,
    /// The generation that this index is of.
    pub generation: Generation,
}

impl From<Compacted> for Cursor {
    fn from(compacted: Compacted) -> Self {
        Self { index: compacted.resume, generation: Some(compacted.generation) }
    }
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
        from: Cursor,
    ) -> Result<Self, Compacted> {
        let (applied, generation) = machine.read_at(|applied, catalog| (applied, catalog.generation()));
        if from.generation.is_some_and(|of| of != generation) {
            return Err(Compacted { resume: applied.next(), generation });
        }
        let next = from.index.max(ControlPlaneLogIndex(1));
        let mut changes = Self { machine, status, generation, next, ready: VecDeque::new(), told: next };
        changes.fetch()?;
        Ok(changes)
    }

    /// The generation that every index here is of.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Where to go on after the last change that was taken, here or at another member.
    pub fn cursor(&self) -> Cursor {
        let index = self.ready.front().map_or(self.next, |change| change.position.index);
        Cursor { index, generation: Some(self.generation) }
    }

    fn fetch(&mut self) -> Result<(), Compacted> {
        match self.machine.changes_from(self.next, BATCH_COUNT) {
            Batch::Items { items, next } => {
                self.ready.extend(items);
                self.next = next;
                Ok(())
            }
            Batch::Compacted { snapshot_index } => {
                Err(Compacted { resume: snapshot_index.next(), generation: self.generation })
            }
        }
    }

    /// The next change, waiting for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Change>, ChangesEnd> {
        loop {
            if let Told::Change(change) = self.next_or_reached().await? {
                return Ok(change);
            }
        }
    }

    /// The next change, or up to where there is none that was not told: not every index is
    /// that of a change. Dropping the future loses nothing.
    pub async fn next_or_reached(&mut self) -> Result<Told, ChangesEnd> {
        loop {
            // Seen before anything is fetched, so that what comes in between wakes the wait below.
            let seen = self.status.current();
            if seen.stopped.is_some() {
                return Err(ChangesEnd::Stopped { next: self.cursor().index });
            }
            if let Some(change) = self.ready.pop_front() {
                self.told = change.position.index.next();
                return Ok(Told::Change(change));
            }
            self.fetch()?;
            if !self.ready.is_empty() {
                continue;
            }
            if self.told < self.next {
                self.told = self.next;
                return Ok(Told::Reached(self.next.prev()));
            }
            if seen.applied < self.next && self.status.changed().await.is_err() {
                return Err(ChangesEnd::Stopped { next: self.next });
            }
        }
    }
}
