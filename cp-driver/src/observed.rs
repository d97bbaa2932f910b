//! What an engine's message lets its receiver rely on, in neutral terms.
//!
//! Each adapter explains its own messages; the conformance suite checks every
//! claim against what is on the sender's disk when the message leaves.

use cp_seam::{ControlPlaneLogIndex, Incarnation, Term};
use std::fmt;

/// A claim in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Observed {
    /// The sender votes for `candidate` in `term`. Not a pre-vote.
    Grant {
        /// The term.
        term: Term,
        /// Who gets the vote.
        candidate: Incarnation,
    },
    /// The sender asks for real votes in `term`, so it has voted for itself.
    Candidacy {
        /// The term.
        term: Term,
    },
    /// The sender speaks as the leader of `term`.
    Leads {
        /// The term.
        term: Term,
    },
    /// The sender tells the leader of `term` that it holds the log, or a
    /// snapshot, up to `up_to`.
    AppendAck {
        /// The term.
        term: Term,
        /// The last index held.
        up_to: ControlPlaneLogIndex,
    },
    /// The leader of `term` wants the log held up to `up_to`, and will take a
    /// [`Done`](Self::Done) of the same number as an [`AppendAck`](Self::AppendAck) of it.
    Asks {
        /// Names the request between sender and receiver.
        request: u64,
        /// The term.
        term: Term,
        /// The last index to hold.
        up_to: ControlPlaneLogIndex,
    },
    /// The sender has done what the receiver asked under this number.
    Done {
        /// The request.
        request: u64,
    },
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant { term, candidate } => write!(f, "grants {candidate} in {term}"),
            Self::Candidacy { term } => write!(f, "stands in {term}"),
            Self::Leads { term } => write!(f, "leads {term}"),
            Self::AppendAck { term, up_to } => write!(f, "holds {up_to} of {term}"),
            Self::Asks { request, term, up_to } => write!(f, "asks {request}: hold {up_to} of {term}"),
            Self::Done { request } => write!(f, "did {request}"),
        }
    }
}
