//! Conveniences for callers, built on the narrow trait alone.

use crate::consensus::{ControlPlaneConsensus, Outcome, ProposeError};
use crate::entry::ControlPlaneEntry;
use crate::id::LogPosition;
use async_trait::async_trait;
use std::time::Duration;

/// What most callers want of a [`ControlPlaneConsensus`]; engines implement
/// nothing of it.
#[async_trait]
pub trait ControlPlaneConsensusExt: ControlPlaneConsensus {
    /// Proposes `entry` and waits up to `wait` for it to be committed and applied.
    ///
    /// Guarantees, errors and the effect of dropping the future are those of
    /// [`propose`](ControlPlaneConsensus::propose) followed by
    /// [`outcome`](ControlPlaneConsensus::outcome): `Ok` is committed, and
    /// [`SettleError::Superseded`] is a safe retry, since the entry took no effect.
    async fn propose_committed(&self, entry: ControlPlaneEntry, wait: Duration) -> Result<LogPosition, SettleError> {
        let position = self.propose(entry).await?;
        match self.outcome(position, wait).await {
            Outcome::Committed => Ok(position),
            Outcome::Superseded => Err(SettleError::Superseded { position }),
            Outcome::Unknown => Err(SettleError::Unknown { position }),
        }
    }
}

impl<C: ControlPlaneConsensus + ?Sized> ControlPlaneConsensusExt for C {}

/// A proposal that was not seen committed.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It got no position.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// Another entry took its slot: it took no effect and never will.
    #[error("another leader's entry took position {position}; propose again")]
    Superseded {
        /// Where it had been put.
        position: LogPosition,
    },
    /// Not known within the wait. Ask for its outcome again.
    #[error("the outcome of position {position} is not known yet; ask for it again")]
    Unknown {
        /// Where it was put.
        position: LogPosition,
    },
}
