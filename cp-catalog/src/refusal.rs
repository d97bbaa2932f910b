//! Why a command was refused: typed, with what the caller needs next.
//!
//! Sorted by what the caller does next. A field that is an `Option` is a hint: it is said from
//! feature level 2 on, where the state has it. What is told below that level is what a release
//! that knows no hints tells, byte for byte: verdicts are part of the state.

mod access;
mod evidence;
mod group;
mod holder;
mod member;
mod request;
mod shape;
mod standing;
mod text;

pub use access::AccessRefusal;
pub use evidence::EvidenceRefusal;
pub use group::GroupRefusal;
pub use holder::{CopyLimit, HolderRefusal};
pub use member::MemberRefusal;
pub use request::RequestRefusal;
pub use shape::ShapeRefusal;
pub use standing::{Merged, StandingRefusal};

use crate::id::RangeKey;
use crate::range::RangeStanding;
use std::fmt;

/// Why a command changed nothing. A refusal is an effect of the log like any
/// other: the same on every member, and kept for retries (CP-P5).
///
/// Those about a range carry where it stands, so that the caller can go to its
/// owner, or read again and propose under the present fence (CP-S5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Send it otherwise: it is no request that can be applied, or not any more.
    #[error(transparent)]
    Request(#[from] RequestRefusal),
    /// Have somebody grant it, or say who asks and why.
    #[error(transparent)]
    Access(#[from] AccessRefusal),
    /// Change the member first, or name it as it is now.
    #[error(transparent)]
    Member(#[from] MemberRefusal),
    /// Name the collection or the authority as it is now.
    #[error(transparent)]
    Group(#[from] GroupRefusal),
    /// Read the range again: it stands elsewhere.
    #[error(transparent)]
    Standing(#[from] StandingRefusal),
    /// Choose another id, other bounds, or another neighbour.
    #[error(transparent)]
    Shape(#[from] ShapeRefusal),
    /// Choose another member.
    #[error(transparent)]
    Holder(#[from] HolderRefusal),
    /// Collect the evidence again, or let the candidate catch up.
    #[error(transparent)]
    Evidence(#[from] EvidenceRefusal),
}

/// A range that a refusal points to, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRange {
    /// Which.
    pub range: RangeKey,
    /// Where it stands.
    pub current: RangeStanding,
}

impl fmt::Display for StandingRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.range, self.current)
    }
}
