//! How far each peer is by the leader's account, for readers outside the loop.

use cp_seam::{ControlPlaneLogIndex, Incarnation};
use raft::ProgressTracker;
use std::sync::{Mutex, PoisonError};

/// Written by the loop, read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Vec<(Incarnation, ControlPlaneLogIndex)>>);

impl Books {
    /// Replaces the account; a node that does not lead has none.
    pub(crate) fn write(&self, progress: Option<&ProgressTracker>) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        books.clear();
        let Some(progress) = progress else { return };
        books.extend(progress.iter().map(|(id, p)| (Incarnation(*id), ControlPlaneLogIndex(p.matched))));
        books.sort_unstable();
    }

    pub(crate) fn read(&self) -> Vec<(Incarnation, ControlPlaneLogIndex)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
