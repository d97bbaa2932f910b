//! What an engine is given: the state machine it feeds.

use crate::election::MemberKind;
use crate::entry::ControlPlaneEntry;
use crate::id::{ControlPlaneLogIndex, Incarnation, LogPosition, MemberId};
use bytes::Bytes;
use std::fmt;

/// The replicated state, fed by an engine with committed entries in order.
///
/// Methods are synchronous, take `&self`, and are called by one task at a time;
/// readers may come from anywhere. What `apply` does must depend on nothing but
/// the state and the entry: no clock, no randomness, no I/O, no iteration order
/// of a hash map (CP-R3).
pub trait ControlPlaneStateMachine: fmt::Debug + Send + Sync + 'static {
    /// The highest index applied or skipped, or restored from a snapshot.
    fn applied(&self) -> ControlPlaneLogIndex;

    /// Applies the committed `entry` at `position`.
    ///
    /// Called once for each entry, in ascending index, never above the node's
    /// durable committed index (CP-D3). An entry that the state refuses is
    /// applied too: the refusal is its effect. [`Halt`] is for a state that can no
    /// longer be trusted, and stops the node (CP-R3, CP-D4).
    fn apply(&self, position: LogPosition, entry: &ControlPlaneEntry) -> Result<(), Halt>;

    /// Notes that the record at `position` carries no entry (a leader's blank, an
    /// engine's configuration): `applied` moves on, the state does not.
    fn skip(&self, position: LogPosition) -> Result<(), Halt>;

    /// The quorum that the state wants the engine to have now.
    fn wanted_quorum(&self) -> Quorum;

    /// The digest of the state at [`applied`](Self::applied). Cheap: kept
    /// incrementally. Depends on the state alone.
    fn digest(&self) -> StateDigest;

    /// Captures the state at [`applied`](Self::applied) for reading in chunks,
    /// while applying goes on.
    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt>;

    /// Begins to replace the state by a snapshot. Nothing changes before
    /// [`SnapshotWriter::finish`]; dropping the writer abandons it.
    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt>;
}

/// A captured state, read in chunks of at most 1 MiB (`CHUNK_MAX_BYTES`).
pub trait SnapshotReader: fmt::Debug + Send + 'static {
    /// The index at which the state was captured.
    fn index(&self) -> ControlPlaneLogIndex;

    /// The digest of the captured state.
    fn digest(&self) -> StateDigest;

    /// The next chunk; `None` after the last. The same state gives the same
    /// chunks on every node.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Halt>;
}

impl dyn SnapshotReader {
    /// The longest chunk: 1 MiB.
    pub const CHUNK_MAX_BYTES: usize = 1 << 20;
}

/// A state being restored from chunks.
pub trait SnapshotWriter: fmt::Debug + Send + 'static {
    /// Takes the next chunk, in order.
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError>;

    /// Replaces the state by what was pushed, as of `index`, if it is whole and
    /// its recomputed digest is `digest`; otherwise the old state stays.
    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, digest: StateDigest) -> Result<(), SnapshotError>;

    /// Tells whether [`finish`](Self::finish) would accept what was pushed, and changes
    /// nothing: a snapshot is tried before the log makes way for it (CP-R1).
    fn check(self: Box<Self>, digest: StateDigest) -> Result<(), SnapshotError>;
}

/// A snapshot that was not restored; the state is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A chunk does not decode, or the last one is missing.
    #[error("the snapshot is damaged: {what}; fetch it again")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// It decodes into another state than it was taken from.
    #[error("the snapshot restores to digest {found}, not {expected}; fetch it again")]
    Digest {
        /// What its metadata promise.
        expected: StateDigest,
        /// What came out.
        found: StateDigest,
    },
    /// It was written by a newer release.
    #[error(
        "the snapshot has format or feature level {found}, this release knows up to {known}; upgrade this member first"
    )]
    Newer {
        /// Its format, or the feature level of its state.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
}

/// The state can no longer be trusted; the node stops and says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state machine halted: {reason}")]
pub struct Halt {
    /// Why.
    pub reason: String,
}

/// A 256-bit digest of a state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StateDigest(pub [u8; 32]);

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who votes and who only receives.
///
/// Sorted by incarnation; the two lists are disjoint. It is what the state
/// *wants*; the leader's adapter brings the engine to it through joint consensus,
/// and any later leader finishes what an earlier one began (CP-M1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quorum {
    /// Their votes count.
    pub voters: Vec<QuorumMember>,
    /// They receive the log and have no vote.
    pub learners: Vec<QuorumMember>,
}

impl Quorum {
    /// The member of this incarnation, voter or learner.
    pub fn member(&self, incarnation: Incarnation) -> Option<&QuorumMember> {
        self.voters.iter().chain(&self.learners).find(|m| m.incarnation == incarnation)
    }
}

/// One life of a member, and where to reach it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuorumMember {
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its name.
    pub id: MemberId,
    /// What it is for.
    pub kind: MemberKind,
    /// Where its peers reach it, as `host:port`.
    pub address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_whether_it_votes_or_not() {
        let member = |n: u64| QuorumMember {
            incarnation: Incarnation(n),
            id: MemberId::new(&format!("n{n}")).unwrap(),
            kind: MemberKind::Data,
            address: format!("n{n}:7000"),
        };
        let quorum = Quorum { voters: vec![member(1), member(2)], learners: vec![member(3)] };
        for n in 1..=3 {
            assert_eq!(quorum.member(Incarnation(n)), Some(&member(n)));
        }
        assert_eq!(quorum.member(Incarnation(4)), None);
    }

    #[test]
    fn a_digest_reads_as_hexadecimal() {
        let mut digest = StateDigest([0; 32]);
        digest.0[..2].copy_from_slice(&[0x0a, 0xff]);
        assert_eq!(digest.to_string(), format!("0aff{}", "00".repeat(30)));
    }

    #[test]
    fn chunks_and_frames_have_the_limits_that_the_contract_names() {
        assert_eq!((<dyn SnapshotReader>::CHUNK_MAX_BYTES, crate::transport::FRAME_MAX_BYTES), (1_048_576, 4_194_304));
    }
}
