//! Messages of the state's records: what is hashed is what is in a snapshot.

use super::audit::{AuditChainRecord, AuditEntryRecord, GrantRecord, principal, principal_parts};
pub(crate) use super::meta::{MetaRecord, hash_meta};
use super::range::write_range;
use super::recovery::RecoveryRecord;
use super::value::{
    AddressesMessage, BoundsMessage, FeaturesMessage, LocalityMessage, PlacementMessage, collection_name, copies_by,
    fixed, group_name, incarnation, kind, kind_number, member_id, mode, mode_number, need, phase,
};
use super::{DecodeError, decode_verdict, encode_verdict, malformed};
use crate::access::{ClientName, Privileges};
use crate::audit::{AuditChain, AuditRecord};
use crate::digest::{RecordHash, RecordKind};
use crate::id::{CollectionName, Epoch, RangeId, TokenHash, Version};
use crate::member::{Join, Member, Service, Voting};
use crate::range::{Authority, CollectionSpec, Move, Range};
use crate::recovery::Recovery;
use crate::request::ClientId;
use crate::session::SessionHeader;
use crate::verdict::Verdict;
use cp_seam::MemberId;
use prost::Message;
use std::sync::Arc;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MemberRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(bool, tag = "4")]
    voting: bool,
    #[prost(bool, tag = "5")]
    draining: bool,
    /// Empty once joined.
    #[prost(bytes = "vec", tag = "6")]
    token_hash: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    addresses: Option<AddressesMessage>,
    #[prost(message, optional, tag = "8")]
    locality: Option<LocalityMessage>,
    #[prost(message, optional, tag = "9")]
    features: Option<FeaturesMessage>,
    #[prost(bool, tag = "10")]
    standby: bool,
    #[prost(bool, tag = "11")]
    fenced: bool,
    #[prost(bool, tag = "12")]
    expelled: bool,
}

impl From<&Member> for MemberRecord {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id.as_str().to_owned(),
            incarnation: member.incarnation.0,
            kind: kind_number(member.kind),
            voting: member.voting == Voting::Voting,
            standby: member.voting == Voting::Standby,
            draining: member.service == Service::Draining,
            token_hash: match member.join {
                Join::Awaited(hash) => hash.0.to_vec(),
                Join::Joined | Join::Fenced | Join::Expelled => Vec::new(),
            },
            fenced: member.join == Join::Fenced,
            expelled: member.join == Join::Expelled,
            addresses: Some((&member.addresses).into()),
            locality: Some((&member.locality).into()),
            features: Some((&member.features).into()),
        }
    }
}

impl TryFrom<MemberRecord> for Member {
    type Error = DecodeError;

    fn try_from(record: MemberRecord) -> Result<Self, DecodeError> {
        Ok(Self {
            id: member_id(&record.id, "member")?,
            incarnation: incarnation(record.incarnation)?,
            kind: kind(record.kind)?,
            voting: match (record.voting, record.standby) {
                (true, false) => Voting::Voting,
                (false, true) => Voting::Standby,
                (false, false) => Voting::CatchingUp,
                (true, true) => return Err(malformed("voting")),
            },
            service: if record.draining { Service::Draining } else { Service::Active },
            join: match (record.token_hash.as_slice(), record.fenced, record.expelled) {
                ([], false, false) => Join::Joined,
                ([], true, false) => Join::Fenced,
                ([], false, true) => Join::Expelled,
                (hash, false, false) => Join::Awaited(TokenHash(fixed(hash, "token hash")?)),
                _ => return Err(malformed("join")),
            },
            addresses: need(record.addresses, "addresses")?.lenient()?,
            locality: need(record.locality, "locality")?.try_into()?,
            features: need(record.features, "features")?.try_into()?,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthorityRecord {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(string, tag = "2")]
    holder: String,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint64, tag = "4")]
    version: u64,
}

impl From<&Authority> for AuthorityRecord {
    fn from(authority: &Authority) -> Self {
        Self {
            group: authority.group.as_str().to_owned(),
            holder: authority.holder.as_str().to_owned(),
            epoch: authority.epoch.0,
            version: authority.version.0,
        }
    }
}

impl TryFrom<AuthorityRecord> for Authority {
    type Error = DecodeError;

    fn try_from(record: AuthorityRecord) -> Result<Self, DecodeError> {
        Ok(Self {
            group: group_name(&record.group)?,
            holder: member_id(&record.holder, "holder")?,
            epoch: Epoch(record.epoch),
            version: Version(record.version),
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CollectionRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(uint32, tag = "3")]
    mode: u32,
}

impl From<&CollectionSpec> for CollectionRecord {
    fn from(spec: &CollectionSpec) -> Self {
        Self {
            name: spec.name.as_str().to_owned(),
            group: spec.group.as_str().to_owned(),
            mode: mode_number(spec.mode),
        }
    }
}

impl TryFrom<CollectionRecord> for CollectionSpec {
    type Error = DecodeError;

    fn try_from(record: CollectionRecord) -> Result<Self, DecodeError> {
        Ok(Self { name: collection_name(&record.name)?, group: group_name(&record.group)?, mode: mode(record.mode)? })
    }
}

/// A range; its collection is said elsewhere.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RangeRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    bounds: Option<BoundsMessage>,
    #[prost(string, tag = "3")]
    owner: String,
    #[prost(string, repeated, tag = "4")]
    replicas: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    archives: Vec<String>,
    #[prost(uint64, tag = "6")]
    epoch: u64,
    #[prost(uint64, tag = "7")]
    version: u64,
    #[prost(message, optional, tag = "8")]
    placement: Option<PlacementMessage>,
    /// Empty: no move is in flight.
    #[prost(string, tag = "9")]
    move_target: String,
    #[prost(uint32, tag = "10")]
    move_phase: u32,
}

/// [`write_range`] writes these bytes without the message.
#[cfg(test)]
impl From<&Range> for RangeRecord {
    fn from(range: &Range) -> Self {
        use super::value::{copy_names, phase_number};
        Self {
            id: range.id.0,
            bounds: Some((&range.bounds).into()),
            owner: range.owner.as_str().to_owned(),
            replicas: copy_names(&range.replicas),
            archives: copy_names(&range.archives),
            epoch: range.epoch.0,
            version: range.version.0,
            placement: Some((&*range.placement).into()),
            move_target: range.moving.as_ref().map(|m| m.target.as_str().to_owned()).unwrap_or_default(),
            move_phase: range.moving.as_ref().map(|m| phase_number(m.phase)).unwrap_or_default(),
        }
    }
}

impl TryFrom<RangeRecord> for Range {
    type Error = DecodeError;

    fn try_from(record: RangeRecord) -> Result<Self, DecodeError> {
        record.into_range(|_| None)
    }
}

impl RangeRecord {
    /// The range; `known` gives the names that are there already, which it then shares.
    pub(crate) fn into_range(self, known: impl Fn(&str) -> Option<MemberId>) -> Result<Range, DecodeError> {
        let id = |name: &str, what| known(name).map_or_else(|| member_id(name, what), Ok);
        let moving = match self.move_target.as_str() {
            "" => None,
            target => Some(Box::new(Move { target: id(target, "move target")?, phase: phase(self.move_phase)? })),
        };
        Ok(Range {
            id: RangeId(self.id),
            bounds: need(self.bounds, "bounds")?.try_into()?,
            owner: id(&self.owner, "owner")?,
            replicas: copies_by(&self.replicas, "replicas", id)?,
            archives: copies_by(&self.archives, "archives", id)?,
            epoch: Epoch(self.epoch),
            version: Version(self.version),
            placement: Arc::new(need(self.placement, "placement")?.try_into()?),
            moving,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ClientRecord {
    #[prost(bytes = "vec", tag = "1")]
    client: Vec<u8>,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(uint64, tag = "3")]
    low_water: u64,
    #[prost(uint64, tag = "4")]
    active: u64,
    /// 0: nobody was named.
    #[prost(uint32, tag = "5")]
    principal_kind: u32,
    #[prost(string, tag = "6")]
    principal: String,
}

impl From<&SessionHeader> for ClientRecord {
    fn from(header: &SessionHeader) -> Self {
        let SessionHeader { client, principal, since, low_water, active } = header;
        let (principal_kind, principal) = principal.as_ref().map(principal_parts).unwrap_or_default();
        let (since, low_water, active) = (*since, *low_water, *active);
        Self { client: client.0.to_vec(), since, low_water, active, principal_kind, principal }
    }
}

impl TryFrom<ClientRecord> for SessionHeader {
    type Error = DecodeError;

    fn try_from(record: ClientRecord) -> Result<Self, DecodeError> {
        let ClientRecord { client, since, low_water, active, principal_kind, principal: name } = record;
        let principal = (principal_kind != 0).then(|| principal(principal_kind, &name)).transpose()?;
        Ok(Self { client: ClientId(fixed(&client, "client id")?), principal, since, low_water, active })
    }
}

/// A remembered verdict; its client is said elsewhere.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReplyRecord {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "2")]
    verdict: Vec<u8>,
}

impl ReplyRecord {
    pub(crate) fn new(sequence: u64, verdict: &Verdict) -> Self {
        Self { sequence, verdict: encode_verdict(verdict) }
    }

    pub(crate) fn decode_reply(&self) -> Result<(u64, Verdict), DecodeError> {
        Ok((self.sequence, decode_verdict(&self.verdict)?))
    }
}

pub(crate) fn hash_grant(client: &ClientName, privileges: Privileges) -> RecordHash {
    RecordHash::of(RecordKind::Grant, &[], &GrantRecord::new(client, privileges).encode_to_vec())
}

pub(crate) fn hash_chain(chain: &AuditChain) -> RecordHash {
    RecordHash::of(RecordKind::AuditChain, &[], &AuditChainRecord::from(chain).encode_to_vec())
}

pub(crate) fn hash_audit(record: &AuditRecord) -> RecordHash {
    RecordHash::of(RecordKind::Audit, &[], &AuditEntryRecord::from(record).encode_to_vec())
}

pub(crate) fn hash_recovery(recovery: &Recovery) -> RecordHash {
    RecordHash::of(RecordKind::Recovery, &[], &RecoveryRecord::from(recovery).encode_to_vec())
}

pub(crate) fn hash_member(member: &Member) -> RecordHash {
    RecordHash::of(RecordKind::Member, &[], &MemberRecord::from(member).encode_to_vec())
}

pub(crate) fn hash_authority(authority: &Authority) -> RecordHash {
    RecordHash::of(RecordKind::Authority, &[], &AuthorityRecord::from(authority).encode_to_vec())
}

pub(crate) fn hash_collection(spec: &CollectionSpec) -> RecordHash {
    RecordHash::of(RecordKind::Collection, &[], &CollectionRecord::from(spec).encode_to_vec())
}

pub(crate) fn hash_range(collection: &CollectionName, range: &Range) -> RecordHash {
    RecordHash::of_written(RecordKind::Range, collection.as_str().as_bytes(), |to| write_range(range, to))
}

/// As [`hash_range`] of the range whose one encoding `bytes` are.
pub(crate) fn hash_written_range(collection: &CollectionName, bytes: &[u8]) -> RecordHash {
    RecordHash::of(RecordKind::Range, collection.as_str().as_bytes(), bytes)
}

pub(crate) fn hash_retired(collection: &CollectionName, id: RangeId, into: Option<RangeId>) -> RecordHash {
    RecordHash::of_written(RecordKind::Retired, collection.as_str().as_bytes(), |to| {
        to.extend_from_slice(&id.0.to_le_bytes());
        to.extend(into.into_iter().flat_map(|into| into.0.to_le_bytes()));
    })
}

pub(crate) fn hash_client(header: &SessionHeader) -> RecordHash {
    RecordHash::of(RecordKind::Client, &[], &ClientRecord::from(header).encode_to_vec())
}

pub(crate) fn hash_reply(client: &ClientId, sequence: u64, verdict: &Verdict) -> RecordHash {
    RecordHash::of(RecordKind::Reply, &client.0, &ReplyRecord::new(sequence, verdict).encode_to_vec())
}
