//! What can go wrong, split by what the caller does next.

use cp_seam::{ClusterId, ControlPlaneLogIndex, LastVote, LogPosition, MemberId};
use std::sync::Arc;

/// The directory was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no identity file: this is not a node's directory.
    #[error("{directory} holds no control-plane node; create one with `cluster init`, or join with a token")]
    Absent {
        /// Where.
        directory: String,
    },
    /// The identity says there was a file, and there is none.
    #[error(
        "{file} is missing although {member} was set up here; this member has lost its state: wipe the directory and let it rejoin as a new incarnation"
    )]
    Lost {
        /// Which file.
        file: String,
        /// Whose.
        member: MemberId,
    },
    /// Another cluster's.
    #[error("the directory belongs to cluster {found}, not {expected}; check --data-dir")]
    WrongCluster {
        /// In the directory.
        found: ClusterId,
        /// Asked for.
        expected: ClusterId,
    },
    /// Another member's.
    #[error("the directory belongs to member {found}, not {expected}; check --data-dir and the certificate")]
    WrongMember {
        /// In the directory.
        found: MemberId,
        /// Asked for.
        expected: MemberId,
    },
    /// Written by a newer release.
    #[error("{file} has format {found}, this release reads up to {known}; run a newer release")]
    Newer {
        /// Which file.
        file: String,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Not what was written. This node must never vote again under this identity (CP-D4).
    #[error("{file} is damaged: {what}; wipe the directory and let the member rejoin as a new incarnation")]
    Damaged {
        /// Which file.
        file: String,
        /// What does not fit.
        what: String,
    },
    /// Another process has it open.
    #[error("{directory} is in use by another process")]
    Busy {
        /// Where.
        directory: String,
    },
    /// The disk failed.
    #[error("reading or writing {file} failed")]
    Io {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The directory was not created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A node lives there.
    #[error("{directory} already holds member {member}; choose an empty directory")]
    Exists {
        /// Where.
        directory: String,
        /// Whose.
        member: MemberId,
    },
    /// The disk failed; a half-made directory is recognised and made anew.
    #[error("creating {file} failed")]
    Io {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The disk failed as one node was to take another's place, and either may be there.
    #[error(
        "replacing {file} failed, and it is unknown which node is there now; collect the directory again before anything else"
    )]
    Unknown {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The store has stopped for good: a write or fsync failed, or damage was read
/// (CP-D4). It is never retried; every later call gives the same failure.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store has stopped: {what}")]
pub struct Failure {
    /// What was being done.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    const CLOSED: &str = "it was closed";

    pub(crate) fn closed() -> Self {
        Self { what: Self::CLOSED.to_owned(), source: None }
    }

    pub(crate) fn is_close(&self) -> bool {
        self.what == Self::CLOSED
    }
}

/// A batch that contradicts the log. It was not queued and nothing changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// CP-S3.
    #[error("vote {next:?} contradicts {current:?}")]
    Vote {
        /// The vote in force.
        current: LastVote,
        /// The one refused.
        next: LastVote,
    },
    /// CP-S2.
    #[error("truncating from {from} would drop committed records (committed index {committed})")]
    TruncatesCommitted {
        /// From where.
        from: ControlPlaneLogIndex,
        /// The committed index.
        committed: ControlPlaneLogIndex,
    },
    /// The appended records do not follow the log.
    #[error("a record at {next} cannot follow {last}")]
    Gap {
        /// The end of the log.
        last: LogPosition,
        /// The record.
        next: LogPosition,
    },
    /// A committed index beyond the log.
    #[error("committed index {committed} is beyond the last record {last}")]
    CommitsBeyond {
        /// The committed index.
        committed: ControlPlaneLogIndex,
        /// The end of the log.
        last: LogPosition,
    },
    /// A snapshot that is older than the current one, or that contradicts committed records (CP-S2).
    #[error(
        "snapshot {next} cannot replace {current}: it is older, or contradicts the log committed up to {committed}"
    )]
    Snapshot {
        /// The current snapshot.
        current: LogPosition,
        /// The committed index.
        committed: ControlPlaneLogIndex,
        /// The one refused.
        next: LogPosition,
    },
    /// A compaction beyond the snapshot.
    #[error("compacting to {to} is beyond the snapshot at {snapshot}")]
    CompactsBeyond {
        /// To where.
        to: ControlPlaneLogIndex,
        /// The current snapshot.
        snapshot: LogPosition,
    },
    /// The store has stopped.
    #[error(transparent)]
    Failed(#[from] Failure),
}
