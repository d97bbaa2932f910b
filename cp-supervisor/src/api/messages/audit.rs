//! Who may do what, and who tried to.

use bytes::Bytes;
use prost::Message;

/// What was granted to whom.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GrantsQuery {}

/// The audit, a page at a time.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AuditQuery {
    /// Above this sequence.
    #[prost(uint64, tag = "1")]
    pub after: u64,
}

/// What was granted to whom, in ascending order of names.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Grants {
    /// Each.
    #[prost(message, repeated, tag = "1")]
    pub grants: Vec<GrantMessage>,
}

/// What was granted to one client.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GrantMessage {
    /// The client, the first label of its certificate.
    #[prost(string, tag = "1")]
    pub client: String,
    /// To read.
    #[prost(bool, tag = "2")]
    pub read: bool,
    /// To operate.
    #[prost(bool, tag = "3")]
    pub operate: bool,
    /// To force.
    #[prost(bool, tag = "4")]
    pub force: bool,
}

/// A page of the audit, and where its chain stands.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuditPage {
    /// Records in the catalog's encoding, the oldest first.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub records: Vec<Bytes>,
    /// How many records there have been.
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// The hash over all of them.
    #[prost(bytes = "vec", tag = "3")]
    pub head: Vec<u8>,
    /// How many of them are not kept any more.
    #[prost(uint64, tag = "4")]
    pub forgotten: u64,
    /// The hash over those.
    #[prost(bytes = "vec", tag = "5")]
    pub floor: Vec<u8>,
}
