//! The small state behind the log, and the rules by which a batch changes it.
//!
//! Submission, replay and absorption all go through [`State::apply`], so what is
//! recovered is what was promised.

use crate::codec::Bad;
use crate::convert::{array, record_from_bytes, record_to_bytes};
use crate::error::Rejected;
use crate::record::{Configuration, LogRecord, RecordBody, TermRuns};
use crate::snapshot::SnapshotMeta;
use crate::snapshot_file::Body;
use crate::wire;
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, LastVote, LogPosition, Term};
use std::sync::Arc;

/// A snapshot file, sealed and durable.
#[derive(Debug, Clone)]
pub(crate) struct Pointer {
    pub(crate) file: String,
    pub(crate) footer_hash: [u8; 32],
    pub(crate) meta: SnapshotMeta,
    /// Open once verified; replay works without.
    pub(crate) body: Option<Arc<Body>>,
}

impl From<&Pointer> for wire::SnapshotPointer {
    fn from(pointer: &Pointer) -> Self {
        Self { file: pointer.file.clone(), footer_hash: pointer.footer_hash.to_vec(), meta: (&pointer.meta).into() }
    }
}

impl TryFrom<wire::SnapshotPointer> for Pointer {
    type Error = Bad;

    fn try_from(pointer: wire::SnapshotPointer) -> Result<Self, Bad> {
        Ok(Self {
            file: pointer.file,
            footer_hash: array(&pointer.footer_hash, "the footer hash")?,
            meta: pointer.meta.try_into()?,
            body: None,
        })
    }
}

/// A batch, as it is queued, written and replayed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) vote: Option<LastVote>,
    pub(crate) truncate_from: Option<ControlPlaneLogIndex>,
    pub(crate) append: Vec<LogRecord>,
    pub(crate) committed: Option<ControlPlaneLogIndex>,
    pub(crate) snapshot: Option<Arc<Pointer>>,
    pub(crate) compact_to: Option<ControlPlaneLogIndex>,
}

impl Change {
    /// Whether it raises the committed index and does nothing else.
    pub(crate) fn only_commits(&self) -> bool {
        let Self { vote, truncate_from, append, committed, snapshot, compact_to } = self;
        let nothing_else = vote.is_none() && truncate_from.is_none() && append.is_empty();
        committed.is_some() && nothing_else && snapshot.is_none() && compact_to.is_none()
    }
}

impl From<&Change> for wire::Change {
    fn from(change: &Change) -> Self {
        Self {
            vote: change.vote.map(Into::into),
            truncate_from: change.truncate_from.map(|i| i.0),
            append: change.append.iter().map(record_to_bytes).collect(),
            committed: change.committed.map(|i| i.0),
            snapshot: change.snapshot.as_deref().map(Into::into),
            compact_to: change.compact_to.map(|i| i.0),
        }
    }
}

impl TryFrom<&wire::Change> for Change {
    type Error = Bad;

    fn try_from(change: &wire::Change) -> Result<Self, Bad> {
        let snapshot = change.snapshot.clone().map(Pointer::try_from).transpose()?;
        Ok(Self {
            vote: change.vote.map(Into::into),
            truncate_from: change.truncate_from.map(ControlPlaneLogIndex),
            append: change.append.iter().map(|sealed| record_from_bytes(sealed)).collect::<Result<_, _>>()?,
            committed: change.committed.map(ControlPlaneLogIndex),
            snapshot: snapshot.map(Arc::new),
            compact_to: change.compact_to.map(ControlPlaneLogIndex),
        })
    }
}

/// Everything about a node's durable state that is small enough to keep at hand.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) vote: LastVote,
    pub(crate) committed: ControlPlaneLogIndex,
    pub(crate) last: LogPosition,
    pub(crate) purged: LogPosition,
    pub(crate) terms: TermRuns,
    /// Those in the retained log above the snapshot.
    pub(crate) configurations: Vec<(LogPosition, Configuration)>,
    pub(crate) snapshot: Arc<Pointer>,
}

impl State {
    /// The state of a node whose log is empty behind `snapshot`.
    pub(crate) fn founded(snapshot: Arc<Pointer>) -> Self {
        let position = snapshot.meta.position;
        Self {
            vote: LastVote::default(),
            committed: position.index,
            last: position,
            purged: position,
            terms: snapshot.meta.terms.clone(),
            configurations: Vec::new(),
            snapshot,
        }
    }

    pub(crate) fn term_at(&self, index: ControlPlaneLogIndex) -> Option<Term> {
        let edge = [self.last, self.purged, self.snapshot.meta.position, LogPosition::GENESIS];
        match edge.iter().find(|p| p.index == index) {
            Some(position) => Some(position.term),
            None if index > self.last.index => None,
            None => self.terms.term_at(index),
        }
    }

    fn position_at(&self, index: ControlPlaneLogIndex) -> LogPosition {
        LogPosition::new(self.term_at(index).unwrap_or_default(), index)
    }

    /// Whether `change` may be applied. Mirrors `apply`, in its order.
    pub(crate) fn check(&self, change: &Change) -> Result<(), Rejected> {
        if let Some(next) = change.vote.filter(|next| !self.vote.may_become(next)) {
            return Err(Rejected::Vote { current: self.vote, next });
        }
        let mut last = self.last;
        if let Some(from) = change.truncate_from {
            if from <= self.committed {
                return Err(Rejected::TruncatesCommitted { from, committed: self.committed });
            }
            if from <= last.index {
                last = self.position_at(from.prev());
            }
        }
        let kept = last.index;
        for record in &change.append {
            let next = record.position;
            if next.index != last.index.next() || next.index == last.index || next.term < last.term {
                return Err(Rejected::Gap { last, next });
            }
            last = next;
        }
        let mut committed = self.committed;
        if let Some(raised) = change.committed.filter(|raised| *raised > committed) {
            if raised > last.index {
                return Err(Rejected::CommitsBeyond { committed: raised, last });
            }
            committed = raised;
        }
        let mut snapshot = self.snapshot.meta.position;
        if let Some(next) = change.snapshot.as_ref().map(|pointer| pointer.meta.position) {
            let held = if next.index <= kept {
                self.term_at(next.index)
            } else {
                change.append.iter().find(|r| r.position.index == next.index).map(|r| r.position.term)
            };
            if next.index < snapshot.index || (next.index <= committed && held != Some(next.term)) {
                return Err(Rejected::Snapshot { current: snapshot, committed, next });
            }
            snapshot = next;
        }
        match change.compact_to {
            Some(to) if to > snapshot.index => Err(Rejected::CompactsBeyond { to, snapshot }),
            _ => Ok(()),
        }
    }

    /// Applies a change that `check` accepts. True if the whole log was dropped.
    pub(crate) fn apply(&mut self, change: &Change) -> bool {
        if let Some(vote) = change.vote {
            self.vote = vote;
        }
        if let Some(from) = change.truncate_from.filter(|from| *from <= self.last.index) {
            self.last = self.position_at(from.prev());
            self.terms.truncate(from);
            self.configurations.retain(|(at, _)| at.index < from);
        }
        for record in &change.append {
            self.note(record);
        }
        if let Some(committed) = change.committed {
            self.committed = self.committed.max(committed);
        }
        let dropped = change.snapshot.as_ref().is_some_and(|pointer| self.install(pointer));
        if let Some(to) = change.compact_to.filter(|to| *to > self.purged.index) {
            self.purged = self.position_at(to);
        }
        dropped
    }

    /// Notes the record that follows the last one.
    pub(crate) fn note(&mut self, record: &LogRecord) {
        self.last = record.position;
        self.terms.push(record.position);
        if let RecordBody::Configuration(configuration) = &record.body {
            self.configurations.push((record.position, configuration.clone()));
        }
    }

    fn install(&mut self, pointer: &Arc<Pointer>) -> bool {
        let position = pointer.meta.position;
        let kept = self.term_at(position.index) == Some(position.term);
        #[cfg(planted_bugs)]
        let kept = kept || (crate::planted::active(crate::planted::Bug::TailKept) && position.index < self.last.index);
        if kept {
            self.committed = self.committed.max(position.index);
            self.configurations.retain(|(at, _)| at.index > position.index);
            self.snapshot = Arc::clone(pointer);
        } else {
            *self = Self { vote: self.vote, ..Self::founded(Arc::clone(pointer)) };
        }
        !kept
    }

    /// What redb keeps of this state.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            vote: self.vote,
            committed: self.committed,
            last: self.last,
            purged: self.purged,
            snapshot: Arc::clone(&self.snapshot),
        }
    }
}

/// A state without what can be read from the log again.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) vote: LastVote,
    pub(crate) committed: ControlPlaneLogIndex,
    pub(crate) last: LogPosition,
    pub(crate) purged: LogPosition,
    pub(crate) snapshot: Arc<Pointer>,
}

/// What redb has not absorbed yet: how the log differs from redb's.
#[derive(Debug, Default)]
pub(crate) struct Unabsorbed {
    /// The lowest index from which redb's records are no longer valid.
    pub(crate) cut: Option<u64>,
    /// Sealed records, by index.
    pub(crate) records: std::collections::BTreeMap<u64, Bytes>,
}

impl Unabsorbed {
    pub(crate) fn note(&mut self, change: &wire::Change, first_appended: Option<u64>, dropped: bool) {
        if let Some(from) = change.truncate_from {
            self.cut_from(from);
        }
        for (index, sealed) in (first_appended.unwrap_or_default()..).zip(&change.append) {
            self.records.insert(index, sealed.clone());
        }
        if dropped {
            self.cut_from(0);
        }
    }

    pub(crate) fn cut_from(&mut self, from: u64) {
        self.records.split_off(&from);
        self.cut = Some(self.cut.map_or(from, |cut| cut.min(from)));
    }
}
