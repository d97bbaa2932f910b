//! What members must be first.

use super::text;
use crate::id::{Fence, GroupName, RangeKey};
use crate::range::Role;
use cp_seam::{ClusterId, Incarnation, MemberId, MemberKind};

/// A member is not what the change takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberRefusal {
    /// No member has this name.
    #[error("{member} is not a member; admit it first")]
    NotAMember {
        /// The name.
        member: MemberId,
    },
    /// The member has another life now.
    #[error("{member} is {current} now; read the member again")]
    OtherIncarnation {
        /// The name.
        member: MemberId,
        /// Its present life.
        current: Incarnation,
    },
    /// The joiner means another cluster.
    #[error("this is cluster {cluster}; join it with a token of this cluster")]
    WrongCluster {
        /// This cluster.
        cluster: ClusterId,
    },
    /// The member was admitted as another kind.
    #[error("{member} was admitted as {admitted:?}; use that kind, or remove it and admit it again")]
    KindMismatch {
        /// The name.
        member: MemberId,
        /// As what.
        admitted: MemberKind,
    },
    /// The token is not the one issued.
    #[error("the token is not the one issued for {member}; check it, or remove the member and admit it again")]
    WrongToken {
        /// The name.
        member: MemberId,
    },
    /// The token has been used: the member has joined.
    #[error("the token of {member} is spent; if its disk was lost, remove it and admit it again")]
    TokenSpent {
        /// The name.
        member: MemberId,
    },
    /// The member has not come yet.
    #[error("{member} has not joined yet; start it with its token")]
    NotJoined {
        /// The name.
        member: MemberId,
    },
    /// A draining member takes no new part.
    #[error("{member} is draining; undrain it first")]
    Draining {
        /// The name.
        member: MemberId,
    },
    /// Only a draining member is removed.
    #[error("{member} is not draining; drain it first")]
    NotDraining {
        /// The name.
        member: MemberId,
    },
    /// The member owns ranges.
    #[error("{member} still owns {count} ranges, {first} among them; hand them off first")]
    StillOwns {
        /// The name.
        member: MemberId,
        /// How many.
        count: u64,
        /// The first of them.
        first: RangeKey,
    },
    /// The member holds copies, hot or archived.
    #[error("{member} is still {role} of {count} ranges, {first} among them; drop its copies first")]
    StillHolds {
        /// The name.
        member: MemberId,
        /// In which role.
        role: Role,
        /// How many.
        count: u64,
        /// The first of them.
        first: RangeKey,
    },
    /// The member decides on the placement of a group.
    #[error("{member} is the placement authority of group {group}{}; reassign it first", text::known(" at ", .fence, ""))]
    HoldsAuthority {
        /// The name.
        member: MemberId,
        /// The first such group.
        group: GroupName,
        /// The fence under which it is reassigned.
        fence: Option<Fence>,
    },
    /// No voting data member would remain.
    #[error("{member} is the last voting data member; give another one its vote first")]
    LastVoter {
        /// The name.
        member: MemberId,
    },
    /// The voters that remain could not form a quorum.
    #[error(
        "without {member}, {reachable} of {voters} voters are reachable, fewer than a quorum; bring others back first"
    )]
    WouldLoseQuorum {
        /// The name.
        member: MemberId,
        /// How many voters would remain.
        voters: u64,
        /// How many of them are reachable, by the proposer's evidence.
        reachable: u64,
    },
    /// Who answers, or has not been missed for an election timeout yet, is not removed by force.
    #[error("{member} answers the leader, or did a moment ago; stop it and try again, or drain and remove it")]
    StillReachable {
        /// The name.
        member: MemberId,
    },
    /// The member is being removed by force.
    #[error("{member} is being removed by force, as {incarnation}; finish that first: `member remove --force`")]
    Expelled {
        /// The name.
        member: MemberId,
        /// The life that has ended.
        incarnation: Incarnation,
    },
    /// The member's release does not support a feature level.
    #[error("{member} supports feature levels up to {supported}, not {level}; upgrade its release first")]
    UnsupportedLevel {
        /// The name.
        member: MemberId,
        /// The newest level that it supports.
        supported: u32,
        /// The level asked for, or the cluster's.
        level: u32,
    },
    /// The feature level never falls.
    #[error("the feature level is {current} already, and never falls; ask for {current} or more")]
    LevelPassed {
        /// The present level.
        current: u32,
    },
}
