//! What the log holds.

use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, LogPosition, Quorum, QuorumMember, Term, quorum_threshold,
};

/// One slot of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it is.
    pub position: LogPosition,
    /// What is there.
    pub body: RecordBody,
}

impl LogRecord {
    /// About how long it is, for limits on what is read at once.
    pub(crate) fn len_bytes(&self) -> usize {
        let body = match &self.body {
            RecordBody::Blank => 0,
            RecordBody::Entry(entry) => entry.payload().as_bytes().len(),
            RecordBody::Configuration(c) => (c.voters.len() + c.outgoing.len() + c.learners.len()) * 64,
        };
        body + 32
    }
}

/// What a slot of the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordBody {
    /// A new leader's first record.
    Blank,
    /// An entry of the seam.
    Entry(ControlPlaneEntry),
    /// The engine's configuration from here on: the full result, never a delta.
    Configuration(Configuration),
}

impl RecordBody {
    /// About how many bytes it takes on disk and on the wire.
    pub fn weight(&self) -> u64 {
        const FRAME: usize = 32;
        const MEMBER: usize = 64;
        let bytes = match self {
            Self::Blank => FRAME,
            Self::Entry(entry) => FRAME + entry.payload().as_bytes().len(),
            Self::Configuration(c) => FRAME + MEMBER * (c.voters.len() + c.outgoing.len() + c.learners.len()),
        };
        bytes as u64
    }
}

/// An engine's configuration; joint while `outgoing` is not empty.
///
/// Each list is sorted by incarnation. `voters` and `learners` are disjoint. A
/// member may be in `outgoing` and in `learners`: it becomes a learner when the
/// joint configuration is left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// The incoming voters.
    pub voters: Vec<QuorumMember>,
    /// The outgoing voters of a joint configuration; empty in a uniform one.
    pub outgoing: Vec<QuorumMember>,
    /// Members without a vote in the incoming half.
    pub learners: Vec<QuorumMember>,
}

impl Configuration {
    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `incarnation` has a vote in either half.
    pub fn is_voter(&self, incarnation: Incarnation) -> bool {
        self.voters.iter().chain(&self.outgoing).any(|m| m.incarnation == incarnation)
    }

    /// Every member once, in ascending incarnation.
    pub fn members(&self) -> Vec<&QuorumMember> {
        let mut all: Vec<_> = self.voters.iter().chain(&self.outgoing).chain(&self.learners).collect();
        all.sort_by_key(|m| m.incarnation);
        all.dedup_by_key(|m| m.incarnation);
        all
    }

    /// The member of this incarnation, in any part.
    pub fn member(&self, incarnation: Incarnation) -> Option<&QuorumMember> {
        self.members().into_iter().find(|m| m.incarnation == incarnation)
    }

    /// Whether those for whom `yes` holds are a quorum of each half.
    pub fn has_quorum(&self, yes: impl Fn(Incarnation) -> bool) -> bool {
        let wins =
            |half: &[QuorumMember]| half.iter().filter(|m| yes(m.incarnation)).count() >= quorum_threshold(half.len());
        wins(&self.voters) && (self.outgoing.is_empty() || wins(&self.outgoing))
    }

    /// Whether this is uniform and has exactly the voters and learners of `quorum`.
    pub fn is(&self, quorum: &Quorum) -> bool {
        !self.is_joint() && self.voters == quorum.voters && self.learners == quorum.learners
    }
}

impl From<Quorum> for Configuration {
    fn from(quorum: Quorum) -> Self {
        Self { voters: quorum.voters, outgoing: Vec::new(), learners: quorum.learners }
    }
}

/// From `first` on, records are of `term`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermRun {
    /// The term.
    pub term: Term,
    /// The first index that has it.
    pub first: ControlPlaneLogIndex,
}

/// The history of terms since genesis, ascending in both fields; it makes the
/// outcome of a compacted position exact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TermRuns(pub Vec<TermRun>);

impl TermRuns {
    /// The term at `index`, if history reaches back to it. The caller bounds `index` above.
    pub fn term_at(&self, index: ControlPlaneLogIndex) -> Option<Term> {
        let after = self.0.partition_point(|run| run.first <= index);
        after.checked_sub(1).and_then(|i| self.0.get(i)).map(|run| run.term)
    }

    /// Notes the record at `position`, which follows all noted before.
    pub fn push(&mut self, position: LogPosition) {
        if self.0.last().is_none_or(|run| run.term != position.term) {
            self.0.push(TermRun { term: position.term, first: position.index });
        }
    }

    /// Forgets everything at `from` and after it.
    pub fn truncate(&mut self, from: ControlPlaneLogIndex) {
        self.0.retain(|run| run.first < from);
    }
}

#[cfg(test)]
mod tests;
