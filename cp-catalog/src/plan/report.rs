//! What a plan's steps are for, what stands in its way, what it warns of; in plain words.

use crate::id::{DataPosition, GroupName, RangeKey};
use crate::range::Role;
use crate::refusal::Refusal;
use cp_seam::MemberId;
use std::fmt;

/// What a step is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The owner leaves, and this is its furthest eligible replica.
    Leaving {
        /// Who leaves.
        member: MemberId,
    },
    /// The owner leaves, and nobody else has a hot copy that could take over.
    Successor {
        /// Who leaves.
        member: MemberId,
    },
    /// A copy leaves, and the range would have fewer than it wants.
    Replacement {
        /// Who leaves.
        member: MemberId,
        /// How many copies would be left.
        left: u32,
        /// How many are wanted.
        wanted: u32,
    },
    /// The copy of a member that leaves.
    Evacuation {
        /// Who leaves.
        member: MemberId,
    },
    /// The holder of an authority leaves.
    Authority {
        /// Who leaves.
        member: MemberId,
    },
    /// The owner, or the holder of an authority, is lost.
    Lost {
        /// Who.
        owner: MemberId,
        /// For how long it has failed; `None` if the observer says that it is lost.
        for_ms: Option<u64>,
    },
    /// The owner has closed its gate, so that nobody may write until another owns the range.
    Closed {
        /// Who.
        owner: MemberId,
    },
    /// A move is in flight.
    Moving {
        /// Where to.
        target: MemberId,
    },
    /// The range has fewer copies than it wants.
    Repair {
        /// How many it has.
        copies: u32,
        /// How many are wanted.
        wanted: u32,
    },
    /// The owner has more than its share of the load.
    Share {
        /// Who.
        owner: MemberId,
        /// How much of it is the range's.
        load: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving { member } => write!(f, "{member} leaves, and this is the furthest replica that may own it"),
            Self::Successor { member } => write!(f, "{member} leaves, and no other replica could take over"),
            Self::Replacement { member, left, wanted } => {
                write!(f, "{member} leaves, and {left} of {wanted} copies would be left")
            }
            Self::Evacuation { member } | Self::Authority { member } => write!(f, "{member} leaves"),
            Self::Lost { owner, for_ms: Some(for_ms) } => write!(f, "{owner} has failed for {for_ms} ms"),
            Self::Lost { owner, for_ms: None } => write!(f, "{owner} is said to be lost"),
            Self::Closed { owner } => {
                write!(f, "{owner} has closed its gate, and nobody may write until another owns it")
            }
            Self::Moving { target } => write!(f, "its move to {target} is in flight"),
            Self::Repair { copies, wanted } => write!(f, "it has {copies} of {wanted} copies"),
            Self::Share { owner, load } => write!(f, "{owner} has more than its share, and this is {load} of it"),
        }
    }
}

/// What a plan cannot bring about, and the member or range that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// No member has this name.
    NotAMember {
        /// The name.
        member: MemberId,
    },
    /// The member's life is over: nothing can be drained from it.
    Expelled {
        /// Who.
        member: MemberId,
    },
    /// The owner is lost or expelled, so that another copy might be the last.
    OwnerGone {
        /// Which range.
        range: RangeKey,
        /// Who.
        owner: MemberId,
    },
    /// The owner leaves, and nobody may be handed the range.
    NoHandoffTarget {
        /// Which range.
        range: RangeKey,
        /// Why.
        why: NoTarget,
    },
    /// A copy leaves, and nobody may take another; it stays.
    NoReplacement {
        /// Which range.
        range: RangeKey,
        /// As what.
        role: Role,
    },
    /// The holder of an authority leaves or is lost, and nobody may take it.
    NoAuthority {
        /// Which group.
        group: GroupName,
    },
    /// The owner is lost, and nobody is known to hold all that was acknowledged.
    NoSafeCandidate {
        /// Which range.
        range: RangeKey,
        /// Who is lost.
        owner: MemberId,
        /// Why.
        why: NoTarget,
    },
    /// The owner is gone for good, and no replica has all that was acknowledged: somebody has
    /// to restore an archive, or to force it onto a member and lose what is missing.
    Unrecoverable {
        /// Which range.
        range: RangeKey,
        /// Why no replica will do.
        why: NoTarget,
        /// Who has an archive of it and may own it.
        archives: Vec<MemberId>,
    },
    /// The state would refuse the step.
    Refused {
        /// Which range.
        range: RangeKey,
        /// Why.
        refusal: Box<Refusal>,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMember { member } => write!(f, "{member} is not a member"),
            Self::Expelled { member } => {
                write!(f, "{member} is expelled and cannot be drained; `member remove --force` releases what it has")
            }
            Self::OwnerGone { range, owner } => {
                write!(f, "the owner of range {range}, {owner}, is lost or expelled; fail it over or restore it first")
            }
            Self::NoHandoffTarget { range, why } => write!(f, "no safe handoff target for range {range}: {why}"),
            Self::NoReplacement { range, role } => {
                write!(f, "no replacement {role} for range {range}: add a data member, or lower its replication factor")
            }
            Self::NoAuthority { group } => {
                write!(f, "nobody may take the authority of group {group}: add a data member")
            }
            Self::NoSafeCandidate { range, owner, why } => {
                write!(f, "no safe candidate for range {range}, whose owner {owner} is lost: {why}")
            }
            Self::Unrecoverable { range, why, archives } => {
                write!(f, "range {range} is unrecoverable without loss: {why}; ")?;
                if !archives.is_empty() {
                    f.write_str("`range restore` from the archive of ")?;
                    list(f, archives)?;
                    f.write_str(", or ")?;
                }
                f.write_str("`range force`")
            }
            Self::Refused { range, refusal } => write!(f, "a step on range {range} would be refused: {refusal}"),
        }
    }
}

/// Why nobody may take a range over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTarget {
    /// No hot replica is on an active data member that is alive.
    NoReplica,
    /// No replica's position was seen together with the watermark.
    Unseen,
    /// Every replica lacks acknowledged writes.
    Behind {
        /// The furthest.
        member: MemberId,
        /// Where it is.
        applied: DataPosition,
    },
}

impl fmt::Display for NoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReplica => f.write_str("no other hot replica is on a live, active data member"),
            Self::Unseen => f.write_str("no replica's position was seen together with the watermark"),
            Self::Behind { member, applied } => {
                write!(f, "the furthest replica, {member}, is at {applied} and lacks acknowledged writes")
            }
        }
    }
}

/// What an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The member may still be given ranges.
    NotDraining {
        /// Who.
        member: MemberId,
    },
    /// New copies share a failure domain with others of their range.
    SharedDomain(Several),
    /// New copies are placed without regard to what their ranges' placement asks for: of
    /// where members stand the state knows the failure domain and no attributes, so there
    /// is nothing to match. What asks for them is checked by whoever places by them.
    AttributesUnmatched(Several),
    /// Copies are in fewer failure domains than they could be.
    Spread(Several),
    /// Ranges have fewer copies than they want, and nobody may take another.
    TooFewCopies(Several),
    /// More than half of the data members seem lost: perhaps the observer is.
    MostLost {
        /// How many.
        lost: u64,
        /// Of how many.
        members: u64,
    },
    /// An owner fails, not yet for long enough.
    Failing {
        /// Who.
        member: MemberId,
        /// For how long.
        for_ms: u64,
        /// How long it must have failed.
        act_after_ms: u64,
    },
    /// A range has more than twice the mean load.
    Hotspot {
        /// Which.
        range: RangeKey,
        /// Its load.
        load: u64,
        /// The mean.
        mean: u64,
    },
    /// The size of a disk is unknown, so that all count as equal.
    DiskUnseen {
        /// Whose.
        member: MemberId,
    },
    /// A member has more than its share, and no range of it can go.
    Stuck {
        /// Who.
        member: MemberId,
    },
    /// More would be done, were not so much under way.
    Capped {
        /// How much may be under way.
        moves_max: u64,
        /// How much was before this plan.
        in_flight: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDraining { member } => {
                write!(f, "{member} is not draining and may be given more meanwhile; drain it before running this")
            }
            Self::SharedDomain(ranges) => {
                write!(f, "new copies share a failure domain with others of their range: {ranges}")
            }
            Self::AttributesUnmatched(ranges) => {
                write!(f, "placement attributes are not matched against members; check the new copies of {ranges}")
            }
            Self::Spread(ranges) => write!(f, "copies are in fewer failure domains than they could be: {ranges}"),
            Self::TooFewCopies(ranges) => write!(f, "fewer copies than wanted, and nobody may take more: {ranges}"),
            Self::MostLost { lost, members } => {
                write!(f, "{lost} of {members} data members seem lost; see that it is not the observer who is")
            }
            Self::Failing { member, for_ms, act_after_ms } => {
                write!(f, "{member} has failed for {for_ms} ms; its ranges are moved after {act_after_ms} ms")
            }
            Self::Hotspot { range, load, mean } => {
                write!(f, "range {range} has a load of {load}, where the mean is {mean}; split it")
            }
            Self::DiskUnseen { member } => {
                write!(f, "the size of {member}'s disk is unknown; all disks count as equal")
            }
            Self::Stuck { member } => {
                write!(f, "{member} has more than its share, and none of its ranges can go where there is less")
            }
            Self::Capped { moves_max, in_flight } => {
                write!(f, "at most {moves_max} moves at a time, {in_flight} were under way; plan again once they end")
            }
        }
    }
}

/// How many ranges a warning is about, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Several {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: RangeKey,
}

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "range {}", self.first),
            count => write!(f, "{count} ranges, {} among them", self.first),
        }
    }
}

/// Counts ranges for a warning.
#[derive(Debug, Default)]
pub(super) struct Tally(Option<Several>);

impl Tally {
    pub(super) fn note(&mut self, range: &RangeKey) {
        let several = self.0.get_or_insert_with(|| Several { count: 0, first: range.clone() });
        several.count = several.count.saturating_add(1);
    }

    pub(super) fn warn(self, warnings: &mut Vec<Warning>, warning: impl FnOnce(Several) -> Warning) {
        warnings.extend(self.0.map(warning));
    }
}

/// The members in words.
pub(super) fn list(f: &mut fmt::Formatter<'_>, members: &[MemberId]) -> fmt::Result {
    members.iter().enumerate().try_for_each(|(at, member)| {
        f.write_str(if at == 0 { "" } else { ", " })?;
        write!(f, "{member}")
    })
}
