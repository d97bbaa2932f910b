//! Why a call gave no answer, split by what the caller does next.

use crate::session::NoRandomness;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node could be connected to. Nothing was done.
    #[error("no node can be reached ({reason}); check the endpoints and whether the nodes run")]
    Unreachable {
        /// Of the last attempt.
        reason: String,
    },
    /// Nodes were reached, and none of them served the request. Nothing was done.
    #[error("no node served the request within {within_ms} ms: {reason}")]
    NotServed {
        /// Of the last attempt.
        reason: String,
        /// For how long it was tried.
        within_ms: u64,
    },
    /// It may or may not have taken effect. Only the same id makes a retry safe.
    #[error("whether the request took effect is unknown: {reason}; read the state before asking again")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// The node refuses the request itself. Nothing was done.
    #[error("{reason}")]
    Refused {
        /// Why, and what would do.
        reason: String,
    },
    /// The node failed, or speaks another version.
    #[error("the node answered with an error: {reason}")]
    Server {
        /// What it said.
        reason: String,
    },
    /// The other end is not who it must be, or does not accept this certificate.
    #[error("{reason}")]
    Identity {
        /// Where, and why, from either end.
        reason: String,
    },
    /// No random request id.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl ClientError {
    /// What happened, without the advice.
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable { reason } | Self::NotServed { reason, .. } | Self::Unknown { reason } => reason.clone(),
            other => cp_driver::chain(other),
        }
    }

    /// Whether no other node would do better.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Identity { .. } | Self::Refused { .. } | Self::Server { .. })
    }
}
