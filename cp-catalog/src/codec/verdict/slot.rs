//! How a field of a verdict goes into a [`Flat`] and comes out of it.

use super::{Flat, Hints, PlaceMessage};
use crate::access::{ClientName, Principal, Privilege, Privileges};
use crate::bounds::Mode;
use crate::codec::{DecodeError, audit, malformed, value};
use crate::id::{CollectionName, DataPosition, Fence, GroupName, RangeId, RangeKey};
use crate::member::Ineligible;
use crate::range::{CollectionSpec, MovePhase, RangeStanding, Role};
use crate::refusal::{CopyLimit, Merged, StandingRange};
use cp_seam::{ClusterId, ControlPlaneLogIndex, Incarnation, MemberId, MemberKind};

macro_rules! slots {
    ($($slot:ident: $type:ty, |$flat:ident, $value:ident| $put:expr, $take:expr;)*) => {$(
        pub(super) mod $slot {
            use super::*;

            pub(in crate::codec::verdict) fn put($flat: &mut Flat, $value: &$type) {
                $put;
            }

            pub(in crate::codec::verdict) fn take($flat: &mut Flat) -> Result<$type, DecodeError> {
                $take
            }
        }
    )*};
}

slots! {
    member: MemberId, |flat, v| flat.member = v.as_str().to_owned(), value::member_id(&flat.member, "member");
    number: u64, |flat, v| flat.number = *v, Ok(flat.number);
    second: u64, |flat, v| flat.second = *v, Ok(flat.second);
    third: u64, |flat, v| flat.third = *v, Ok(flat.third);
    level: u32, |flat, v| flat.number = (*v).into(), u32::try_from(flat.number).map_err(|_| malformed("level"));
    supported: u32, |flat, v| flat.second = (*v).into(), u32::try_from(flat.second).map_err(|_| malformed("level"));
    incarnation: Incarnation, |flat, v| flat.number = v.0, Ok(Incarnation(flat.number));
    index: ControlPlaneLogIndex, |flat, v| flat.number = v.0, Ok(ControlPlaneLogIndex(flat.number));
    range: RangeKey, |flat, v| flat.range = Some(v.into()), value::need(flat.range.take(), "range")?.try_into();
    other: RangeKey, |flat, v| flat.other = Some(v.into()), value::need(flat.other.take(), "range")?.try_into();
    current: RangeStanding, |flat, v| flat.current = Some(v.into()),
        value::need(flat.current.take(), "standing")?.try_into();
    other_current: RangeStanding, |flat, v| flat.other_current = Some(v.into()),
        value::need(flat.other_current.take(), "standing")?.try_into();
    fence: Fence, |flat, v| flat.fence = Some((*v).into()), value::need(flat.fence, "fence").map(Into::into);
    group: GroupName, |flat, v| flat.name = v.as_str().to_owned(), value::group_name(&flat.name);
    collection: CollectionName, |flat, v| flat.name = v.as_str().to_owned(), value::collection_name(&flat.name);
    kind: MemberKind, |flat, v| flat.choice = value::kind_number(*v), value::kind(flat.choice);
    phase: MovePhase, |flat, v| flat.choice = value::phase_number(*v), value::phase(flat.choice);
    role: Role, |flat, v| flat.choice = role_number(*v), role_of(flat.choice);
    why: Ineligible, |flat, v| flat.choice = why_number(*v), why_of(flat.choice);
    applied: DataPosition, |flat, v| flat.applied = Some((*v).into()),
        value::need(flat.applied, "position").map(Into::into);
    watermark: DataPosition, |flat, v| flat.watermark = Some((*v).into()),
        value::need(flat.watermark, "watermark").map(Into::into);
    cluster: ClusterId, |flat, v| flat.cluster = v.0.to_vec(),
        value::fixed(&flat.cluster, "cluster id").map(ClusterId);
    client: ClientName, |flat, v| flat.name = v.as_str().to_owned(), audit::client_name(&flat.name);
    principal: Principal, |flat, v| (flat.choice, flat.name) = audit::principal_parts(v),
        audit::principal(flat.choice, &flat.name);
    privilege: Privilege, |flat, v| flat.privileges = privilege_bit(*v), privilege_of(flat.privileges);
    privileges: Privileges, |flat, v| flat.privileges = privilege_bits(*v),
        Ok(privileges_of(flat.privileges));
    merged: Option<Merged>, |flat, v| if let Some(merged) = v {
        let hints = hints(flat);
        (hints.merged, hints.into) = (true, merged.into.as_ref().map(Into::into));
    }, flat.hints.as_mut().filter(|hints| hints.merged).map(|hints| Ok(Merged { into: place(hints.into.take())? })).transpose();
    below: Option<Box<StandingRange>>, |flat, v| if let Some(v) = v { hints(flat).below = Some((&**v).into()) },
        Ok(place(flat.hints.as_mut().and_then(|hints| hints.below.take()))?.map(Box::new));
    above: Option<Box<StandingRange>>, |flat, v| if let Some(v) = v { hints(flat).above = Some((&**v).into()) },
        Ok(place(flat.hints.as_mut().and_then(|hints| hints.above.take()))?.map(Box::new));
    maybe_current: Option<RangeStanding>, |flat, v| if let Some(v) = v { hints(flat).current = Some(v.into()) },
        flat.hints.as_mut().and_then(|hints| hints.current.take()).map(TryInto::try_into).transpose();
    maybe_mode: Option<Mode>, |flat, v| if let Some(v) = v { hints(flat).mode = value::mode_number(*v) },
        flat.hints.as_ref().map(|hints| value::mode(hints.mode)).transpose();
    maybe_fence: Option<Fence>, |flat, v| if let Some(v) = v { hints(flat).fence = Some((*v).into()) },
        Ok(flat.hints.as_ref().and_then(|hints| hints.fence).map(Into::into));
    exists: Option<CollectionSpec>, |flat, v| if let Some(v) = v { hints(flat).exists = Some(v.into()) },
        flat.hints.as_mut().and_then(|hints| hints.exists.take()).map(TryInto::try_into).transpose();
    free: Option<RangeId>, |flat, v| if let Some(v) = v { hints(flat).free = Some(v.0) },
        Ok(flat.hints.as_ref().and_then(|hints| hints.free).map(RangeId));
    limit: Option<Box<CopyLimit>>, |flat, v| if let Some(v) = v {
        let hints = hints(flat);
        (hints.role, hints.max, hints.current) = (role_number(v.role), v.max, Some((&v.current).into()));
    }, flat.hints.take().map(limit_of).transpose();
}

fn privilege_bit(privilege: Privilege) -> u32 {
    match privilege {
        Privilege::Read => 1,
        Privilege::Operate => 2,
        Privilege::Force => 4,
    }
}

fn privilege_bits(privileges: Privileges) -> u32 {
    let Privileges { read, operate, force } = privileges;
    u32::from(read) | (u32::from(operate) << 1) | (u32::from(force) << 2)
}

fn role_number(role: Role) -> u32 {
    match role {
        Role::Owner => 1,
        Role::Replica => 2,
        Role::Archive => 3,
    }
}

fn why_number(why: Ineligible) -> u32 {
    match why {
        Ineligible::Witness => 1,
        Ineligible::Draining => 2,
        Ineligible::NotJoined => 3,
        Ineligible::Fenced => 4,
        Ineligible::Expelled => 5,
    }
}

fn privilege_of(bit: u32) -> Result<Privilege, DecodeError> {
    match bit {
        1 => Ok(Privilege::Read),
        2 => Ok(Privilege::Operate),
        4 => Ok(Privilege::Force),
        _ => Err(malformed("privilege")),
    }
}

fn privileges_of(bits: u32) -> Privileges {
    Privileges { read: bits & 1 != 0, operate: bits & 2 != 0, force: bits & 4 != 0 }
}

fn role_of(number: u32) -> Result<Role, DecodeError> {
    [Role::Owner, Role::Replica, Role::Archive]
        .into_iter()
        .zip(1..)
        .find(|(_, n)| *n == number)
        .map(|(role, _)| role)
        .ok_or(malformed("role"))
}

fn why_of(number: u32) -> Result<Ineligible, DecodeError> {
    let all =
        [Ineligible::Witness, Ineligible::Draining, Ineligible::NotJoined, Ineligible::Fenced, Ineligible::Expelled];
    all.into_iter().zip(1..).find(|(_, n)| *n == number).map(|(why, _)| why).ok_or(malformed("eligibility"))
}

fn hints(flat: &mut Flat) -> &mut Hints {
    flat.hints.get_or_insert_default()
}

fn place(message: Option<PlaceMessage>) -> Result<Option<StandingRange>, DecodeError> {
    message.map(TryInto::try_into).transpose()
}

fn limit_of(hints: Hints) -> Result<Box<CopyLimit>, DecodeError> {
    let current = value::need(hints.current, "standing")?.try_into()?;
    Ok(Box::new(CopyLimit { role: role_of(hints.role)?, max: hints.max, current }))
}

impl From<&StandingRange> for PlaceMessage {
    fn from(StandingRange { range, current }: &StandingRange) -> Self {
        Self { range: Some(range.into()), current: Some(current.into()) }
    }
}

impl TryFrom<PlaceMessage> for StandingRange {
    type Error = DecodeError;

    fn try_from(message: PlaceMessage) -> Result<Self, DecodeError> {
        let (range, current) = (value::need(message.range, "range")?, value::need(message.current, "standing")?);
        Ok(Self { range: range.try_into()?, current: current.try_into()? })
    }
}
