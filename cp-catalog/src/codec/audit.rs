//! Messages of who asks, of grants, and of the audit.

use super::value::{fixed, member_id};
use super::{DecodeError, malformed};
use crate::access::{ClientName, Origin, Principal, Privileges};
use crate::audit::{Action, AuditChain, AuditRecord, Disposition, REASON_LEN_MAX_BYTES};
use crate::bounds::BadValue;
use cp_seam::ControlPlaneLogIndex;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OriginMessage {
    /// 1: a member, 2: a client.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    at_unix_ms: u64,
}

pub(crate) fn principal_parts(principal: &Principal) -> (u32, String) {
    match principal {
        Principal::Member(member) => (1, member.as_str().to_owned()),
        Principal::Client(client) => (2, client.as_str().to_owned()),
    }
}

pub(crate) fn principal(kind: u32, name: &str) -> Result<Principal, DecodeError> {
    match kind {
        1 => member_id(name, "principal").map(Principal::Member),
        2 => client_name(name).map(Principal::Client),
        _ => Err(malformed("kind of principal")),
    }
}

pub(crate) fn client_name(name: &str) -> Result<ClientName, DecodeError> {
    ClientName::new(name).map_err(|source| DecodeError::Member { what: "client", source })
}

/// A reason, which may be blank: that is for the state to refuse, and to put on record.
pub(crate) fn reason(text: String) -> Result<String, DecodeError> {
    let (length, max) = (text.len(), REASON_LEN_MAX_BYTES);
    if length > max {
        let source = BadValue::Long { field: "reason", length, max };
        return Err(DecodeError::Value { what: "reason", source });
    }
    Ok(text)
}

impl From<&Origin> for OriginMessage {
    fn from(origin: &Origin) -> Self {
        let (kind, name) = principal_parts(&origin.principal);
        Self { kind, name, at_unix_ms: origin.at_unix_ms }
    }
}

impl TryFrom<OriginMessage> for Origin {
    type Error = DecodeError;

    fn try_from(message: OriginMessage) -> Result<Self, DecodeError> {
        Ok(Self { principal: principal(message.kind, &message.name)?, at_unix_ms: message.at_unix_ms })
    }
}

/// A grant, in a command and in the state.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GrantRecord {
    #[prost(string, tag = "1")]
    client: String,
    #[prost(bool, tag = "2")]
    read: bool,
    #[prost(bool, tag = "3")]
    operate: bool,
    #[prost(bool, tag = "4")]
    force: bool,
}

impl GrantRecord {
    pub(crate) fn new(client: &ClientName, privileges: Privileges) -> Self {
        let Privileges { read, operate, force } = privileges;
        Self { client: client.as_str().to_owned(), read, operate, force }
    }

    pub(crate) fn decode_grant(self) -> Result<(ClientName, Privileges), DecodeError> {
        let Self { client, read, operate, force } = self;
        Ok((client_name(&client)?, Privileges { read, operate, force }))
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuditChainRecord {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(bytes = "vec", tag = "2")]
    head: Vec<u8>,
    #[prost(uint64, tag = "3")]
    forgotten: u64,
    #[prost(bytes = "vec", tag = "4")]
    floor: Vec<u8>,
}

impl From<&AuditChain> for AuditChainRecord {
    fn from(chain: &AuditChain) -> Self {
        let AuditChain { count, head, forgotten, floor } = *chain;
        Self { count, head: head.to_vec(), forgotten, floor: floor.to_vec() }
    }
}

impl TryFrom<AuditChainRecord> for AuditChain {
    type Error = DecodeError;

    fn try_from(record: AuditChainRecord) -> Result<Self, DecodeError> {
        let AuditChainRecord { count, head, forgotten, floor } = record;
        Ok(Self { count, head: fixed(&head, "head of the audit")?, forgotten, floor: fixed(&floor, "audit")? })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuditEntryRecord {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(message, optional, tag = "3")]
    origin: Option<OriginMessage>,
    #[prost(uint32, tag = "4")]
    action: u32,
    #[prost(string, tag = "5")]
    target: String,
    #[prost(string, tag = "6")]
    reason: String,
    /// 1: allowed, 2: denied, 3: failed.
    #[prost(uint32, tag = "7")]
    disposition: u32,
    #[prost(uint32, tag = "8")]
    refusal: u32,
}

impl From<&AuditRecord> for AuditEntryRecord {
    fn from(record: &AuditRecord) -> Self {
        let number = Action::ALL.iter().zip(1..).find(|(action, _)| **action == record.action);
        Self {
            sequence: record.sequence,
            index: record.index.0,
            origin: record.origin.as_ref().map(Into::into),
            action: number.map_or(0, |(_, number)| number),
            target: record.target.clone(),
            reason: record.reason.clone(),
            disposition: match record.disposition {
                Disposition::Allowed => 1,
                Disposition::Denied => 2,
                Disposition::Failed => 3,
            },
            refusal: record.refusal,
        }
    }
}

impl TryFrom<AuditEntryRecord> for AuditRecord {
    type Error = DecodeError;

    fn try_from(record: AuditEntryRecord) -> Result<Self, DecodeError> {
        let action = Action::ALL.into_iter().zip(1..).find(|(_, number)| *number == record.action);
        Ok(Self {
            sequence: record.sequence,
            index: ControlPlaneLogIndex(record.index),
            origin: record.origin.map(TryInto::try_into).transpose()?,
            action: action.map(|(action, _)| action).ok_or(malformed("audited action"))?,
            target: record.target,
            reason: reason(record.reason)?,
            disposition: match record.disposition {
                1 => Disposition::Allowed,
                2 => Disposition::Denied,
                3 => Disposition::Failed,
                _ => return Err(malformed("disposition")),
            },
            refusal: record.refusal,
        })
    }
}

/// The bytes of a record, as they are hashed and as they may travel to a client.
pub fn encode_record(record: &AuditRecord) -> Vec<u8> {
    AuditEntryRecord::from(record).encode_to_vec()
}

/// The record in `bytes`. It never panics, whatever the bytes.
pub fn decode_record(bytes: &[u8]) -> Result<AuditRecord, DecodeError> {
    AuditEntryRecord::decode(bytes).map_err(|_| malformed("audit record"))?.try_into()
}
