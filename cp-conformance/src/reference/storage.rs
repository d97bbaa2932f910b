//! The log as it will be once everything is written, and what is not written yet.
//! It mirrors the store's own rules; nobody else writes the store.

use cp_seam::{ControlPlaneLogIndex, LogPosition, Term};
use cp_store::{Batch, Configuration, Failure, LogRecord, RecordBody, Staged, Store, TermRuns};

/// The retained log, in memory.
#[derive(Debug)]
pub(super) struct Log {
    /// The last compacted position; `records` follow it.
    purged: LogPosition,
    records: Vec<LogRecord>,
    /// The history of terms since genesis.
    terms: TermRuns,
    committed: ControlPlaneLogIndex,
    snapshot: LogPosition,
    /// Never empty: the snapshot's, then those in the log above it.
    configurations: Vec<(LogPosition, Configuration)>,
    unwritten: Batch,
}

impl Log {
    /// The log of `store`.
    pub(super) fn open(store: &Store) -> Result<Self, Failure> {
        let (purged, last) = (store.purged(), store.last());
        Ok(Self {
            purged,
            records: store.read(purged.index.next()..last.index.next(), usize::MAX)?,
            terms: store.terms_to(last.index),
            committed: store.committed(),
            snapshot: store.snapshot().position,
            configurations: store.configurations(),
            unwritten: Batch::default(),
        })
    }

    /// An empty log under `configuration`.
    #[cfg(test)]
    pub(super) fn empty(configuration: Configuration) -> Self {
        Self {
            purged: LogPosition::GENESIS,
            records: Vec::new(),
            terms: TermRuns::default(),
            committed: ControlPlaneLogIndex(0),
            snapshot: LogPosition::GENESIS,
            configurations: vec![(LogPosition::GENESIS, configuration)],
            unwritten: Batch::default(),
        }
    }

    /// What is to be written since the last call.
    pub(super) fn take_unwritten(&mut self) -> Batch {
        std::mem::take(&mut self.unwritten)
    }

    pub(super) fn purged(&self) -> LogPosition {
        self.purged
    }

    pub(super) fn committed(&self) -> ControlPlaneLogIndex {
        self.committed
    }

    pub(super) fn snapshot(&self) -> LogPosition {
        self.snapshot
    }

    /// The last record, or what is compacted if there is none.
    pub(super) fn last(&self) -> LogPosition {
        self.records.last().map_or(self.purged, |record| record.position)
    }

    /// The term at any index from genesis to the last; `None` beyond.
    pub(super) fn term_at(&self, index: ControlPlaneLogIndex) -> Option<Term> {
        match index {
            ControlPlaneLogIndex(0) => Some(LogPosition::GENESIS.term),
            beyond if beyond > self.last().index => None,
            within => self.terms.term_at(within),
        }
    }

    pub(super) fn position(&self, index: ControlPlaneLogIndex) -> LogPosition {
        LogPosition::new(self.term_at(index).unwrap_or_default(), index)
    }

    /// The newest configuration: it counts from the moment it is appended.
    pub(super) fn configuration(&self) -> &Configuration {
        static NONE: Configuration = Configuration { voters: Vec::new(), outgoing: Vec::new(), learners: Vec::new() };
        self.configurations.last().map_or(&NONE, |(_, newest)| newest)
    }

    /// Where the newest configuration is.
    pub(super) fn configuration_at(&self) -> LogPosition {
        self.configurations.last().map_or(LogPosition::GENESIS, |(at, _)| *at)
    }

    /// Records from `from` on, at least one if there is one, about `bytes_max` of them.
    pub(super) fn read(&self, from: ControlPlaneLogIndex, bytes_max: usize) -> Vec<LogRecord> {
        let behind = |record: &&LogRecord| record.position.index < from;
        let mut room = bytes_max;
        let fits = |record: &&LogRecord| {
            let first = room == bytes_max;
            let rest = room.checked_sub(len_bytes(record));
            room = rest.unwrap_or(0);
            first || rest.is_some()
        };
        self.records.iter().skip_while(behind).take_while(fits).cloned().collect()
    }

    /// Appends a new record of `term`.
    pub(super) fn append_in(&mut self, term: Term, body: RecordBody) -> LogPosition {
        let position = LogPosition::new(term, self.last().index.next());
        self.append(LogRecord { position, body });
        position
    }

    /// Appends the record that follows the last.
    pub(super) fn append(&mut self, record: LogRecord) {
        self.terms.push(record.position);
        if let RecordBody::Configuration(next) = &record.body {
            self.configurations.push((record.position, next.clone()));
        }
        self.unwritten.append.push(record.clone());
        self.records.push(record);
    }

    /// Drops `from` and all after it; never what is committed.
    pub(super) fn truncate(&mut self, from: ControlPlaneLogIndex) {
        self.records.retain(|record| record.position.index < from);
        self.terms.truncate(from);
        self.configurations.retain(|(at, _)| at.index < from);
        self.unwritten.truncate_from = Some(from);
    }

    /// Raises the committed index.
    pub(super) fn commit(&mut self, to: ControlPlaneLogIndex) {
        if to > self.committed {
            self.committed = to;
            self.unwritten.committed = Some(to);
        }
    }

    /// Makes a snapshot the current one. A log that does not hold its position says
    /// nothing about what follows it, so all of it goes (CP-R1).
    pub(super) fn install(&mut self, snapshot: Staged) {
        let meta = snapshot.meta();
        let position = meta.position;
        self.configurations.retain(|(at, _)| at.index > position.index);
        if self.term_at(position.index) != Some(position.term) {
            self.records.clear();
            self.configurations.clear();
            self.terms = meta.terms.clone();
            self.purged = position;
        }
        self.configurations.insert(0, (meta.configuration_at, meta.configuration.clone()));
        self.committed = self.committed.max(position.index);
        self.snapshot = position;
        self.unwritten.snapshot = Some(snapshot);
    }

    /// Forgets the records up to `to`, which a snapshot holds.
    pub(super) fn compact(&mut self, to: ControlPlaneLogIndex) {
        if to > self.purged.index {
            self.purged = self.position(to);
            self.records.retain(|record| record.position.index > to);
            self.unwritten.compact_to = Some(to);
        }
    }
}

/// About how long a record is in a message.
fn len_bytes(record: &LogRecord) -> usize {
    let body = match &record.body {
        RecordBody::Blank => 0,
        RecordBody::Entry(entry) => entry.payload().as_bytes().len(),
        RecordBody::Configuration(c) => c.members().iter().map(|m| m.address.len() + 96).sum::<usize>() * 2,
    };
    body + 32
}
