//! What can go wrong, split by what the operator does next.

use cp_catalog::{BadRecovery, Catalog};
use cp_seam::{ClusterId, Generation, Halt, LogPosition, MemberId, SnapshotError};
use cp_store::{CreateError, OpenError};
use std::fmt;

/// What is wrong with a state that was read without any damage: a bug, here or in the
/// release that made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state breaks {count} of its invariants: {first}")]
pub struct Violations {
    /// The first, in plain words.
    pub first: String,
    /// How many.
    pub count: usize,
}

impl Violations {
    /// Those of `catalog`, if there are any. Reads the whole state.
    pub fn of(catalog: &Catalog) -> Option<Self> {
        let found = catalog.violations();
        found.first().map(|first| Self { first: first.to_string(), count: found.len() })
    }
}

/// A cluster in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// The cluster; none is a state before genesis.
    pub cluster: Option<ClusterId>,
    /// The generation.
    pub generation: Generation,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cluster {
            Some(cluster) => write!(f, "cluster {cluster}, generation {} (", self.generation.number)?,
            None => return f.write_str("no cluster"),
        }
        self.generation.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Nothing was recovered, and nothing was changed, but for [`CreateError::Unknown`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The directory is in use, damaged, or no node's.
    #[error("the directory cannot be recovered from")]
    Open(#[from] OpenError),
    /// What was typed is not what is there.
    #[error("the state is cluster {found}'s, and {typed} was confirmed; check that this is what you mean to recover")]
    NotConfirmed {
        /// In the state.
        found: ClusterId,
        /// Typed.
        typed: ClusterId,
    },
    /// There is no quorum to be lost.
    #[error(
        "{member} is the only voter already, in generation {generation}; start it with `serve`, or pass --again to begin another generation all the same"
    )]
    OnlyVoter {
        /// Who.
        member: MemberId,
        /// Which generation.
        generation: u16,
    },
    /// The directory is of a life that the state does not know as a joined one.
    #[error(
        "{member} is not a joined member of the state that it holds, so nobody can go on as it; recover from another survivor, or keep the state with `recover backup` and make a new directory from that with `snapshot restore`"
    )]
    NotAMember {
        /// Who.
        member: MemberId,
    },
    /// The state is of another cluster or generation than the identity file says.
    #[error(
        "the directory is {identity}'s by its identity file, and the state in it is {state}'s: its files are not of one node; recover from another survivor"
    )]
    OtherState {
        /// Cluster and generation in the identity file.
        identity: Whose,
        /// In the state.
        state: Whose,
    },
    /// The state breaks an invariant: going on from it would make that everybody's.
    #[error(
        "nobody should go on from this state; keep it with `recover backup`, and recover from another survivor or an earlier backup"
    )]
    Violations(#[from] Violations),
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] crate::backup::BackupError),
    /// The state and what it is said to be differ.
    #[error("the state at {position} cannot be rebuilt; recover from another survivor or backup")]
    State {
        /// Where.
        position: LogPosition,
        /// Why.
        #[source]
        source: SnapshotError,
    },
    /// There is no next generation.
    #[error(transparent)]
    Successor(#[from] BadRecovery),
    /// The next state does not encode.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// The disk failed, or a node lives in the target. What was there is still there, but
    /// for [`CreateError::Unknown`], which does not know.
    #[error(transparent)]
    Create(#[from] CreateError),
}
