//! The catalog behind the seam: what an engine feeds and everybody else reads.

use crate::catalog::Catalog;
use crate::history::{Change, Changes, History};
use crate::level::FEATURE_LEVEL;
use crate::snapshot::{Builder, CHUNK_SOFT_MAX_BYTES, Capture};
use crate::verdict::Verdict;
use bytes::Bytes;
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, Halt, LogPosition, Quorum, SnapshotError,
    SnapshotReader, SnapshotWriter, StateDigest,
};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// How many applied entries a machine remembers, unless told otherwise: some 0.5 KiB each.
pub const HISTORY_LEN_MAX: usize = 16_384;

/// The [`Catalog`] as a state machine. Cloning gives another handle to the same one.
///
/// Readers may come from anywhere; they hold up applying while they read, so
/// what takes long is read from a [`Catalog::clone`], which is cheap.
#[derive(Clone)]
pub struct CatalogMachine {
    state: Arc<RwLock<State>>,
}

struct State {
    catalog: Catalog,
    applied: ControlPlaneLogIndex,
    history: History,
    /// See [`CatalogMachine::with_chunks_of`].
    chunk_bytes: usize,
}

impl fmt::Debug for CatalogMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared();
        f.debug_struct("CatalogMachine")
            .field("applied", &state.applied)
            .field("digest", &state.catalog.digest())
            .finish_non_exhaustive()
    }
}

impl CatalogMachine {
    /// A machine without a state: it waits for a snapshot, genesis included.
    pub fn vacant() -> Self {
        Self::new(Catalog::vacant(), ControlPlaneLogIndex(0))
    }

    /// A machine at `applied`, where the state is `catalog`.
    pub fn new(catalog: Catalog, applied: ControlPlaneLogIndex) -> Self {
        Self::with_history(catalog, applied, HISTORY_LEN_MAX)
    }

    /// As [`new`](Self::new), remembering at most `history_len_max` applied entries.
    pub fn with_history(catalog: Catalog, applied: ControlPlaneLogIndex, history_len_max: usize) -> Self {
        let history = History::new(history_len_max, applied);
        Self { state: Arc::new(RwLock::new(State { catalog, applied, history, chunk_bytes: CHUNK_SOFT_MAX_BYTES })) }
    }

    /// Ends the chunks of snapshots once they have about so many bytes; the default is
    /// 512 KiB, which is also the most.
    #[must_use]
    pub fn with_chunks_of(self, bytes: usize) -> Self {
        self.state.write().unwrap_or_else(PoisonError::into_inner).chunk_bytes = bytes.clamp(1, CHUNK_SOFT_MAX_BYTES);
        self
    }

    /// What the entry at `index` did; `None` if it is not applied yet, no longer
    /// remembered, or no entry.
    pub fn verdict(&self, index: ControlPlaneLogIndex) -> Option<Verdict> {
        self.change(index).map(|change| change.verdict.clone())
    }

    /// The entry at `index` and what it did; `None` as in [`verdict`](Self::verdict).
    pub fn change(&self, index: ControlPlaneLogIndex) -> Option<Arc<Change>> {
        self.shared().history.get(index).cloned()
    }

    /// Up to `count_max` changes from `index` on, oldest first. It does not wait:
    /// the consensus watch says when there is more.
    pub fn changes_from(&self, index: ControlPlaneLogIndex, count_max: usize) -> Changes {
        let state = self.shared();
        state.history.from(index, count_max, state.applied)
    }

    /// Reads the state as of now. The closure must not call this machine again:
    /// a waiting writer would hold up both.
    pub fn read<R>(&self, read: impl FnOnce(&Catalog) -> R) -> R {
        read(&self.shared().catalog)
    }

    /// Reads the state, and the index that it is at.
    pub fn read_at<R>(&self, read: impl FnOnce(ControlPlaneLogIndex, &Catalog) -> R) -> R {
        let state = self.shared();
        read(state.applied, &state.catalog)
    }

    /// A reader may see a state whose writer panicked: writers change nothing
    /// after that (see `exclusive`), and the node stops.
    fn shared(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive<R>(&self, write: impl FnOnce(&mut State) -> Result<R, Halt>) -> Result<R, Halt> {
        let mut state = self.state.write().map_err(|_| Halt { reason: "an earlier apply panicked".to_owned() })?;
        write(&mut state)
    }
}

impl State {
    /// Moves on to `position`, which must be the next.
    fn advance(&mut self, position: LogPosition) -> Result<(), Halt> {
        if position.index != self.applied.next() {
            return Err(Halt { reason: format!("entry {position} came after index {}", self.applied) });
        }
        self.applied = position.index;
        Ok(())
    }
}

impl ControlPlaneStateMachine for CatalogMachine {
    fn applied(&self) -> ControlPlaneLogIndex {
        self.shared().applied
    }

    fn apply(&self, position: LogPosition, entry: &ControlPlaneEntry) -> Result<(), Halt> {
        self.exclusive(|state| {
            if state.catalog.is_vacant() {
                return Err(Halt { reason: format!("entry {position} came before genesis") });
            }
            state.advance(position)?;
            let applied = state.catalog.apply(position.index, entry);
            let level = state.catalog.feature_level();
            if level > FEATURE_LEVEL {
                let reason = format!(
                    "{position} raises the feature level to {level}, this release supports up to {FEATURE_LEVEL}; upgrade this member"
                );
                return Err(Halt { reason });
            }
            let crate::apply::Applied { request, verdict, repeated } = applied;
            state.history.push(Change { position, request, verdict, repeated });
            Ok(())
        })
    }

    fn skip(&self, position: LogPosition) -> Result<(), Halt> {
        self.exclusive(|state| state.advance(position))
    }

    fn wanted_quorum(&self) -> Quorum {
        self.shared().catalog.quorum().clone()
    }

    fn digest(&self) -> StateDigest {
        self.shared().catalog.digest()
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt> {
        let state = self.shared();
        if state.catalog.is_vacant() {
            return Err(Halt { reason: "there is no state to capture before genesis".to_owned() });
        }
        Ok(Box::new(Capture::new(state.catalog.clone(), state.applied, state.chunk_bytes)))
    }

    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt> {
        Ok(Box::new(Restore { machine: self.clone(), builder: Builder::default() }))
    }
}

struct Restore {
    machine: CatalogMachine,
    builder: Builder,
}

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl SnapshotWriter for Restore {
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.builder.push(&chunk)
    }

    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, digest: StateDigest) -> Result<(), SnapshotError> {
        let catalog = whole(self.builder, digest)?;
        #[cfg(planted_bugs)]
        let catalog = catalog.without_what_is_planted(index);
        let replaced = self.machine.exclusive(|state| {
            state.catalog = catalog;
            state.applied = index;
            state.history.reset(index);
            Ok(())
        });
        replaced.map_err(|halt| SnapshotError::Damaged { what: halt.reason })
    }

    fn check(self: Box<Self>, digest: StateDigest) -> Result<(), SnapshotError> {
        whole(self.builder, digest).map(drop)
    }
}

fn whole(builder: Builder, digest: StateDigest) -> Result<Catalog, SnapshotError> {
    let catalog = builder.finish()?;
    let found = catalog.digest();
    if found == digest { Ok(catalog) } else { Err(SnapshotError::Digest { expected: digest, found }) }
}
