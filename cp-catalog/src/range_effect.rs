//! What an effect did to ranges, for those who follow ranges and nothing else.

use crate::id::RangeKey;
use crate::range::RangeStanding;
use crate::verdict::Effect;

/// What became of the ranges that an [`Effect`] touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeEffect<'a> {
    /// A range was made or edited, its write authority perhaps moved.
    At {
        /// The range.
        range: &'a RangeKey,
        /// Where it stands.
        now: &'a RangeStanding,
    },
    /// A range gave up its upper part, with its epoch and owner.
    Split {
        /// The range that was cut.
        lower: &'a RangeKey,
        /// Where it stands.
        lower_now: &'a RangeStanding,
        /// The new range.
        upper: &'a RangeKey,
        /// Where it stands.
        upper_now: &'a RangeStanding,
    },
    /// A range took over the keys of another of the same owner.
    Merged {
        /// The range that stays.
        survivor: &'a RangeKey,
        /// Where it stands.
        now: &'a RangeStanding,
        /// The range that went.
        retired: &'a RangeKey,
    },
}

impl Effect {
    /// What it did to ranges; `None` if it touched none.
    pub fn on_ranges(&self) -> Option<RangeEffect<'_>> {
        match self {
            Self::RangeAt { range, now }
            | Self::SourceKept { range, now }
            | Self::RestoredWithGap { range, now, .. } => Some(RangeEffect::At { range, now }),
            Self::Split { lower, lower_now, upper, upper_now } => {
                Some(RangeEffect::Split { lower, lower_now, upper, upper_now })
            }
            Self::Merged { survivor, now, retired } => Some(RangeEffect::Merged { survivor, now, retired }),
            Self::Admitted { .. }
            | Self::AlreadyMember { .. }
            | Self::MemberChanged { .. }
            | Self::Removed { .. }
            | Self::Expelled { .. }
            | Self::FeatureLevelAt { .. }
            | Self::Granted { .. }
            | Self::CollectionReady { .. }
            | Self::AuthorityHeld { .. } => None,
        }
    }
}
