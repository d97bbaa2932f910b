//! The store as one would explain it: plain collections, rules one by one.

use crate::common::{configuration, genesis};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex as Index, LastVote, LogPosition, Term};
use cp_store::{
    Batch, Configuration, Founding, Inspection, LogRecord, RecordBody, Rejected, SnapshotMeta, Store, TermRun, TermRuns,
};
use std::collections::BTreeMap;

/// A batch that can be described twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) vote: Option<LastVote>,
    pub(crate) truncate_from: Option<u64>,
    pub(crate) append: Vec<LogRecord>,
    pub(crate) committed: Option<u64>,
    pub(crate) snapshot: Option<Founding>,
    pub(crate) compact_to: Option<u64>,
}

impl Step {
    /// Stages the snapshot if there is one, and makes the batch.
    pub(crate) async fn batch(&self, store: &Store) -> Batch {
        let staged = match &self.snapshot {
            Some(founding) => {
                let mut stage = store.stage();
                for chunk in &founding.chunks {
                    stage.push(chunk.clone()).await.expect("a chunk is written");
                }
                Some(stage.seal(founding.meta.clone()).await.expect("a snapshot is sealed"))
            }
            None => None,
        };
        Batch {
            vote: self.vote,
            truncate_from: self.truncate_from.map(Index),
            append: self.append.clone(),
            committed: self.committed.map(Index),
            snapshot: staged,
            compact_to: self.compact_to.map(Index),
        }
    }
}

/// What must be there.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) vote: LastVote,
    pub(crate) committed: u64,
    pub(crate) log: BTreeMap<u64, LogRecord>,
    pub(crate) purged: LogPosition,
    /// The term of every index since genesis.
    pub(crate) terms: Vec<Term>,
    pub(crate) snapshot: Founding,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            vote: LastVote::default(),
            committed: 0,
            log: BTreeMap::new(),
            purged: LogPosition::GENESIS,
            terms: vec![Term(0)],
            snapshot: genesis(),
        }
    }

    pub(crate) fn last(&self) -> LogPosition {
        let index = self.terms.len() - 1;
        LogPosition::new(self.terms[index], Index(index as u64))
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.meta.position.index.0
    }

    /// Applies `step`, or says by which rule it is refused and changes nothing.
    pub(crate) fn apply(&mut self, step: &Step) -> Result<(), &'static str> {
        let mut next = self.clone();
        if let Some(vote) = step.vote {
            let same = vote.term == next.vote.term;
            let taken_back = |was: Option<_>, is| same && was.is_some() && was != is;
            if vote.term < next.vote.term
                || taken_back(next.vote.granted_to, vote.granted_to)
                || taken_back(next.vote.following, vote.following)
            {
                return Err("vote");
            }
            next.vote = vote;
        }
        if let Some(from) = step.truncate_from {
            if from <= next.committed {
                return Err("truncates committed");
            }
            next.log.split_off(&from);
            next.terms.truncate(from as usize);
        }
        for record in &step.append {
            let last = next.last();
            if record.position.index.0 != last.index.0 + 1 || record.position.term < last.term {
                return Err("gap");
            }
            next.log.insert(record.position.index.0, record.clone());
            next.terms.push(record.position.term);
        }
        if let Some(committed) = step.committed {
            if committed > next.committed && committed > next.last().index.0 {
                return Err("commits beyond");
            }
            next.committed = next.committed.max(committed);
        }
        if let Some(founding) = &step.snapshot {
            let at = founding.meta.position;
            let held = next.terms.get(at.index.0 as usize) == Some(&at.term);
            if at.index.0 < next.snapshot_index() || (at.index.0 <= next.committed && !held) {
                return Err("snapshot");
            }
            next.committed = next.committed.max(at.index.0);
            next.snapshot = founding.clone();
            if !held {
                next.log.clear();
                next.purged = at;
                next.terms = (0..=at.index.0).map(|i| term_of(&founding.meta.terms, i)).collect();
            }
        }
        if let Some(to) = step.compact_to {
            if to > next.snapshot_index() {
                return Err("compacts beyond");
            }
            if to > next.purged.index.0 {
                next.purged = LogPosition::new(next.terms[to as usize], Index(to));
                next.log = next.log.split_off(&(to + 1));
            }
        }
        *self = next;
        Ok(())
    }

    pub(crate) fn configurations(&self) -> Vec<(LogPosition, Configuration)> {
        let meta = &self.snapshot.meta;
        let mut all = vec![(meta.configuration_at, meta.configuration.clone())];
        for record in self.log.range(self.snapshot_index() + 1..).map(|(_, record)| record) {
            if let RecordBody::Configuration(configuration) = &record.body {
                all.push((record.position, configuration.clone()));
            }
        }
        all
    }

    /// A snapshot at `index`, which may be beyond the log; then its term is `term`.
    pub(crate) fn snapshot_at(&self, index: u64, term: u64, chunks: usize) -> Founding {
        let mut terms = self.terms.clone();
        terms.resize(index as usize + 1, Term(term).max(self.last().term));
        let mut runs = TermRuns::default();
        (1..=index).for_each(|i| runs.push(LogPosition::new(terms[i as usize], Index(i))));
        let position = LogPosition::new(terms[index as usize], Index(index));
        let within = |(at, _): &(LogPosition, Configuration)| at.index.0 <= index;
        let newest = self.configurations().into_iter().rfind(within);
        let (configuration_at, configuration) = newest.unwrap_or((LogPosition::GENESIS, configuration(1..=3)));
        // Bodies that differ have digests that differ.
        let mut digest = [1; 32];
        digest[0] = chunks as u8;
        let digest = cp_seam::StateDigest(digest);
        let meta = SnapshotMeta { position, configuration, configuration_at, terms: runs, digest };
        let chunks = (0..chunks).map(|n| Bytes::from(format!("chunk {n} of {position} ").repeat(40))).collect();
        Founding { meta, chunks }
    }

    /// A snapshot of another history beyond the committed index: a new leader's.
    pub(crate) fn foreign_snapshot_at(&self, index: u64, chunks: usize) -> Founding {
        let mut model = self.clone();
        let kept = self.committed.max(self.snapshot_index()) as usize;
        model.terms.truncate(kept + 1);
        model.log.split_off(&(kept as u64 + 1));
        model.snapshot_at(index.max(kept as u64), self.last().term.0 + 1, chunks)
    }

    /// Whether an inspection shows exactly this.
    pub(crate) fn is(&self, image: &Inspection) -> bool {
        self.vote == image.vote
            && self.committed == image.committed.0
            && self.snapshot.meta == image.snapshot
            && self.log.values().eq(&image.log)
    }

    /// Everything that a store says of itself.
    pub(crate) fn assert_is(&self, store: &Store) {
        assert_eq!(store.vote(), self.vote);
        assert_eq!(store.committed(), Index(self.committed));
        assert_eq!((store.purged(), store.last()), (self.purged, self.last()));
        assert_eq!(store.snapshot(), self.snapshot.meta);
        assert_eq!(store.configurations(), self.configurations());
        for (index, term) in self.terms.iter().enumerate() {
            assert_eq!(store.term_at(Index(index as u64)), Some(*term), "at {index}");
        }
        assert_eq!(store.term_at(self.last().index.next()), None);
        let first = self.purged.index.next();
        let log = store.read(first..Index(u64::MAX), usize::MAX).expect("the log is readable");
        assert!(log.iter().eq(self.log.values()), "{log:?} is not {:?}", self.log);
        let body = store.open_snapshot().expect("the snapshot opens");
        let chunks: Vec<_> = (0..body.chunk_count()).map(|n| body.chunk(n).expect("a chunk is readable")).collect();
        assert_eq!((body.meta(), &chunks), (&self.snapshot.meta, &self.snapshot.chunks));
    }
}

fn term_of(runs: &TermRuns, index: u64) -> Term {
    let covers = |run: &&TermRun| run.first.0 <= index;
    runs.0.iter().rfind(covers).map_or(Term(0), |run| run.term)
}

pub(crate) fn rule(rejected: &Rejected) -> &'static str {
    match rejected {
        Rejected::Vote { .. } => "vote",
        Rejected::TruncatesCommitted { .. } => "truncates committed",
        Rejected::Gap { .. } => "gap",
        Rejected::CommitsBeyond { .. } => "commits beyond",
        Rejected::Snapshot { .. } => "snapshot",
        Rejected::CompactsBeyond { .. } => "compacts beyond",
        _ => "failed",
    }
}
