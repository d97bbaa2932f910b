//! What was applied lately: a bounded ring that outcomes and subscribers read.

use crate::request::Request;
use crate::verdict::Verdict;
use cp_seam::{ControlPlaneLogIndex, LogPosition};
use std::collections::VecDeque;
use std::sync::Arc;

/// A committed entry and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it is in the log.
    pub position: LogPosition,
    /// The command; `None` if it could not be decoded.
    pub request: Option<Request>,
    /// What it did.
    pub verdict: Verdict,
    /// Whether it was a retry: the verdict is the earlier one and nothing changed (CP-P5).
    pub repeated: bool,
}

/// What came after an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// The changes, in order; none if nothing came.
    Items {
        /// What came.
        items: Vec<Arc<Change>>,
        /// Where to ask from next.
        next: ControlPlaneLogIndex,
    },
    /// Some of it is no longer kept: read the whole state, which is at
    /// `snapshot_index`, and ask from the index after that.
    Compacted {
        /// The index of the state.
        snapshot_index: ControlPlaneLogIndex,
    },
}

#[derive(Debug)]
pub(crate) struct History {
    ring: VecDeque<Arc<Change>>,
    len_max: usize,
    /// Every change from here on is in the ring.
    kept_from: ControlPlaneLogIndex,
}

impl History {
    pub(crate) fn new(len_max: usize, applied: ControlPlaneLogIndex) -> Self {
        Self { ring: VecDeque::new(), len_max, kept_from: applied.next() }
    }

    /// Forgets everything: the state was replaced, as of `applied`.
    pub(crate) fn reset(&mut self, applied: ControlPlaneLogIndex) {
        self.ring.clear();
        self.kept_from = applied.next();
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.ring.push_back(Arc::new(change));
        while self.ring.len() > self.len_max {
            if let Some(gone) = self.ring.pop_front() {
                self.kept_from = gone.position.index.next();
            }
        }
    }

    pub(crate) fn get(&self, index: ControlPlaneLogIndex) -> Option<&Arc<Change>> {
        // Nearly every index is that of a change, and each look at another one waits for memory.
        let behind = usize::try_from(self.ring.back()?.position.index.0.checked_sub(index.0)?).ok()?;
        let likely = self.ring.len().checked_sub(behind.saturating_add(1)).and_then(|at| self.ring.get(at));
        likely.filter(|change| change.position.index == index).or_else(|| {
            let at = self.ring.binary_search_by_key(&index, |change| change.position.index).ok()?;
            self.ring.get(at)
        })
    }

    pub(crate) fn from(&self, index: ControlPlaneLogIndex, count_max: usize, applied: ControlPlaneLogIndex) -> Changes {
        if index < self.kept_from {
            return Changes::Compacted { snapshot_index: applied };
        }
        let at = self.ring.partition_point(|change| change.position.index < index);
        let items: Vec<_> = self.ring.iter().skip(at).take(count_max).cloned().collect();
        let reached =
            if at + items.len() < self.ring.len() { items.last().map(|last| last.position.index) } else { None };
        Changes::Items { items, next: reached.unwrap_or(applied).next().max(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::{Refusal, RequestRefusal};
    use cp_seam::Term;

    /// Blank and configuration entries leave gaps, few or many.
    #[test]
    fn a_change_is_found_by_its_index_whatever_gaps_there_are() {
        for kept in [vec![], vec![5], vec![1, 2, 3, 4], vec![2, 3, 7, 8, 9, 20], vec![4, 400, 401, 800]] {
            let mut history = History::new(64, ControlPlaneLogIndex(0));
            for index in &kept {
                let position = LogPosition::new(Term(1), ControlPlaneLogIndex(*index));
                let verdict = Verdict::Refused(Refusal::Request(RequestRefusal::Undecodable));
                history.push(Change { position, request: None, verdict, repeated: false });
            }
            for index in 0..900 {
                let found = history.get(ControlPlaneLogIndex(index)).map(|change| change.position.index.0);
                assert_eq!(found, kept.contains(&index).then_some(index), "of {kept:?}");
            }
        }
    }
}
