//! Why a command was refused: typed, with what the caller needs next.

use crate::access::{ClientName, Principal, Privilege};
use crate::id::{CollectionName, DataPosition, Fence, GroupName, RangeKey};
use crate::member::Ineligible;
use crate::range::{MovePhase, RangeStanding, Role};
use cp_seam::{ClusterId, ControlPlaneLogIndex, Incarnation, MemberId, MemberKind};

/// Why a command changed nothing. A refusal is an effect of the log like any
/// other: the same on every member, and kept for retries (CP-P5).
///
/// Those about a range carry where it stands, so that the caller can go to its
/// owner, or read again and propose under the present fence (CP-S5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The payload is not a command.
    #[error("the payload is not a catalog command; encode it with the catalog's codec")]
    Undecodable,
    /// The payload is of a newer release.
    #[error("the command is of a newer release; upgrade every member first")]
    UnknownCommand,
    /// The command travels in the wrong kind of entry (CP-S4).
    #[error("the command travels in the wrong kind of entry; take the kind from the command")]
    WrongKind,
    /// The request is older than what is remembered of its client: it may have
    /// taken effect, and is not applied again (CP-P5).
    #[error("the request is no longer remembered, up to sequence {low_water}; read what it did before asking again")]
    Expired {
        /// Requests up to this sequence are forgotten; 0 if the whole client is.
        low_water: u64,
    },
    /// The client claims to start at an index that is not applied yet.
    #[error("the client claims to know index {since}, which was not applied yet; start it at an applied index")]
    ClientFromFuture {
        /// The index claimed.
        since: ControlPlaneLogIndex,
    },
    /// The client's id is in use with another starting point.
    #[error("the client id is in use by another client; take a fresh random one")]
    ClientIdTaken,

    /// Whoever asks was not granted what it takes.
    #[error("{principal} lacks the privilege to {privilege}; have an operator grant it: `grant set`")]
    MissingPrivilege {
        /// Who.
        principal: Principal,
        /// What it lacks.
        privilege: Privilege,
    },
    /// Nobody stands behind a forced change.
    #[error("a forced change names no operator; send it with a client's certificate")]
    NoOperator,
    /// A forced change says no reason.
    #[error("a forced change says no reason; give one")]
    BlankReason,
    /// The first grant closes the cluster, and would do so for its author too.
    #[error("the first grant closes the cluster: let yourself operate first, then grant others")]
    FirstGrant,
    /// Nobody could operate any more.
    #[error("without {client} nobody may operate; grant that to another client first")]
    LastOperator {
        /// The client.
        client: ClientName,
    },
    /// There are as many grants as there may be.
    #[error("there are {count} grants, which is the most; take one back first")]
    TooManyGrants {
        /// How many.
        count: u64,
    },

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
    #[error("{member} is the placement authority of group {group}; reassign it first")]
    HoldsAuthority {
        /// The name.
        member: MemberId,
        /// The first such group.
        group: GroupName,
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

    /// No collection has this name.
    #[error("collection {collection} does not exist; create it first")]
    UnknownCollection {
        /// The name.
        collection: CollectionName,
    },
    /// The collection exists with another group or mode.
    #[error("collection {collection} exists with another group or mode; choose another name")]
    CollectionDiffers {
        /// The name.
        collection: CollectionName,
    },
    /// The group has an authority.
    #[error("group {group} is under {holder} at {fence}; reassign it under that fence")]
    AuthorityExists {
        /// The group.
        group: GroupName,
        /// Who decides.
        holder: MemberId,
        /// Its present fence.
        fence: Fence,
    },
    /// The group has no authority.
    #[error("group {group} has no placement authority; assign one")]
    UnknownAuthority {
        /// The group.
        group: GroupName,
    },
    /// The fence of an authority is stale.
    #[error("the authority of group {group} is {holder} at {fence} now; read it again")]
    StaleAuthority {
        /// The group.
        group: GroupName,
        /// Who decides.
        holder: MemberId,
        /// Its present fence.
        fence: Fence,
    },

    /// No range has this name.
    #[error("range {range} does not exist; list the ranges of its collection")]
    UnknownRange {
        /// The range.
        range: RangeKey,
    },
    /// The id is in use.
    #[error("range {range} exists ({current}); choose another id")]
    RangeExists {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The id was in use once.
    #[error("range {range} was merged away and its id is never used again; choose another id")]
    RetiredId {
        /// The range.
        range: RangeKey,
    },
    /// The collection has the other mode.
    #[error("the collection of {range} is of the other mode; create the range in the collection's mode")]
    ModeDiffers {
        /// The range.
        range: RangeKey,
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
    /// The candidate owns the range already.
    #[error("{candidate} owns range {range} already ({current}); nothing is to be done")]
    AlreadyOwner {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The candidate's copy is an archive.
    #[error("{candidate} keeps an archive of range {range} ({current}); restore and validate it first")]
    NeedsRestore {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The member has no such copy.
    #[error("{member} is no {role} of range {range} ({current}); choose one that is")]
    NotInRole {
        /// The range.
        range: RangeKey,
        /// The member.
        member: MemberId,
        /// The role asked for.
        role: Role,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The member may not own or hold a range.
    #[error("{member} may not own or hold a range: {why}; choose an active data member")]
    Ineligible {
        /// The member.
        member: MemberId,
        /// Why.
        why: Ineligible,
    },
    /// The member has a role in the range, and may have one only.
    #[error("{member} is {role} of range {range} already; one member has one role")]
    RoleTaken {
        /// The range.
        range: RangeKey,
        /// The member.
        member: MemberId,
        /// The role that it has.
        role: Role,
    },
    /// The range has as many copies of this role as it can.
    #[error("range {range} has {count} copies in one role, the most there can be; drop one first")]
    TooManyCopies {
        /// The range.
        range: RangeKey,
        /// How many.
        count: u64,
    },
    /// No evidence was given that the candidate is safe.
    #[error(
        "no evidence that {candidate} may take range {range} ({current}); give its position, the watermark and, while the owner lives, its closed gate"
    )]
    MissingEvidence {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The evidence is about someone else, or about another epoch's gate.
    #[error(
        "the evidence for range {range} is not about {candidate} at the present epoch ({current}); collect it again"
    )]
    OtherEvidence {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The candidate lacks acknowledged writes.
    #[error("{candidate} is at {applied} of range {range}, short of {watermark} ({current}); let it catch up")]
    NotCovered {
        /// The range.
        range: RangeKey,
        /// The candidate.
        candidate: MemberId,
        /// How far it is.
        applied: DataPosition,
        /// How far it must be.
        watermark: DataPosition,
        /// Where the range stands.
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
    /// The key does not cut the range in two.
    #[error("the key does not lie strictly inside range {range} ({current}); choose one that does")]
    CutOutside {
        /// The range.
        range: RangeKey,
        /// Where it stands.
        current: RangeStanding,
    },
    /// The ranges are not neighbours.
    #[error("ranges {range} and {other} are not neighbours; merge ranges that touch")]
    NotAdjacent {
        /// The one.
        range: RangeKey,
        /// The other.
        other: RangeKey,
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
    /// What was restored is not what was archived.
    #[error(
        "what {archive} restored of range {range} ({current}) has another checksum than what was archived; restore it again"
    )]
    ChecksumDiffers {
        /// The range.
        range: RangeKey,
        /// The archive.
        archive: MemberId,
        /// Where the range stands.
        current: RangeStanding,
    },
    /// What was restored is of other keys.
    #[error("what {archive} restored has other bounds than range {range} ({current}); restore that range")]
    BoundsDiffer {
        /// The range.
        range: RangeKey,
        /// The archive.
        archive: MemberId,
        /// Where the range stands.
        current: RangeStanding,
    },
    /// The archive lacks acknowledged writes.
    #[error(
        "{archive} restored range {range} up to {restored}, short of {watermark} ({current}); restore more, or force it and lose the rest"
    )]
    Gap {
        /// The range.
        range: RangeKey,
        /// The archive.
        archive: MemberId,
        /// How far it is.
        restored: DataPosition,
        /// How far it must be.
        watermark: DataPosition,
        /// Where the range stands.
        current: RangeStanding,
    },
    /// A counter has no next value in this generation.
    #[error("a counter is used up; recover the cluster into a new generation")]
    Exhausted,
}
