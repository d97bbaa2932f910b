//! Messages of verdicts: one flat message, and a table that says which field of
//! a verdict lies in which slot of it. Codes and slots never change.

use super::fencing::{FenceMessage, PositionMessage, RangeKeyMessage, StandingMessage};
use super::value::{collection_name, group_name, kind, kind_number, member_id, need, phase, phase_number};
use super::{DecodeError, VERSION, malformed};
use crate::refusal::Refusal;
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

/// The number of a refusal, which never changes.
pub(crate) fn refusal_code(refusal: &Refusal) -> u32 {
    flatten_refusal(refusal).code
}

/// The verdict in `bytes`. It never panics, whatever the bytes.
pub fn decode_verdict(bytes: &[u8]) -> Result<Verdict, DecodeError> {
    let message = VerdictMessage::decode(bytes).map_err(|_| malformed("verdict"))?;
    match (message.done, message.refused) {
        (Some(flat), None) => unflatten_effect(flat).map(Verdict::Done),
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
}

/// How a field of a verdict goes into a [`Flat`] and comes out of it.
mod slot {
    use super::*;
    use crate::codec::value::fixed;

    macro_rules! slots {
        ($($slot:ident: $type:ty, |$flat:ident, $value:ident| $put:expr, $take:expr;)*) => {$(
            pub(super) mod $slot {
                use super::*;

                pub(in super::super) fn put($flat: &mut Flat, $value: &$type) {
                    $put;
                }

                pub(in super::super) fn take($flat: &mut Flat) -> Result<$type, DecodeError> {
                    $take
                }
            }
        )*};
    }

    slots! {
        member: cp_seam::MemberId, |flat, v| flat.member = v.as_str().to_owned(), member_id(&flat.member, "member");
        number: u64, |flat, v| flat.number = *v, Ok(flat.number);
        second: u64, |flat, v| flat.second = *v, Ok(flat.second);
        level: u32, |flat, v| flat.number = (*v).into(), u32::try_from(flat.number).map_err(|_| malformed("level"));
        supported: u32, |flat, v| flat.second = (*v).into(), u32::try_from(flat.second).map_err(|_| malformed("level"));
        incarnation: cp_seam::Incarnation, |flat, v| flat.number = v.0, Ok(cp_seam::Incarnation(flat.number));
        index: cp_seam::ControlPlaneLogIndex, |flat, v| flat.number = v.0, Ok(cp_seam::ControlPlaneLogIndex(flat.number));
        range: crate::id::RangeKey, |flat, v| flat.range = Some(v.into()), need(flat.range.take(), "range")?.try_into();
        other: crate::id::RangeKey, |flat, v| flat.other = Some(v.into()), need(flat.other.take(), "range")?.try_into();
        current: crate::range::RangeStanding, |flat, v| flat.current = Some(v.into()),
            need(flat.current.take(), "standing")?.try_into();
        other_current: crate::range::RangeStanding, |flat, v| flat.other_current = Some(v.into()),
            need(flat.other_current.take(), "standing")?.try_into();
        fence: crate::id::Fence, |flat, v| flat.fence = Some((*v).into()), need(flat.fence, "fence").map(Into::into);
        group: crate::id::GroupName, |flat, v| flat.name = v.as_str().to_owned(), group_name(&flat.name);
        collection: crate::id::CollectionName, |flat, v| flat.name = v.as_str().to_owned(), collection_name(&flat.name);
        kind: cp_seam::MemberKind, |flat, v| flat.choice = kind_number(*v), super::kind(flat.choice);
        phase: crate::range::MovePhase, |flat, v| flat.choice = phase_number(*v), super::phase(flat.choice);
        role: crate::range::Role, |flat, v| flat.choice = role_number(*v), super::role_of(flat.choice);
        why: crate::member::Ineligible, |flat, v| flat.choice = why_number(*v), super::why_of(flat.choice);
        applied: crate::id::DataPosition, |flat, v| flat.applied = Some((*v).into()),
            need(flat.applied, "position").map(Into::into);
        watermark: crate::id::DataPosition, |flat, v| flat.watermark = Some((*v).into()),
            need(flat.watermark, "watermark").map(Into::into);
        cluster: cp_seam::ClusterId, |flat, v| flat.cluster = v.0.to_vec(),
            fixed(&flat.cluster, "cluster id").map(cp_seam::ClusterId);
        client: crate::access::ClientName, |flat, v| flat.name = v.as_str().to_owned(), crate::codec::audit::client_name(&flat.name);
        principal: crate::access::Principal, |flat, v| (flat.choice, flat.name) = crate::codec::audit::principal_parts(v),
            crate::codec::audit::principal(flat.choice, &flat.name);
        privilege: crate::access::Privilege, |flat, v| flat.privileges = privilege_bit(*v), super::privilege_of(flat.privileges);
        privileges: crate::access::Privileges, |flat, v| flat.privileges = privilege_bits(*v),
            Ok(super::privileges_of(flat.privileges));
    }

    fn privilege_bit(privilege: crate::access::Privilege) -> u32 {
        use crate::access::Privilege;
        match privilege {
            Privilege::Read => 1,
            Privilege::Operate => 2,
            Privilege::Force => 4,
        }
    }

    fn privilege_bits(privileges: crate::access::Privileges) -> u32 {
        let crate::access::Privileges { read, operate, force } = privileges;
        u32::from(read) | (u32::from(operate) << 1) | (u32::from(force) << 2)
    }

    fn role_number(role: crate::range::Role) -> u32 {
        use crate::range::Role;
        match role {
            Role::Owner => 1,
            Role::Replica => 2,
            Role::Archive => 3,
        }
    }

    fn why_number(why: crate::member::Ineligible) -> u32 {
        use crate::member::Ineligible;
        match why {
            Ineligible::Witness => 1,
            Ineligible::Draining => 2,
            Ineligible::NotJoined => 3,
            Ineligible::Fenced => 4,
        }
    }
}

fn privilege_of(bit: u32) -> Result<crate::access::Privilege, DecodeError> {
    use crate::access::Privilege;
    match bit {
        1 => Ok(Privilege::Read),
        2 => Ok(Privilege::Operate),
        4 => Ok(Privilege::Force),
        _ => Err(malformed("privilege")),
    }
}

fn privileges_of(bits: u32) -> crate::access::Privileges {
    crate::access::Privileges { read: bits & 1 != 0, operate: bits & 2 != 0, force: bits & 4 != 0 }
}

fn role_of(number: u32) -> Result<crate::range::Role, DecodeError> {
    use crate::range::Role;
    [Role::Owner, Role::Replica, Role::Archive]
        .into_iter()
        .zip(1..)
        .find(|(_, n)| *n == number)
        .map(|(role, _)| role)
        .ok_or(malformed("role"))
}

fn why_of(number: u32) -> Result<crate::member::Ineligible, DecodeError> {
    use crate::member::Ineligible;
    let all = [Ineligible::Witness, Ineligible::Draining, Ineligible::NotJoined, Ineligible::Fenced];
    all.into_iter().zip(1..).find(|(_, n)| *n == number).map(|(why, _)| why).ok_or(malformed("eligibility"))
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

        fn $unflatten(mut flat: Flat) -> Result<$type, DecodeError> {
            match flat.code {
                0 => Err(malformed("verdict code")),
                $($code => Ok($type::$variant { $($field: slot::$slot::take(&mut flat)?),* }),)*
                _ => Err(DecodeError::Newer { found: VERSION }),
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
    22 RestoredWithGap { range: range, now: current, restored: applied, watermark: watermark }
}

table! { flatten_refusal, unflatten_refusal, Refusal;
    1 Undecodable {}
    2 UnknownCommand {}
    3 WrongKind {}
    4 Expired { low_water: number }
    5 ClientFromFuture { since: index }
    6 ClientIdTaken {}
    7 Exhausted {}
    8 MissingPrivilege { principal: principal, privilege: privilege }
    9 NoOperator {}
    10 BlankReason {}
    11 LastOperator { client: client }
    12 TooManyGrants { count: number }
    13 FirstGrant {}
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
    33 HoldsAuthority { member: member, group: group }
    35 UnsupportedLevel { member: member, supported: supported, level: level }
    36 LevelPassed { current: level }
    40 UnknownCollection { collection: collection }
    41 CollectionDiffers { collection: collection }
    42 AuthorityExists { group: group, holder: member, fence: fence }
    43 UnknownAuthority { group: group }
    44 StaleAuthority { group: group, holder: member, fence: fence }
    60 UnknownRange { range: range }
    61 RangeExists { range: range, current: current }
    62 RetiredId { range: range }
    63 ModeDiffers { range: range }
    64 NotASlot { range: range }
    65 Overlap { range: range, other: other, current: current }
    66 OwnerMismatch { range: range, current: current }
    67 StaleEpoch { range: range, expected: fence, current: current }
    68 StaleVersion { range: range, expected: fence, current: current }
    69 AlreadyOwner { range: range, candidate: member, current: current }
    70 NeedsRestore { range: range, candidate: member, current: current }
    71 NotInRole { range: range, member: member, role: role, current: current }
    72 Ineligible { member: member, why: why }
    73 RoleTaken { range: range, member: member, role: role }
    74 TooManyCopies { range: range, count: number }
    75 MissingEvidence { range: range, candidate: member, current: current }
    76 OtherEvidence { range: range, candidate: member, current: current }
    77 NotCovered { range: range, candidate: member, applied: applied, watermark: watermark, current: current }
    78 MoveInFlight { range: range, target: member, current: current }
    79 NotMoving { range: range, current: current }
    80 WrongPhase { range: range, phase: phase, current: current }
    81 CutOutside { range: range, current: current }
    82 NotAdjacent { range: range, other: other }
    83 OwnersDiffer { range: range, other: other, current: current }
    84 CopiesDiffer { range: range, other: other, current: current }
    85 ChecksumDiffers { range: range, archive: member, current: current }
    86 BoundsDiffer { range: range, archive: member, current: current }
    87 Gap { range: range, archive: member, restored: applied, watermark: watermark, current: current }
}
