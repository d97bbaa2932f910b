//! What a planner's caller has seen of the data plane.

use crate::command::{ClosedGate, Evidence};
use crate::id::{DataPosition, RangeKey};
use crate::range::Range;
use cp_seam::MemberId;
use std::collections::BTreeMap;

/// What was seen of ranges and members, none of which the state knows. Whatever is
/// missing was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Of ranges.
    pub ranges: BTreeMap<RangeKey, RangeObserved>,
    /// Of members.
    pub members: BTreeMap<MemberId, MemberObserved>,
}

/// What was seen of one range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeObserved {
    /// How far each copy is.
    pub applied: BTreeMap<MemberId, DataPosition>,
    /// Up to where its writes were acknowledged.
    pub watermark: Option<DataPosition>,
    /// The owner's gate, if it was closed.
    pub closed_gate: Option<ClosedGate>,
    /// How much it is used, in any unit that is the same for all ranges.
    pub load: Option<u64>,
}

/// What was seen of one member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberObserved {
    /// How large its disk is.
    pub disk_bytes: Option<u64>,
    /// Whether it is taken for lost: nothing is given to it.
    pub lost: bool,
}

/// What is known of a candidate for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    /// It is behind.
    Short(DataPosition),
    /// Its position or the watermark was not seen.
    Unseen,
    /// It covers what it must.
    Whole(DataPosition),
}

impl Observed {
    /// Whether `member` is taken for lost.
    pub fn is_lost(&self, member: &MemberId) -> bool {
        self.members.get(member).is_some_and(|seen| seen.lost)
    }

    /// Whether the owner of `range` has closed its gate under the present epoch.
    pub fn is_closed(&self, key: &RangeKey, range: &Range) -> bool {
        let gate = self.ranges.get(key).and_then(|seen| seen.closed_gate);
        gate.is_some_and(|gate| gate.epoch == range.epoch)
    }

    pub(super) fn applied(&self, key: &RangeKey, member: &MemberId) -> Option<DataPosition> {
        self.ranges.get(key)?.applied.get(member).copied()
    }

    pub(super) fn watermark(&self, key: &RangeKey) -> Option<DataPosition> {
        self.ranges.get(key)?.watermark
    }

    /// How far `member` is with a range that stands as `range` does.
    pub(super) fn cover(&self, key: &RangeKey, range: &Range, member: &MemberId) -> Cover {
        let Some(seen) = self.ranges.get(key) else { return Cover::Unseen };
        let (Some(applied), Some(watermark)) = (seen.applied.get(member), seen.watermark) else { return Cover::Unseen };
        let last = seen.closed_gate.filter(|gate| gate.epoch == range.epoch).map(|gate| gate.last);
        if applied.covers(last.map_or(watermark, |last| last.max(watermark))) {
            Cover::Whole(*applied)
        } else {
            Cover::Short(*applied)
        }
    }

    /// The evidence for `candidate`, if position and watermark were seen; with the closed
    /// gate if it is the present epoch's.
    pub(super) fn evidence(&self, key: &RangeKey, range: &Range, candidate: &MemberId) -> Option<Evidence> {
        let seen = self.ranges.get(key)?;
        let (applied, watermark) = (*seen.applied.get(candidate)?, seen.watermark?);
        let closed_gate = seen.closed_gate.filter(|gate| gate.epoch == range.epoch);
        Some(Evidence { candidate: candidate.clone(), applied, watermark, closed_gate })
    }
}
