//! How both sides follow the catalog: what happened to ranges, in the order of the log.

use cp_catalog::{Change, Changes, RangeEffect, Verdict};
use cp_seam::ControlPlaneLogIndex;

/// Why changes could not be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// Some of them are no longer kept.
    #[error("changes up to {upto} are no longer kept; begin anew from the whole catalog")]
    Compacted {
        /// The index of the state that stands for them.
        upto: ControlPlaneLogIndex,
    },
    /// They end before the catalog that came with them.
    #[error("the changes end at {reached}, before the catalog at {at}; ask for all of them")]
    Short {
        /// Where they end.
        reached: ControlPlaneLogIndex,
        /// The index of the catalog.
        at: ControlPlaneLogIndex,
    },
}

/// What was done to ranges after `from`, and the last index that `changes` tells of.
pub(crate) fn effects(
    changes: &Changes,
    from: ControlPlaneLogIndex,
) -> Result<(impl Iterator<Item = (&Change, RangeEffect<'_>)>, ControlPlaneLogIndex), FollowError> {
    match changes {
        Changes::Compacted { snapshot_index } => Err(FollowError::Compacted { upto: *snapshot_index }),
        Changes::Items { items, next } => {
            let news = items.iter().filter(move |change| change.position.index > from && !change.repeated);
            let effects = news.filter_map(|change| match &change.verdict {
                Verdict::Done(effect) => Some((&**change, effect.on_ranges()?)),
                Verdict::Refused(_) => None,
            });
            Ok((effects, next.prev()))
        }
    }
}
