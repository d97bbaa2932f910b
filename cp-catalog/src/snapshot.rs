//! The whole state in chunks, and back. The same state gives the same bytes.
//!
//! Records come in a fixed order: what there is one of, forced recoveries, grants, the audit, members, authorities,
//! each collection with its ranges and retired ids, each client with its
//! replies. Chunks are numbered and the last one says so.

mod builder;
mod capture;
mod loading;

pub(crate) use builder::Builder;
pub(crate) use capture::{CHUNK_SOFT_MAX_BYTES, Capture};

use crate::codec::audit::{AuditChainRecord, AuditEntryRecord, GrantRecord};
use crate::codec::record::{
    AuthorityRecord, ClientRecord, CollectionRecord, MemberRecord, MetaRecord, RangeRecord, ReplyRecord,
};
use crate::codec::recovery::RecoveryRecord;
use prost::{Message, Oneof};

/// The format that this release writes, and the newest that it reads.
pub const SNAPSHOT_FORMAT: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Chunk {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    ordinal: u64,
    #[prost(bool, tag = "3")]
    last: bool,
    #[prost(message, repeated, tag = "4")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Body {
    #[prost(message, tag = "1")]
    Meta(MetaRecord),
    #[prost(message, tag = "2")]
    Member(MemberRecord),
    #[prost(message, tag = "3")]
    Authority(AuthorityRecord),
    #[prost(message, tag = "4")]
    Collection(CollectionRecord),
    /// Of the last collection before it.
    #[prost(message, tag = "5")]
    Range(RangeRecord),
    /// Of the last collection before it.
    #[prost(uint64, tag = "6")]
    Retired(u64),
    #[prost(message, tag = "7")]
    Client(ClientRecord),
    /// Of the last client before it.
    #[prost(message, tag = "8")]
    Reply(ReplyRecord),
    #[prost(message, tag = "9")]
    Recovery(RecoveryRecord),
    #[prost(message, tag = "10")]
    Grant(GrantRecord),
    #[prost(message, tag = "11")]
    AuditChain(AuditChainRecord),
    /// Of the chain before it.
    #[prost(message, tag = "12")]
    Audit(AuditEntryRecord),
    /// Of the last collection before it.
    #[prost(message, tag = "13")]
    Merged(MergedRecord),
}

/// An id that was retired and the range that took it over; below feature level 2 only the id was noted.
#[derive(Clone, Copy, PartialEq, Message)]
struct MergedRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    into: u64,
}
