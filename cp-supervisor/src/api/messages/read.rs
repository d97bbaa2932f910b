//! Questions about the state.

use super::{
    AuditPage, AuditQuery, Authorities, AuthoritiesQuery, AwaitingQuery, AwaitingRanges, Grants, GrantsQuery, Redirect,
    Refused,
};
use bytes::Bytes;
use prost::{Message, Oneof};

/// A question about the state.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReadRequest {
    /// Answer from this node as it is, without asking a quorum.
    #[prost(bool, tag = "1")]
    pub stale: bool,
    /// The question.
    #[prost(oneof = "Query", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub query: Option<Query>,
}

/// A question about the state.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Query {
    /// How this node is. Always this node's own view.
    #[prost(message, tag = "2")]
    Node(NodeQuery),
    /// All members.
    #[prost(message, tag = "3")]
    Members(MembersQuery),
    /// All collections.
    #[prost(message, tag = "4")]
    Collections(CollectionsQuery),
    /// The ranges of one collection or of all, a page at a time.
    #[prost(message, tag = "5")]
    Ranges(RangesQuery),
    /// The range that holds a key.
    #[prost(message, tag = "6")]
    Lookup(LookupQuery),
    /// The forced recoveries and restores.
    #[prost(message, tag = "7")]
    Recoveries(RecoveriesQuery),
    /// What was granted to whom.
    #[prost(message, tag = "8")]
    Grants(GrantsQuery),
    /// The audit, a page at a time.
    #[prost(message, tag = "9")]
    Audit(AuditQuery),
    /// Ranges whose new owner waits for an earlier one.
    #[prost(message, tag = "10")]
    Awaiting(AwaitingQuery),
    /// All placement authorities.
    #[prost(message, tag = "11")]
    Authorities(AuthoritiesQuery),
}

/// How this node is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct NodeQuery {}

/// All members.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MembersQuery {}

/// All collections.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CollectionsQuery {}

/// The forced recoveries and restores.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct RecoveriesQuery {}

/// Ranges, a page at a time, by collection and then by key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RangesQuery {
    /// Of this collection only.
    #[prost(string, optional, tag = "1")]
    pub collection: Option<String>,
    /// After this range (`collection/id`).
    #[prost(message, optional, tag = "2")]
    pub after: Option<RangeName>,
    /// At most this many; 0 leaves it to the node.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
    /// The one of this number only; the collection must be given.
    #[prost(uint64, optional, tag = "4")]
    pub only: Option<u64>,
}

/// The full name of a range.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RangeName {
    /// Its collection.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// Its number.
    #[prost(uint64, tag = "2")]
    pub id: u64,
}

/// The range that holds a key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LookupQuery {
    /// The collection.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// The user's key.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
}

/// The answer to a question.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReadReply {
    /// The index that the answer reflects.
    #[prost(uint64, tag = "1")]
    pub applied: u64,
    /// Whether it may be older than what was acknowledged.
    #[prost(bool, tag = "2")]
    pub stale: bool,
    /// The answer.
    #[prost(oneof = "ReadResult", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub result: Option<ReadResult>,
}

/// The answer to a question.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum ReadResult {
    /// Nothing was read; ask there.
    #[prost(message, tag = "3")]
    Redirect(Redirect),
    /// Nothing was read.
    #[prost(message, tag = "4")]
    Refused(Refused),
    /// How the node is.
    #[prost(message, tag = "5")]
    Node(Box<NodeStatus>),
    /// Members.
    #[prost(message, tag = "6")]
    Members(Members),
    /// Collections.
    #[prost(message, tag = "7")]
    Collections(Collections),
    /// Ranges.
    #[prost(message, tag = "8")]
    Ranges(Ranges),
    /// Forced recoveries and restores.
    #[prost(message, tag = "9")]
    Recoveries(Recoveries),
    /// Grants.
    #[prost(message, tag = "10")]
    Grants(Grants),
    /// A page of the audit.
    #[prost(message, tag = "11")]
    Audit(AuditPage),
    /// Ranges whose new owner waits for an earlier one.
    #[prost(message, tag = "12")]
    Awaiting(AwaitingRanges),
    /// Placement authorities.
    #[prost(message, tag = "13")]
    Authorities(Authorities),
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct NodeStatus {
    /// The cluster, in hexadecimal.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// The number of the cluster's generation.
    #[prost(uint32, tag = "2")]
    pub generation: u32,
    /// The node's name.
    #[prost(string, tag = "3")]
    pub member: String,
    /// Which life of it.
    #[prost(uint64, tag = "4")]
    pub incarnation: u64,
    /// The engine it runs.
    #[prost(string, tag = "5")]
    pub engine: String,
    /// leader, follower or candidate.
    #[prost(string, tag = "6")]
    pub role: String,
    /// The term.
    #[prost(uint64, tag = "7")]
    pub term: u64,
    /// Whom it follows.
    #[prost(string, optional, tag = "8")]
    pub leader: Option<String>,
    /// Where clients reach that.
    #[prost(string, optional, tag = "9")]
    pub leader_address: Option<String>,
    /// Whether it may accept proposals.
    #[prost(bool, tag = "10")]
    pub serving: bool,
    /// Its durable committed index.
    #[prost(uint64, tag = "11")]
    pub committed: u64,
    /// What it has applied.
    #[prost(uint64, tag = "12")]
    pub applied: u64,
    /// The digest of its state, in hexadecimal.
    #[prost(string, tag = "13")]
    pub digest: String,
    /// The index of that digest.
    #[prost(uint64, tag = "14")]
    pub digest_at: u64,
    /// Whether the engine's quorum is as the state wants it.
    #[prost(bool, tag = "15")]
    pub settled: bool,
    /// Why it has stopped.
    #[prost(string, optional, tag = "16")]
    pub stopped: Option<String>,
    /// The leader's books; empty elsewhere.
    #[prost(message, repeated, tag = "17")]
    pub progress: Vec<Progress>,
    /// Its release.
    #[prost(string, tag = "18")]
    pub version: String,
    /// The 8 random bytes of the cluster's generation.
    #[prost(bytes = "vec", tag = "19")]
    pub generation_id: Vec<u8>,
    /// The cluster's feature level, as this node knows it.
    #[prost(uint32, tag = "30")]
    pub feature_level: u32,
    /// The feature level that its release supports.
    #[prost(uint32, tag = "31")]
    pub supports_level: u32,
    /// Where its state was first seen to differ from that of a majority.
    #[prost(uint64, optional, tag = "32")]
    pub diverged_at: Option<u64>,
    /// The leases that it grants; absent where no leader is.
    #[prost(message, optional, tag = "33")]
    pub leases: Option<LeaseDesk>,
}

/// The leases that a leader grants.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseDesk {
    /// How long one is.
    #[prost(uint64, tag = "1")]
    pub length_ns: u64,
    /// How long until those of earlier leaders are over.
    #[prost(uint64, tag = "2")]
    pub settles_in_ns: u64,
    /// How many ranges wait for an earlier owner besides.
    #[prost(uint64, tag = "3")]
    pub awaiting: u64,
    /// How many renewals this node has granted since its start.
    #[prost(uint64, tag = "4")]
    pub granted: u64,
    /// The longest that any leader of the cluster grants.
    #[prost(uint64, tag = "5")]
    pub longest_ns: u64,
}

/// A leader's books on one member.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Progress {
    /// Its name.
    #[prost(string, tag = "1")]
    pub member: String,
    /// Which life of it.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// voter, outgoing or learner.
    #[prost(string, tag = "3")]
    pub standing: String,
    /// What it has acknowledged.
    #[prost(uint64, tag = "4")]
    pub matched: u64,
    /// How long ago it last acknowledged anything.
    #[prost(uint64, optional, tag = "5")]
    pub last_ack_ms: Option<u64>,
    /// Where its state was first seen to differ from that of a majority.
    #[prost(uint64, optional, tag = "6")]
    pub diverged_at: Option<u64>,
}

/// Members, each in the catalog's encoding.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Members {
    /// In ascending order of names.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub members: Vec<Bytes>,
    /// What each of them owns and holds, in the same order.
    #[prost(message, repeated, tag = "2")]
    pub holdings: Vec<HoldingsMessage>,
}

/// In how many ranges a member has each role.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct HoldingsMessage {
    /// It is the owner.
    #[prost(uint64, tag = "1")]
    pub owned: u64,
    /// It is a hot replica.
    #[prost(uint64, tag = "2")]
    pub replicas: u64,
    /// It is an archive replica.
    #[prost(uint64, tag = "3")]
    pub archives: u64,
}

/// Collections, each in the catalog's encoding.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Collections {
    /// In ascending order of names.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub collections: Vec<Bytes>,
}

/// Forced recoveries and restores, each in the catalog's encoding.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Recoveries {
    /// The oldest first.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub recoveries: Vec<Bytes>,
}

/// A range.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RangeItem {
    /// Its collection.
    #[prost(string, tag = "1")]
    pub collection: String,
    /// The catalog's encoding of the range.
    #[prost(bytes = "bytes", tag = "2")]
    pub range: Bytes,
}

/// Ranges.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Ranges {
    /// By collection, then by key.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<RangeItem>,
    /// Whether there are more.
    #[prost(bool, tag = "2")]
    pub more: bool,
}
