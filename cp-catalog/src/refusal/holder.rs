//! Who may not have a role in a range.

use super::text;
use crate::id::RangeKey;
use crate::member::Ineligible;
use crate::range::{RangeStanding, Role};
use cp_seam::MemberId;

/// The member cannot have that role, or has another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HolderRefusal {
    /// The candidate owns the range already.
    #[error("{candidate} owns range {range} already ({current}); nothing is to be done")]
    AlreadyOwner {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The candidate's copy is an archive.
    #[error("{candidate} keeps an archive of range {range} ({current}); restore and validate it first")]
    NeedsRestore {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The member has no such copy.
    #[error("{member} is no {role} of range {range} ({current}); choose one that is")]
    NotInRole {
        /// The range.
        range: RangeKey,
        /// The member.
        member: MemberId,
        /// The role asked for.
        role: Role,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The member may not own or hold a range.
    #[error("{member} may not own or hold a range: {why}; choose an active data member")]
    Ineligible {
        /// The member.
        member: MemberId,
        /// Why.
        why: Ineligible,
    },
    /// The member has a role in the range, and may have one only.
    #[error("{member} is {role} of range {range} already{}; one member has one role", text::standing(.current))]
    RoleTaken {
        /// The range.
        range: RangeKey,
        /// The member.
        member: MemberId,
        /// The role that it has.
        role: Role,
        /// Where the range stands, if it is there yet.
        current: Option<RangeStanding>,
    },
    /// The range has as many copies of this role as it can.
    #[error("range {range} has {count} {}", text::limit(.limit))]
    TooManyCopies {
        /// The range.
        range: RangeKey,
        /// How many.
        count: u64,
        /// What limits it.
        limit: Option<Box<CopyLimit>>,
    },
}

/// How many copies a range may have, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyLimit {
    /// In which role.
    pub role: Role,
    /// The most of them.
    pub max: u64,
    /// Where the range stands.
    pub current: RangeStanding,
}
