//! Ranges that stand elsewhere by now.

use super::{StandingRange, text};
use crate::id::{Fence, RangeKey};
use crate::range::{MovePhase, RangeStanding};
use cp_seam::MemberId;

/// The range is not where the writer believed it to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StandingRefusal {
    /// No range has this name, or none any more.
    #[error("range {range} {}", text::merged(.merged))]
    UnknownRange {
        /// The range.
        range: RangeKey,
        /// What became of it, if it was there once.
        merged: Option<Merged>,
    },
    /// The writer believed in another owner.
    #[error("range {range} has {current}; go there")]
    OwnerMismatch {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The writer's epoch is not the present one.
    #[error("range {range} has {current}, not epoch {}; read it again", expected.epoch)]
    StaleEpoch {
        /// The range.
        range: RangeKey,
        /// What the writer expected.
        expected: Fence,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The writer's version is not the present one.
    #[error("range {range} has {current}, not version {}; read it again", expected.version)]
    StaleVersion {
        /// The range.
        range: RangeKey,
        /// What the writer expected.
        expected: Fence,
        /// Where it stands.
        current: RangeStanding,
    },
    /// A move is in flight.
    #[error("range {range} is moving to {target} ({current}); complete or abort the move first")]
    MoveInFlight {
        /// The range.
        range: RangeKey,
        /// Where to.
        target: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// No move is in flight.
    #[error("range {range} is not moving ({current}); begin a move first")]
    NotMoving {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The move is in another phase.
    #[error("the move of range {range} has {phase} ({current}); go through the phases in order")]
    WrongPhase {
        /// The range.
        range: RangeKey,
        /// Which.
        phase: MovePhase,
        /// Where it stands.
        current: RangeStanding,
    },
}

/// What became of a range that was merged away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The range that took its keys over, or the one that took over from that, and so on.
    /// Some of the keys may have been split off it since. `None` for a merge below feature
    /// level 2, which left no trace.
    pub into: Option<StandingRange>,
}
