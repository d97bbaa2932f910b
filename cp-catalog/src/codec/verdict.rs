//! Messages of verdicts: one flat message, and tables that say which field of
//! a verdict lies in which slot of it. Codes and slots never change.

mod slot;

use super::fencing::{FenceMessage, PositionMessage, RangeKeyMessage, StandingMessage};
use super::record::CollectionRecord;
use super::{DecodeError, VERSION, malformed};
use crate::refusal::{
    AccessRefusal, EvidenceRefusal, GroupRefusal, HolderRefusal, MemberRefusal, Refusal, RequestRefusal, ShapeRefusal,
    StandingRefusal,
};
use crate::verdict::{Effect, Verdict};
use prost::Message;

/// The bytes of a verdict, as the state keeps it and as it may travel to a client.
pub fn encode_verdict(verdict: &Verdict) -> Vec<u8> {
    let (done, refused) = match verdict {
        Verdict::Done(effect) => (Some(flatten_effect(effect)), None),
        Verdict::Refused(refusal) => (None, Some(flatten_refusal(refusal))),
    };
    VerdictMessage { done, refused }.encode_to_vec()
}

/// What `refusal` is to a release that knows no hints.
pub(crate) fn without_hints(refusal: Refusal) -> Refusal {
    let mut flat = flatten_refusal(&refusal);
    match flat.hints.take() {
        None => refusal,
        Some(_) => unflatten_refusal(flat).unwrap_or(refusal),
    }
}

/// The number of a refusal, which never changes.
pub(crate) fn refusal_code(refusal: &Refusal) -> u32 {
    flatten_refusal(refusal).code
}

/// The verdict in `bytes`. It never panics, whatever the bytes.
pub fn decode_verdict(bytes: &[u8]) -> Result<Verdict, DecodeError> {
    let message = VerdictMessage::decode(bytes).map_err(|_| malformed("verdict"))?;
    match (message.done, message.refused) {
        (Some(mut flat), None) => known(flat.code, unflatten_effect(&mut flat)?).map(Verdict::Done),
        (None, Some(flat)) => unflatten_refusal(flat).map(Verdict::Refused),
        _ => Err(malformed("verdict")),
    }
}

#[derive(Clone, PartialEq, Message)]
struct VerdictMessage {
    #[prost(message, optional, tag = "1")]
    done: Option<Flat>,
    #[prost(message, optional, tag = "2")]
    refused: Option<Flat>,
}

#[derive(Clone, PartialEq, Message)]
struct Flat {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    member: String,
    #[prost(uint64, tag = "3")]
    number: u64,
    #[prost(uint64, tag = "4")]
    second: u64,
    #[prost(message, optional, tag = "5")]
    range: Option<RangeKeyMessage>,
    #[prost(message, optional, tag = "6")]
    other: Option<RangeKeyMessage>,
    #[prost(message, optional, tag = "7")]
    current: Option<StandingMessage>,
    #[prost(message, optional, tag = "8")]
    other_current: Option<StandingMessage>,
    #[prost(message, optional, tag = "9")]
    fence: Option<FenceMessage>,
    #[prost(string, tag = "10")]
    name: String,
    #[prost(uint32, tag = "11")]
    choice: u32,
    #[prost(message, optional, tag = "12")]
    applied: Option<PositionMessage>,
    #[prost(message, optional, tag = "13")]
    watermark: Option<PositionMessage>,
    #[prost(bytes = "vec", tag = "14")]
    cluster: Vec<u8>,
    /// Privileges as bits: 1 read, 2 operate, 4 force.
    #[prost(uint32, tag = "15")]
    privileges: u32,
    /// From feature level 2.
    #[prost(message, optional, tag = "16")]
    hints: Option<Hints>,
    #[prost(uint64, tag = "17")]
    third: u64,
}

/// What refusals say from feature level 2 on.
#[derive(Clone, PartialEq, Message)]
struct Hints {
    #[prost(bool, tag = "1")]
    merged: bool,
    #[prost(message, optional, tag = "2")]
    into: Option<PlaceMessage>,
    #[prost(message, optional, tag = "3")]
    below: Option<PlaceMessage>,
    #[prost(message, optional, tag = "4")]
    above: Option<PlaceMessage>,
    #[prost(message, optional, tag = "5")]
    current: Option<StandingMessage>,
    #[prost(uint32, tag = "6")]
    mode: u32,
    #[prost(message, optional, tag = "7")]
    exists: Option<CollectionRecord>,
    #[prost(uint32, tag = "8")]
    role: u32,
    #[prost(uint64, tag = "9")]
    max: u64,
    #[prost(uint64, optional, tag = "10")]
    free: Option<u64>,
    #[prost(message, optional, tag = "11")]
    fence: Option<FenceMessage>,
}

/// A range and where it stands.
#[derive(Clone, PartialEq, Message)]
struct PlaceMessage {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeKeyMessage>,
    #[prost(message, optional, tag = "2")]
    current: Option<StandingMessage>,
}

fn known<T>(code: u32, found: Option<T>) -> Result<T, DecodeError> {
    found.ok_or(if code == 0 { malformed("verdict code") } else { DecodeError::Newer { found: VERSION } })
}

fn flatten_refusal(refusal: &Refusal) -> Flat {
    match refusal {
        Refusal::Request(refusal) => flatten_request(refusal),
        Refusal::Access(refusal) => flatten_access(refusal),
        Refusal::Member(refusal) => flatten_member(refusal),
        Refusal::Group(refusal) => flatten_group(refusal),
        Refusal::Standing(refusal) => flatten_standing(refusal),
        Refusal::Shape(refusal) => flatten_shape(refusal),
        Refusal::Holder(refusal) => flatten_holder(refusal),
        Refusal::Evidence(refusal) => flatten_evidence(refusal),
    }
}

fn unflatten_refusal(mut flat: Flat) -> Result<Refusal, DecodeError> {
    macro_rules! first {
        ($($unflatten:ident),*) => {$(
            if let Some(found) = $unflatten(&mut flat)? {
                return Ok(found.into());
            }
        )*};
    }
    first!(
        unflatten_request,
        unflatten_access,
        unflatten_member,
        unflatten_group,
        unflatten_standing,
        unflatten_shape,
        unflatten_holder,
        unflatten_evidence
    );
    known(flat.code, None)
}

macro_rules! table {
    ($flatten:ident, $unflatten:ident, $type:ident; $($code:literal $variant:ident { $($field:ident: $slot:ident),* })*) => {
        fn $flatten(value: &$type) -> Flat {
            let mut flat = Flat::default();
            match value {
                $($type::$variant { $($field),* } => {
                    flat.code = $code;
                    $(slot::$slot::put(&mut flat, $field);)*
                })*
            }
            flat
        }

        /// `None` if the code is not of this table.
        fn $unflatten(flat: &mut Flat) -> Result<Option<$type>, DecodeError> {
            match flat.code {
                $($code => Ok(Some($type::$variant { $($field: slot::$slot::take(flat)?),* })),)*
                _ => Ok(None),
            }
        }
    };
}

table! { flatten_effect, unflatten_effect, Effect;
    1 Admitted { member: member, incarnation: incarnation }
    2 AlreadyMember { member: member, incarnation: incarnation }
    3 MemberChanged { member: member, incarnation: incarnation }
    4 Removed { member: member, incarnation: incarnation }
    5 CollectionReady { collection: collection }
    6 AuthorityHeld { group: group, holder: member, fence: fence }
    7 RangeAt { range: range, now: current }
    8 SourceKept { range: range, now: current }
    9 Split { lower: range, lower_now: current, upper: other, upper_now: other_current }
    20 FeatureLevelAt { level: level }
    10 Merged { survivor: range, now: current, retired: other }
    21 Granted { client: client, privileges: privileges }
    23 Expelled { member: member, incarnation: incarnation, owned: second, held: third }
    22 RestoredWithGap { range: range, now: current, restored: applied, watermark: watermark }
}

table! { flatten_request, unflatten_request, RequestRefusal;
    1 Undecodable {}
    2 UnknownCommand {}
    3 WrongKind {}
    4 Expired { low_water: number }
    5 ClientFromFuture { since: index }
    6 ClientIdTaken {}
    7 Exhausted {}
}

table! { flatten_access, unflatten_access, AccessRefusal;
    8 MissingPrivilege { principal: principal, privilege: privilege }
    9 NoOperator {}
    10 BlankReason {}
    11 LastOperator { client: client }
    12 TooManyGrants { count: number }
    13 FirstGrant {}
}

table! { flatten_member, unflatten_member, MemberRefusal;
    20 NotAMember { member: member }
    21 OtherIncarnation { member: member, current: incarnation }
    22 WrongCluster { cluster: cluster }
    23 KindMismatch { member: member, admitted: kind }
    24 WrongToken { member: member }
    25 TokenSpent { member: member }
    26 NotJoined { member: member }
    27 Draining { member: member }
    28 NotDraining { member: member }
    29 StillOwns { member: member, count: number, first: range }
    30 StillHolds { member: member, role: role, count: number, first: range }
    31 LastVoter { member: member }
    32 WouldLoseQuorum { member: member, voters: number, reachable: second }
    33 HoldsAuthority { member: member, group: group, fence: maybe_fence }
    37 StillReachable { member: member }
    38 Expelled { member: member, incarnation: incarnation }
    35 UnsupportedLevel { member: member, supported: supported, level: level }
    36 LevelPassed { current: level }
}

table! { flatten_group, unflatten_group, GroupRefusal;
    40 UnknownCollection { collection: collection }
    41 CollectionDiffers { collection: collection, exists: exists }
    42 AuthorityExists { group: group, holder: member, fence: fence }
    43 UnknownAuthority { group: group }
    44 StaleAuthority { group: group, holder: member, fence: fence }
}

table! { flatten_standing, unflatten_standing, StandingRefusal;
    60 UnknownRange { range: range, merged: merged }
    66 OwnerMismatch { range: range, current: current }
    67 StaleEpoch { range: range, expected: fence, current: current }
    68 StaleVersion { range: range, expected: fence, current: current }
    78 MoveInFlight { range: range, target: member, current: current }
    79 NotMoving { range: range, current: current }
    80 WrongPhase { range: range, phase: phase, current: current }
}

table! { flatten_shape, unflatten_shape, ShapeRefusal;
    61 RangeExists { range: range, current: current, free: free }
    62 RetiredId { range: range, free: free }
    63 ModeDiffers { range: range, mode: maybe_mode }
    64 NotASlot { range: range }
    65 Overlap { range: range, other: other, current: current }
    81 CutOutside { range: range, current: current }
    82 NotAdjacent { range: range, other: other, below: below, above: above }
    83 OwnersDiffer { range: range, other: other, current: current }
    84 CopiesDiffer { range: range, other: other, current: current }
}

table! { flatten_holder, unflatten_holder, HolderRefusal;
    69 AlreadyOwner { range: range, candidate: member, current: current }
    70 NeedsRestore { range: range, candidate: member, current: current }
    71 NotInRole { range: range, member: member, role: role, current: current }
    72 Ineligible { member: member, why: why }
    73 RoleTaken { range: range, member: member, role: role, current: maybe_current }
    74 TooManyCopies { range: range, count: number, limit: limit }
}

table! { flatten_evidence, unflatten_evidence, EvidenceRefusal;
    75 MissingEvidence { range: range, candidate: member, current: current }
    76 OtherEvidence { range: range, candidate: member, current: current }
    77 NotCovered { range: range, candidate: member, applied: applied, watermark: watermark, current: current }
    85 ChecksumDiffers { range: range, archive: member, current: current }
    86 BoundsDiffer { range: range, archive: member, current: current }
    87 Gap { range: range, archive: member, restored: applied, watermark: watermark, current: current }
}
