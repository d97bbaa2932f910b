//! Ids, bounds and neighbours that do not fit.

use super::{StandingRange, text};
use crate::bounds::Mode;
use crate::id::{RangeId, RangeKey};
use crate::range::RangeStanding;

/// The range would not fit where it is to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeRefusal {
    /// The id is in use.
    #[error("range {range} exists ({current}); choose another id{}", text::known(", such as ", .free, ""))]
    RangeExists {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        current: RangeStanding,
        /// An id that was never used.
        free: Option<RangeId>,
    },
    /// The id was in use once.
    #[error(
        "range {range} was merged away and its id is never used again; choose another id{}",
        text::known(", such as ", .free, "")
    )]
    RetiredId {
        /// The range.
        range: RangeKey,
        /// An id that was never used.
        free: Option<RangeId>,
    },
    /// The collection has the other mode.
    #[error(
        "the collection of {range} is of the other mode{}; create the range in the collection's mode",
        text::known(", ", .mode, "")
    )]
    ModeDiffers {
        /// The range.
        range: RangeKey,
        /// The collection's mode.
        mode: Option<Mode>,
    },
    /// The bounds mean nothing in the collection's mode.
    #[error("bounds in a hashed collection are slots; range {range} needs min, max or 2 big-endian bytes below 16384")]
    NotASlot {
        /// The range.
        range: RangeKey,
    },
    /// Some keys belong to another range.
    #[error("the bounds of {range} overlap those of {other} ({current}); choose free bounds")]
    Overlap {
        /// The range.
        range: RangeKey,
        /// Whose keys they are.
        other: RangeKey,
        /// Where that one stands.
        current: RangeStanding,
    },
    /// The key does not cut the range in two.
    #[error("the key does not lie strictly inside range {range} ({current}); choose one that does")]
    CutOutside {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The ranges are not neighbours.
    #[error("ranges {range} and {other} are not neighbours{}; merge ranges that touch", text::beside(.below, .above))]
    NotAdjacent {
        /// The one.
        range: RangeKey,
        /// The other.
        other: RangeKey,
        /// What touches the one from below.
        below: Option<Box<StandingRange>>,
        /// What touches it from above.
        above: Option<Box<StandingRange>>,
    },
    /// The ranges have different owners.
    #[error("ranges {range} and {other} ({current}) have different owners; hand one off first")]
    OwnersDiffer {
        /// The one.
        range: RangeKey,
        /// The other.
        other: RangeKey,
        /// Where the other stands.
        current: RangeStanding,
    },
    /// The ranges have different copies.
    #[error("ranges {range} and {other} ({current}) have copies on different members; align them first")]
    CopiesDiffer {
        /// The one.
        range: RangeKey,
        /// The other.
        other: RangeKey,
        /// Where the other stands.
        current: RangeStanding,
    },
}
