//! What can go wrong, split by what the operator does next.

use cp_catalog::BadRecovery;
use cp_seam::{ClusterId, Halt, LogPosition, MemberId, SnapshotError};
use cp_store::{CreateError, OpenError};

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
    #[error("{member} is not a joined member of the state that it holds; recover from another survivor")]
    NotAMember {
        /// Who.
        member: MemberId,
    },
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
