//! The encoding of everything that the catalog puts into the log and into
//! snapshots: protobuf messages, written by hand, under one version number.
//!
//! Rules: a field's number and meaning never change; an absent message or a zero
//! in a place that needs a value is malformed; a change that an older release
//! could misread raises [`VERSION`], so that the older release refuses it. The
//! bytes of a value are the same on every member: they are hashed.

pub(crate) mod audit;
pub(crate) mod canonical;
mod direct;
mod fencing;
mod membership;
mod meta;
mod ownership;
mod public;
pub(crate) mod range;
pub(crate) mod record;
pub(crate) mod recovery;
mod restore;
mod skipped;
pub(crate) mod value;
mod verdict;

pub use audit::{decode_record as decode_audit, encode_record as encode_audit};
pub(crate) use direct::{Names, read_request};
pub use public::{
    decode_collection, decode_member, decode_range, decode_recovery, encode_collection, encode_member, encode_range,
    encode_recovery,
};
pub use verdict::{decode_verdict, encode_verdict};
pub(crate) use verdict::{refusal_code, without_hints};

use crate::access::Origin;
use crate::bounds::BadValue;
use crate::command::Command;
use crate::id::Epoch;
use crate::request::{AuthorityClaim, ClientId, Request, RequestId};
use cp_seam::{
    BadMemberId, ControlPlaneEntry, ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, PayloadTooLarge,
};
use prost::Message;
use std::borrow::Cow;

/// The version that this release writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// Why bytes are not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They are no message at all, or a field is missing or out of its set.
    #[error("{what} is missing or malformed; encode it with the catalog's codec")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// A field holds a value that is not allowed.
    #[error("{what} holds a value that is not allowed")]
    Value {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: BadValue,
    },
    /// A field holds a text that is no member id.
    #[error("{what} is no member id")]
    Member {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: BadMemberId,
    },
    /// A newer release wrote them.
    #[error(
        "they are of version {found}, or hold a command unknown to this release, which reads up to version {VERSION}; upgrade it"
    )]
    Newer {
        /// The version.
        found: u32,
    },
    /// The entry is of one kind and the command of the other (CP-S4).
    #[error("the command travels in the wrong kind of entry; take the kind from the command")]
    WrongKind,
}

pub(crate) const fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

/// A payload. Every release knows the first four fields; one without feature level 2 skips what is
/// attached, from the fifth on.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    id: Option<RequestIdMessage>,
    #[prost(message, optional, tag = "3")]
    membership: Option<membership::Membership>,
    #[prost(message, optional, tag = "4")]
    ownership: Option<ownership::Ownership>,
    #[prost(message, optional, tag = "5")]
    origin: Option<audit::OriginMessage>,
    #[prost(message, optional, tag = "6")]
    claim: Option<ClaimMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ClaimMessage {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(uint64, tag = "2")]
    epoch: u64,
}

#[derive(Clone, PartialEq, Message)]
struct RequestIdMessage {
    #[prost(bytes = "vec", tag = "1")]
    client: Vec<u8>,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
}

pub(crate) fn encode_request(request: &Request) -> Result<ControlPlaneEntry, PayloadTooLarge> {
    let id = request.id.map(|RequestId { client, since, sequence }| RequestIdMessage {
        client: client.0.to_vec(),
        since: since.0,
        sequence,
    });
    let (membership, ownership) = match &request.command {
        Command::Membership(command) => (Some(command.into()), None),
        Command::Ownership(command) => (None, Some(command.into())),
    };
    let origin = request.origin.as_ref().map(Into::into);
    let claim = request.claim.as_ref().map(Into::into);
    let bytes = Envelope { version: VERSION, id, membership, ownership, origin, claim }.encode_to_vec();
    Ok(request.command.kind().entry(ControlPlanePayload::new(bytes)?))
}

/// The request as a cluster at `level` reads it: below feature level 2 as a release reads it that
/// knows neither the commands of that level nor anything attached.
pub(crate) fn decode_request_at(level: u32, entry: &ControlPlaneEntry) -> Result<Request, DecodeError> {
    let payload = &**entry.payload().as_bytes();
    let known = match level {
        0 | 1 => Cow::Owned(skipped::without_level_2(payload)),
        _ => Cow::Borrowed(payload),
    };
    let (request, attached) = match Envelope::decode(&*known) {
        Ok(mut envelope) => {
            let attached = (envelope.origin.take(), envelope.claim.take());
            (command_of(entry.kind(), envelope)?, decode_attached(attached))
        }
        // What is attached may be all that is malformed: only a release that knows it says so.
        Err(_) => {
            let envelope = Envelope::decode(&*skipped::without_attached(&known)).map_err(|_| malformed("payload"))?;
            (command_of(entry.kind(), envelope)?, Err(malformed("what is attached")))
        }
    };
    match attached {
        Ok((origin, claim)) => Ok(Request { origin, claim, ..request }),
        Err(_) if level < 2 => Ok(request),
        Err(error) => Err(error),
    }
}

fn decode_attached(
    (origin, claim): (Option<audit::OriginMessage>, Option<ClaimMessage>),
) -> Result<(Option<Origin>, Option<AuthorityClaim>), DecodeError> {
    Ok((origin.map(TryInto::try_into).transpose()?, claim.map(TryInto::try_into).transpose()?))
}

fn command_of(kind: ControlPlaneEntryKind, envelope: Envelope) -> Result<Request, DecodeError> {
    match envelope.version {
        0 => return Err(malformed("version")),
        1..=VERSION => {}
        found => return Err(DecodeError::Newer { found }),
    }
    let id = envelope.id.map(RequestId::try_from).transpose()?;
    let command = match (envelope.membership, envelope.ownership) {
        (Some(command), None) => Command::Membership(command.try_into()?),
        (None, Some(command)) => Command::Ownership(command.try_into()?),
        (None, None) => return Err(DecodeError::Newer { found: envelope.version }),
        (Some(_), Some(_)) => return Err(malformed("command")),
    };
    if command.kind() != kind {
        return Err(DecodeError::WrongKind);
    }
    Ok(Request { id, command, origin: None, claim: None })
}

impl From<&AuthorityClaim> for ClaimMessage {
    fn from(claim: &AuthorityClaim) -> Self {
        Self { group: claim.group.as_str().to_owned(), epoch: claim.epoch.0 }
    }
}

impl TryFrom<ClaimMessage> for AuthorityClaim {
    type Error = DecodeError;

    fn try_from(claim: ClaimMessage) -> Result<Self, DecodeError> {
        Ok(Self { group: value::group_name(&claim.group)?, epoch: Epoch(claim.epoch) })
    }
}

impl TryFrom<RequestIdMessage> for RequestId {
    type Error = DecodeError;

    fn try_from(id: RequestIdMessage) -> Result<Self, DecodeError> {
        Ok(Self {
            client: ClientId(value::fixed(&id.client, "client id")?),
            since: ControlPlaneLogIndex(id.since),
            sequence: id.sequence,
        })
    }
}
