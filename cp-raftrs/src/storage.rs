//! The engine's view of the store: reads of the submitted state. The loop that owns
//! the engine is the only writer, so nothing changes while the engine looks.

use crate::translate;
use cp_seam::{ControlPlaneLogIndex, LogPosition};
use cp_store::{Configuration, Failure, LogRecord, RecordBody, Store};
use raft::eraftpb::{ConfState, Entry, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};
use std::sync::{Arc, Mutex, PoisonError};

/// A store as the engine reads it.
#[derive(Debug)]
pub(crate) struct Storage {
    store: Store,
    initial: ConfState,
    fault: Fault,
}

/// The first failure of a read. The engine panics at most read errors, so it is
/// handed something of the right shape instead, and its owner looks here before
/// anything that came of it leaves the node or is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<Failure>>>);

impl Fault {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    fn set(&self, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }
}

/// The configuration from which the engine starts on this store, and where it was
/// recorded: the newest joint one above the committed index if there is one, since
/// another engine may have obeyed it from the moment it was appended (CP-M1);
/// else the one at the committed index.
pub(crate) fn opening_configuration(store: &Store) -> Result<(LogPosition, Configuration), Failure> {
    let committed = store.committed();
    let mut known = store.configurations();
    let joint = known.iter().rposition(|(at, c)| at.index > committed && c.is_joint());
    let settled = || known.iter().rposition(|(at, _)| at.index <= committed);
    joint.or_else(settled).map(|i| known.swap_remove(i)).ok_or_else(|| Failure {
        what: format!("finding the configuration at the committed index {committed}"),
        source: None,
    })
}

impl Storage {
    pub(crate) fn new(store: Store, configuration: &Configuration, fault: Fault) -> Self {
        Self { store, initial: translate::conf_state(configuration), fault }
    }

    fn read(&self, low: u64, high: u64, bytes_max: Option<u64>) -> Result<Vec<LogRecord>, Failure> {
        let bytes_max = bytes_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        let records = self.store.read(translate::index(low)..translate::index(high), bytes_max)?;
        if records.first().is_some_and(|first| first.position.index.0 == low) {
            return Ok(records);
        }
        Err(Failure { what: format!("reading record {low}, which the log does not hold"), source: None })
    }

    fn blank(&self, index: ControlPlaneLogIndex) -> LogRecord {
        let term = self.store.term_at(index).unwrap_or_default();
        LogRecord { position: LogPosition::new(term, index), body: RecordBody::Blank }
    }
}

impl raft::Storage for Storage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = translate::hard_state(&self.store.vote(), self.store.committed());
        Ok(RaftState { hard_state, conf_state: self.initial.clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.store.purged().index.0 {
            return Err(StorageError::Compacted.into());
        }
        match self.read(low, high, max_size.into()) {
            Ok(records) => Ok(records.iter().map(translate::entry).collect()),
            Err(failure) => {
                self.fault.set(failure);
                if context.can_async() {
                    return Err(StorageError::LogTemporarilyUnavailable.into());
                }
                Ok((low..high).map(|index| translate::entry(&self.blank(translate::index(index)))).collect())
            }
        }
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.store.term_at(translate::index(index)).map(|term| term.0).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.store.purged().index.next().0)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.store.last().index.0)
    }

    /// Metadata alone: the body travels in chunks beside the engine.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let meta = self.store.snapshot();
        if meta.position.index.0 == 0 || meta.position.index.0 < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(crate::snapshot::announcement(&meta))
    }
}
