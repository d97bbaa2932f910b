//! What a command did, or why it did nothing.

use crate::access::{ClientName, Privileges};
use crate::id::{CollectionName, DataPosition, GroupName, RangeKey};
use crate::range::RangeStanding;
use crate::refusal::Refusal;
use cp_seam::{Incarnation, MemberId};
use std::fmt;

/// What became of a committed command; the same on every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect.
    Done(Effect),
    /// It changed nothing.
    Refused(Refusal),
}

impl Verdict {
    /// The verdict as a result.
    pub fn into_result(self) -> Result<Effect, Refusal> {
        match self {
            Self::Done(effect) => Ok(effect),
            Self::Refused(refusal) => Err(refusal),
        }
    }

    /// Whether the command took effect.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

impl From<Result<Effect, Refusal>> for Verdict {
    fn from(result: Result<Effect, Refusal>) -> Self {
        result.map_or_else(Self::Refused, Self::Done)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(effect) => fmt::Display::fmt(effect, f),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
        }
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// A member was admitted.
    Admitted {
        /// Its name.
        member: MemberId,
        /// The life allotted to it.
        incarnation: Incarnation,
    },
    /// It was a member already; nothing changed, and its token is the earlier one.
    AlreadyMember {
        /// Its name.
        member: MemberId,
        /// Its life.
        incarnation: Incarnation,
    },
    /// A member was changed, or was as wanted already.
    MemberChanged {
        /// Its name.
        member: MemberId,
        /// Its life.
        incarnation: Incarnation,
    },
    /// A member was removed.
    Removed {
        /// Its name.
        member: MemberId,
        /// The life that ended.
        incarnation: Incarnation,
    },
    /// A member's life was ended by force; it stays recorded until it has nothing any more.
    Expelled {
        /// Its name.
        member: MemberId,
        /// The life that ended.
        incarnation: Incarnation,
        /// How many ranges it still owns.
        owned: u64,
        /// Of how many ranges it still has a copy, hot or archived.
        held: u64,
    },
    /// The cluster's feature level is this now.
    FeatureLevelAt {
        /// The level.
        level: u32,
    },
    /// A collection exists as wanted.
    CollectionReady {
        /// Its name.
        collection: CollectionName,
    },
    /// A group has this authority now.
    AuthorityHeld {
        /// The group.
        group: GroupName,
        /// Who decides.
        holder: MemberId,
        /// The fence for the next change.
        fence: crate::id::Fence,
    },
    /// A range was made or changed, and stands so now.
    RangeAt {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        now: RangeStanding,
    },
    /// An interrupted move ended with the source keeping the range.
    SourceKept {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        now: RangeStanding,
    },
    /// A range was cut in two.
    Split {
        /// The lower part.
        lower: RangeKey,
        /// Where it stands.
        lower_now: RangeStanding,
        /// The upper part.
        upper: RangeKey,
        /// Where it stands.
        upper_now: RangeStanding,
    },
    /// Two ranges were joined.
    Merged {
        /// The range that stays.
        survivor: RangeKey,
        /// Where it stands.
        now: RangeStanding,
        /// The range that went.
        retired: RangeKey,
    },
    /// A client may do this now.
    Granted {
        /// The client.
        client: ClientName,
        /// What; none is the end of its grant.
        privileges: Privileges,
    },
    /// An archive owns a range now, and some acknowledged writes are gone.
    RestoredWithGap {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        now: RangeStanding,
        /// Up to where the archive had them.
        restored: DataPosition,
        /// Up to where they were acknowledged.
        watermark: DataPosition,
    },
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted { member, incarnation } => write!(f, "{member} admitted as {incarnation}"),
            Self::AlreadyMember { member, incarnation } => write!(f, "{member} is a member already, as {incarnation}"),
            Self::MemberChanged { member, incarnation } => write!(f, "{member}{incarnation} changed"),
            Self::Removed { member, incarnation } => write!(f, "{member}{incarnation} removed"),
            Self::Expelled { member, incarnation, owned, held } => write!(
                f,
                "{member}{incarnation} is expelled; it still owns {owned} ranges and has copies of {held}, release those to remove it"
            ),
            Self::FeatureLevelAt { level } => write!(f, "the feature level is {level}"),
            Self::CollectionReady { collection } => write!(f, "collection {collection} is ready"),
            Self::AuthorityHeld { group, holder, fence } => write!(f, "group {group} is under {holder} at {fence}"),
            Self::RangeAt { range, now } => write!(f, "range {range} has {now}"),
            Self::SourceKept { range, now } => write!(f, "range {range} stays: {now}"),
            Self::Split { lower, lower_now, upper, upper_now } => {
                write!(f, "range {lower} has {lower_now}, range {upper} has {upper_now}")
            }
            Self::Merged { survivor, now, retired } => write!(f, "range {survivor} has {now}, {retired} is retired"),
            Self::Granted { client, privileges } => write!(f, "client {client} may: {privileges}"),
            Self::RestoredWithGap { range, now, restored, watermark } => {
                write!(f, "range {range} has {now}; its writes after {restored}, up to {watermark}, are lost")
            }
        }
    }
}
