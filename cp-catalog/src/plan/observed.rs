//! What a planner's caller has seen of the data plane.

use crate::catalog::Catalog;
use crate::command::{ClosedGate, Evidence};
use crate::id::{DataPosition, Epoch, RangeKey};
use crate::member::Join;
use crate::range::Range;
use cp_seam::MemberId;
use std::collections::{BTreeMap, BTreeSet};

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
    /// The range's epoch when positions and watermark were seen: once another owner writes
    /// they say nothing. `None` if they are of the epoch that is planned with.
    pub epoch: Option<Epoch>,
    /// How far each copy is.
    pub applied: BTreeMap<MemberId, DataPosition>,
    /// Up to where its writes were acknowledged.
    pub watermark: Option<DataPosition>,
    /// The owner's gate, if it was closed.
    pub closed_gate: Option<ClosedGate>,
    /// Whose copy could not be brought up of late: others are chosen before it.
    pub failed: BTreeSet<MemberId>,
    /// How much it is used, in any unit that is the same for all ranges.
    pub load: Option<u64>,
}

impl RangeObserved {
    /// The closed gate, if it is the one of `range`, named `key`, under its present epoch.
    fn gate(&self, key: &RangeKey, range: &Range) -> Option<&ClosedGate> {
        self.closed_gate.as_ref().filter(|gate| gate.is_of(key, range.epoch))
    }
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
        self.ranges.get(key).is_some_and(|seen| seen.gate(key, range).is_some())
    }

    /// What a copy of `range` must hold, if that was seen: all up to the watermark, and the last
    /// write of an owner that has closed its gate.
    pub fn needed(&self, key: &RangeKey, range: &Range) -> Option<DataPosition> {
        let seen = self.of(key, range)?;
        seen.watermark.max(seen.gate(key, range).map(|gate| gate.last))
    }

    /// The replicas whose copies are seen to be behind or not to be there, on members that are
    /// not gone. Where the watermark was not seen nothing is known, and there are none.
    pub fn copying<'r>(&self, catalog: &Catalog, key: &RangeKey, range: &'r Range) -> Vec<&'r MemberId> {
        if self.watermark(key, range).is_none() {
            return Vec::new();
        }
        let whole = |member: &MemberId| matches!(self.cover(key, range, member), Cover::Whole(_));
        range.replicas.iter().filter(|member| !whole(member) && !self.is_gone(catalog, member)).collect()
    }

    /// Whether what `member` has counts for nothing: it is taken for lost, or its life is over.
    pub(super) fn is_gone(&self, catalog: &Catalog, member: &MemberId) -> bool {
        self.is_lost(member) || catalog.member(member).is_none_or(|record| record.join == Join::Expelled)
    }

    /// Whether the copy of `member` could not be brought up of late.
    pub(super) fn has_failed(&self, key: &RangeKey, member: &MemberId) -> bool {
        self.ranges.get(key).is_some_and(|seen| seen.failed.contains(member))
    }

    pub(super) fn applied(&self, key: &RangeKey, range: &Range, member: &MemberId) -> Option<DataPosition> {
        self.of(key, range)?.applied.get(member).copied()
    }

    pub(super) fn watermark(&self, key: &RangeKey, range: &Range) -> Option<DataPosition> {
        self.of(key, range)?.watermark
    }

    /// What was seen of a range while it stood under the epoch of `range`.
    fn of(&self, key: &RangeKey, range: &Range) -> Option<&RangeObserved> {
        self.ranges.get(key).filter(|seen| seen.epoch.is_none_or(|epoch| epoch == range.epoch))
    }

    /// How far `member` is with a range that stands as `range` does.
    pub(super) fn cover(&self, key: &RangeKey, range: &Range, member: &MemberId) -> Cover {
        let applied = self.applied(key, range, member).filter(|_| self.watermark(key, range).is_some());
        match (applied, self.needed(key, range)) {
            (Some(applied), Some(needed)) if applied.covers(needed) => Cover::Whole(applied),
            (Some(applied), Some(_)) => Cover::Short(applied),
            _ => Cover::Unseen,
        }
    }

    /// The evidence for `candidate`, if position and watermark were seen; with the closed
    /// gate if it is the present epoch's.
    pub(super) fn evidence(&self, key: &RangeKey, range: &Range, candidate: &MemberId) -> Option<Evidence> {
        let seen = self.of(key, range)?;
        let (applied, watermark) = (*seen.applied.get(candidate)?, seen.watermark?);
        let closed_gate = seen.gate(key, range).cloned();
        Some(Evidence { candidate: candidate.clone(), applied, watermark, closed_gate })
    }
}
