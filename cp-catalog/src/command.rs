//! What can be asked of the catalog: the two closed sets of commands.
//!
//! Commands on members travel as membership changes, commands on collections,
//! authorities and ranges as ownership transitions (CP-S4). A command names a
//! member by name where the range's fence guards it, and by its life
//! ([`MemberLife`]) where the member itself is changed.

mod evidence;
mod names;

pub use evidence::{ClosedGate, Evidence, Restore, RestoreProof, Transfer};

use crate::access::{ClientName, Privileges};
use crate::bounds::{Bounds, Key, Mode};
use crate::id::{CollectionName, Fence, GroupName, RangeId, RangeKey, TokenHash};
use crate::member::{Addresses, Features, Locality, MemberLife};
use crate::range::{Copies, MovePhase, Placement};
use cp_seam::{ClusterId, ControlPlaneEntryKind, Incarnation, MemberId, MemberKind};
use std::collections::BTreeSet;

/// A command of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// On members.
    Membership(MembershipCommand),
    /// On collections, authorities and ranges.
    Ownership(OwnershipCommand),
}

impl Command {
    /// The kind of entry that carries it.
    pub fn kind(&self) -> ControlPlaneEntryKind {
        match self {
            Self::Membership(_) => ControlPlaneEntryKind::MembershipChange,
            Self::Ownership(_) => ControlPlaneEntryKind::OwnershipTransition,
        }
    }

    /// The feature level below which it is unknown, to releases that support it too.
    pub fn level(&self) -> u32 {
        match self {
            Self::Membership(MembershipCommand::Grant { .. } | MembershipCommand::ForceRemove { .. })
            | Self::Ownership(OwnershipCommand::Force { .. } | OwnershipCommand::RestoreArchive(_)) => 2,
            Self::Membership(_) | Self::Ownership(_) => 0,
        }
    }
}

impl From<MembershipCommand> for Command {
    fn from(command: MembershipCommand) -> Self {
        Self::Membership(command)
    }
}

impl From<OwnershipCommand> for Command {
    fn from(command: OwnershipCommand) -> Self {
        Self::Ownership(command)
    }
}

/// What can be asked about members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipCommand {
    /// Admits a member: allots its incarnation. It is catching up, and part of
    /// the quorum's learners once it has joined. Idempotent.
    Admit(Admission),
    /// An admitted member has come with its token, which is thereby spent.
    Joined(Joining),
    /// Gives a member a vote. The leader proposes it once the member is caught up.
    SetVoting {
        /// Who.
        member: MemberLife,
    },
    /// Takes a member's vote: it stands by, and is given none unless it is asked for.
    Demote {
        /// Who.
        member: MemberLife,
        /// The voters that the proposing leader is in touch with: the evidence
        /// that the remaining voters keep a quorum.
        reachable: BTreeSet<Incarnation>,
    },
    /// Lets a member take no new ranges, before it is removed. Idempotent.
    Drain {
        /// Who.
        member: MemberLife,
    },
    /// Ends a drain. Idempotent.
    Undrain {
        /// Who.
        member: MemberLife,
    },
    /// Removes a drained member. Its incarnation is never used again (CP-M3).
    Remove {
        /// Who.
        member: MemberLife,
        /// As in [`MembershipCommand::Demote`].
        reachable: BTreeSet<Incarnation>,
    },
    /// Ends the life of a member that is gone for good, whatever it owns and holds (CP-M3): its
    /// vote is taken, and what it has may only go from it. Takes a privilege of its own and a
    /// reason; every attempt is on record. Who holds nothing is removed at once; again, once
    /// everything is released, so is anybody else. Idempotent.
    ForceRemove {
        /// Who.
        member: MemberLife,
        /// Why.
        reason: String,
        /// All that the proposing leader is in touch with, voters or not. As in
        /// [`MembershipCommand::Demote`], and the member must not be among them.
        reachable: BTreeSet<Incarnation>,
    },
    /// Ends the life of a member that holds nothing worth its vote any more, and admits the
    /// next under the same name: what it owns and holds stays, its vote is gone until it has
    /// joined anew and caught up (CP-M3).
    Replace {
        /// Which life.
        member: MemberLife,
        /// The hash of the one-time token that the next must present.
        token_hash: TokenHash,
        /// As in [`MembershipCommand::Demote`].
        reachable: BTreeSet<Incarnation>,
    },
    /// Says where a member is reached now.
    SetAddresses {
        /// Who.
        member: MemberLife,
        /// Where.
        addresses: Addresses,
    },
    /// Says where a member stands now.
    SetLocality {
        /// Who.
        member: MemberLife,
        /// Where.
        locality: Locality,
    },
    /// Says what a member's release can do now.
    SetFeatures {
        /// Who.
        member: MemberLife,
        /// What.
        features: Features,
    },
    /// Grants a client these privileges in place of what it had; none of them ends its
    /// grant. Refused if nobody could operate then. Idempotent.
    Grant {
        /// Which client.
        client: ClientName,
        /// What it may do.
        privileges: Privileges,
    },
    /// Raises the level of what the cluster may use. Refused while a member that has
    /// joined does not support it, and below the present one. Idempotent.
    RaiseFeatureLevel {
        /// The level.
        to: u32,
    },
}

/// A member to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub member: MemberId,
    /// What it is for.
    pub kind: MemberKind,
    /// The hash of the one-time token that it must present.
    pub token_hash: TokenHash,
    /// Where it stands.
    pub locality: Locality,
    /// Whether it stands by, rather than being given its vote once it is caught up.
    pub standby: bool,
}

/// An admitted member that has come. Checked in this order: cluster, admission
/// (name, incarnation, token), kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// The cluster that it means to join.
    pub cluster: ClusterId,
    /// Who it is.
    pub member: MemberLife,
    /// The hash of the token that it presented.
    pub token_hash: TokenHash,
    /// What it is for.
    pub kind: MemberKind,
    /// Where it is reached.
    pub addresses: Addresses,
    /// What its release can do.
    pub features: Features,
}

/// What can be asked about collections, authorities and ranges.
///
/// Every command on a range carries the [`Fence`] that its writer saw; under a
/// stale one nothing changes, and the refusal says where the range stands (CP-S5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnershipCommand {
    /// Makes a collection, without ranges. Idempotent.
    CreateCollection {
        /// Its name.
        collection: CollectionName,
        /// Its group.
        group: GroupName,
        /// How its keys map to ranges.
        mode: Mode,
    },
    /// Names the placement authority of a group that has none.
    AssignAuthority {
        /// The group.
        group: GroupName,
        /// Who decides.
        holder: MemberId,
    },
    /// Moves the placement authority of a group.
    ReassignAuthority {
        /// The group.
        group: GroupName,
        /// What the writer saw.
        fence: Fence,
        /// Who decides from now on.
        holder: MemberId,
    },
    /// Makes a range at the first epoch of the generation, version 1.
    CreateRange(NewRange),
    /// Moves write authority to a replica while the owner lives: its gate is closed first.
    Handoff(Transfer),
    /// Moves write authority to a replica when the owner is lost.
    Promote(Transfer),
    /// Enlists a member as a replica that is to become the owner.
    BeginMove {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
        /// Who is to own it.
        target: MemberId,
    },
    /// Notes that a move has reached its next phase.
    AdvanceMove {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
        /// The phase reached.
        phase: MovePhase,
    },
    /// Cuts a move over: the target owns the range, the source leaves it, every
    /// other replica stays.
    CompleteMove {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
        /// That it is safe. The source's gate must be closed.
        evidence: Option<Evidence>,
    },
    /// Ends a move that was interrupted, because its source or its driver was
    /// lost: the target owns the range if the evidence covers the watermark,
    /// else the source keeps it.
    ResolveMove {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
        /// How far the target is, if that is known.
        evidence: Option<Evidence>,
    },
    /// Ends a move: the source keeps the range, the target leaves it.
    AbortMove {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
    },
    /// Cuts a range in two. The lower part keeps the id, the epoch and gains a
    /// version; the upper part is a new range with the same epoch, owner,
    /// replicas, archives and placement.
    Split {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
        /// The first key of the upper part.
        at: Key,
        /// The number of the upper part; never used before.
        new_id: RangeId,
    },
    /// Joins two adjacent ranges of one owner and the same copies. The epoch
    /// exceeds both; the retired id is never used again.
    Merge {
        /// The range that stays.
        survivor: RangeKey,
        /// What the writer saw of it.
        fence: Fence,
        /// The range of the same collection that goes.
        retired: RangeId,
        /// What the writer saw of that.
        retired_fence: Fence,
    },
    /// Adds a hot replica.
    AddReplica(CopyEdit),
    /// Drops a hot replica.
    RemoveReplica(CopyEdit),
    /// Adds an archive replica.
    AddArchive(CopyEdit),
    /// Drops an archive replica.
    RemoveArchive(CopyEdit),
    /// Says how many copies a range wants, and where.
    SetPlacement {
        /// Which range.
        range: RangeKey,
        /// What the writer saw.
        fence: Fence,
        /// What it wants.
        placement: Placement,
    },
    /// Gives a range to a member whatever it was before, past fence and evidence. Takes a
    /// privilege of its own and a reason; every attempt is on record.
    Force {
        /// Which range.
        range: RangeKey,
        /// The owner to be: a data member that is active.
        to: MemberId,
        /// Why.
        reason: String,
    },
    /// Gives a range to an archive of it that was restored.
    RestoreArchive(Restore),
}

impl OwnershipCommand {
    /// The range that it is about, of two that which stays; `None` if it is about none.
    pub fn range(&self) -> Option<&RangeKey> {
        match self {
            Self::CreateCollection { .. } | Self::AssignAuthority { .. } | Self::ReassignAuthority { .. } => None,
            Self::CreateRange(new) => Some(&new.range),
            Self::Handoff(transfer) | Self::Promote(transfer) => Some(&transfer.range),
            Self::AddReplica(edit) | Self::RemoveReplica(edit) | Self::AddArchive(edit) | Self::RemoveArchive(edit) => {
                Some(&edit.range)
            }
            Self::RestoreArchive(restore) => Some(&restore.range),
            Self::BeginMove { range, .. }
            | Self::AdvanceMove { range, .. }
            | Self::CompleteMove { range, .. }
            | Self::ResolveMove { range, .. }
            | Self::AbortMove { range, .. }
            | Self::Split { range, .. }
            | Self::Merge { survivor: range, .. }
            | Self::SetPlacement { range, .. }
            | Self::Force { range, .. } => Some(range),
        }
    }
}

/// A range to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRange {
    /// Its full name; never used before.
    pub range: RangeKey,
    /// The mode its writer believes the collection to have.
    pub mode: Mode,
    /// The keys; free of every other range of the collection.
    pub bounds: Bounds,
    /// Who may write.
    pub owner: MemberId,
    /// Who follows.
    pub replicas: Copies,
    /// Who archives.
    pub archives: Copies,
    /// How many copies it wants, and where.
    pub placement: Placement,
}

/// Adds or drops one copy of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyEdit {
    /// Which range.
    pub range: RangeKey,
    /// What the writer saw.
    pub fence: Fence,
    /// Whose copy.
    pub member: MemberId,
}
