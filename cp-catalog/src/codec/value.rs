//! Messages of the values that commands and records share.

use super::{DecodeError, malformed};
use crate::bounds::{BadBounds, BadValue, Bound, Bounds, Key, Mode};
use crate::id::{BadName, Capability, CollectionName, FailureDomain, GroupName};
use crate::member::{Addresses, Features, Locality, MemberLife};
use crate::range::{Copies, MovePhase, Placement};
use cp_seam::{Incarnation, MemberId, MemberKind};
use std::collections::BTreeSet;

type Decoded<T> = Result<T, DecodeError>;

pub(crate) fn need<T>(message: Option<T>, what: &'static str) -> Decoded<T> {
    message.ok_or(malformed(what))
}

pub(crate) fn fixed<const N: usize>(bytes: &[u8], what: &'static str) -> Decoded<[u8; N]> {
    bytes.try_into().map_err(|_| malformed(what))
}

fn bad(what: &'static str) -> impl FnOnce(BadValue) -> DecodeError {
    move |source| DecodeError::Value { what, source }
}

fn bad_name(what: &'static str) -> impl FnOnce(BadName) -> DecodeError {
    move |source| bad(what)(source.into())
}

fn bad_bounds(what: &'static str) -> impl FnOnce(BadBounds) -> DecodeError {
    move |source| bad(what)(source.into())
}

pub(crate) fn member_id(name: &str, what: &'static str) -> Decoded<MemberId> {
    MemberId::new(name).map_err(|source| DecodeError::Member { what, source })
}

pub(crate) fn collection_name(name: &str) -> Decoded<CollectionName> {
    CollectionName::new(name).map_err(bad_name("collection"))
}

pub(crate) fn group_name(name: &str) -> Decoded<GroupName> {
    GroupName::new(name).map_err(bad_name("group"))
}

pub(crate) fn key(bytes: &[u8], what: &'static str) -> Decoded<Key> {
    Key::new(bytes).map_err(bad_bounds(what))
}

pub(crate) fn incarnation(number: u64) -> Decoded<Incarnation> {
    if number == 0 { Err(malformed("incarnation")) } else { Ok(Incarnation(number)) }
}

pub(crate) fn incarnations(numbers: &[u64]) -> Decoded<BTreeSet<Incarnation>> {
    numbers.iter().map(|number| incarnation(*number)).collect()
}

pub(crate) fn incarnation_numbers(set: &BTreeSet<Incarnation>) -> Vec<u64> {
    set.iter().map(|incarnation| incarnation.0).collect()
}

pub(crate) const fn kind_number(kind: MemberKind) -> u32 {
    match kind {
        MemberKind::Data => 1,
        MemberKind::Witness => 2,
    }
}

pub(crate) fn kind(number: u32) -> Decoded<MemberKind> {
    match number {
        1 => Ok(MemberKind::Data),
        2 => Ok(MemberKind::Witness),
        _ => Err(malformed("member kind")),
    }
}

pub(crate) const fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Hash => 1,
        Mode::Ordered => 2,
    }
}

pub(crate) fn mode(number: u32) -> Decoded<Mode> {
    match number {
        1 => Ok(Mode::Hash),
        2 => Ok(Mode::Ordered),
        _ => Err(malformed("mode")),
    }
}

pub(crate) const fn phase_number(phase: MovePhase) -> u32 {
    match phase {
        MovePhase::Begun => 1,
        MovePhase::Copying => 2,
        MovePhase::CatchingUp => 3,
    }
}

pub(crate) fn phase(number: u32) -> Decoded<MovePhase> {
    match number {
        1 => Ok(MovePhase::Begun),
        2 => Ok(MovePhase::Copying),
        3 => Ok(MovePhase::CatchingUp),
        _ => Err(malformed("move phase")),
    }
}

pub(crate) fn copies(names: &[String], what: &'static str) -> Decoded<Copies> {
    copies_by(names, what, member_id)
}

/// The copies that are with the members that `id` makes of the names.
pub(crate) fn copies_by(
    names: &[String],
    what: &'static str,
    id: impl Fn(&str, &'static str) -> Decoded<MemberId>,
) -> Decoded<Copies> {
    if names.len() > Copies::COUNT_MAX {
        return Err(bad(what)(BadValue::Many { field: "copies", count: names.len(), max: Copies::COUNT_MAX }));
    }
    names.iter().map(|name| id(name, what)).collect()
}

pub(crate) fn copy_names(copies: &Copies) -> Vec<String> {
    copies.iter().map(|member| member.as_str().to_owned()).collect()
}

/// Half-open bounds: an empty lower key is min, an empty upper key is max.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BoundsMessage {
    #[prost(bytes = "vec", tag = "1")]
    lower: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    upper: Vec<u8>,
}

impl From<&Bounds> for BoundsMessage {
    fn from(bounds: &Bounds) -> Self {
        let bytes = |bound: &Bound| match bound {
            Bound::Key(key) => key.as_bytes().to_vec(),
            Bound::Min | Bound::Max => Vec::new(),
        };
        Self { lower: bytes(bounds.lower()), upper: bytes(bounds.upper()) }
    }
}

impl TryFrom<BoundsMessage> for Bounds {
    type Error = DecodeError;

    fn try_from(message: BoundsMessage) -> Decoded<Self> {
        let at = |bytes: &[u8], open| if bytes.is_empty() { Ok(open) } else { key(bytes, "bound").map(Bound::Key) };
        Self::new(at(&message.lower, Bound::Min)?, at(&message.upper, Bound::Max)?).map_err(bad_bounds("bounds"))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LifeMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
}

impl From<&MemberLife> for LifeMessage {
    fn from(life: &MemberLife) -> Self {
        Self { id: life.id.as_str().to_owned(), incarnation: life.incarnation.0 }
    }
}

impl TryFrom<LifeMessage> for MemberLife {
    type Error = DecodeError;

    fn try_from(message: LifeMessage) -> Decoded<Self> {
        Ok(Self { id: member_id(&message.id, "member")?, incarnation: incarnation(message.incarnation)? })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AddressesMessage {
    #[prost(string, tag = "1")]
    peer: String,
    #[prost(string, tag = "2")]
    client: String,
    #[prost(string, tag = "3")]
    http: String,
}

impl From<&Addresses> for AddressesMessage {
    fn from(Addresses { peer, client, http }: &Addresses) -> Self {
        Self { peer: peer.clone(), client: client.clone(), http: http.clone() }
    }
}

impl AddressesMessage {
    /// Addresses that may be empty, as those of a member that has not joined.
    pub(crate) fn lenient(self) -> Decoded<Addresses> {
        let Self { peer, client, http } = self;
        let addresses = Addresses { peer, client, http };
        match addresses.check() {
            Err(BadValue::Missing { .. }) if addresses == Addresses::default() => Ok(addresses),
            checked => checked.map(|()| addresses).map_err(bad("addresses")),
        }
    }
}

impl TryFrom<AddressesMessage> for Addresses {
    type Error = DecodeError;

    fn try_from(message: AddressesMessage) -> Decoded<Self> {
        let addresses = message.lenient()?;
        addresses.check().map(|()| addresses).map_err(bad("addresses"))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LocalityMessage {
    /// Empty: none.
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(uint32, tag = "2")]
    weight: u32,
}

impl From<&Locality> for LocalityMessage {
    fn from(locality: &Locality) -> Self {
        let domain = locality.domain.as_ref().map(|domain| domain.as_str().to_owned()).unwrap_or_default();
        Self { domain, weight: locality.weight }
    }
}

impl TryFrom<LocalityMessage> for Locality {
    type Error = DecodeError;

    fn try_from(message: LocalityMessage) -> Decoded<Self> {
        let domain = Some(message.domain.as_str()).filter(|domain| !domain.is_empty());
        let domain = domain.map(FailureDomain::new).transpose().map_err(bad_name("failure domain"))?;
        Ok(Self { domain, weight: message.weight })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FeaturesMessage {
    #[prost(uint32, tag = "1")]
    level: u32,
    #[prost(string, repeated, tag = "2")]
    capabilities: Vec<String>,
}

impl From<&Features> for FeaturesMessage {
    fn from(features: &Features) -> Self {
        let capabilities = features.capabilities.iter().map(|name| name.as_str().to_owned()).collect();
        Self { level: features.level, capabilities }
    }
}

impl TryFrom<FeaturesMessage> for Features {
    type Error = DecodeError;

    fn try_from(message: FeaturesMessage) -> Decoded<Self> {
        let names = message.capabilities.iter().map(|name| Capability::new(name));
        let capabilities = names.collect::<Result<_, _>>().map_err(bad_name("capability"))?;
        let features = Self { level: message.level, capabilities };
        features.check().map(|()| features).map_err(bad("features"))
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PlacementMessage {
    #[prost(uint32, tag = "1")]
    replication_factor: u32,
    /// In ascending order of names.
    #[prost(message, repeated, tag = "2")]
    attributes: Vec<AttributeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AttributeMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl From<&Placement> for PlacementMessage {
    fn from(placement: &Placement) -> Self {
        let attributes = placement.attributes.iter();
        let attributes = attributes.map(|(name, value)| AttributeMessage { name: name.clone(), value: value.clone() });
        Self { replication_factor: placement.replication_factor, attributes: attributes.collect() }
    }
}

impl TryFrom<PlacementMessage> for Placement {
    type Error = DecodeError;

    fn try_from(message: PlacementMessage) -> Decoded<Self> {
        let attributes = message.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
        let placement = Self { replication_factor: message.replication_factor, attributes };
        placement.check().map(|()| placement).map_err(bad("placement"))
    }
}
