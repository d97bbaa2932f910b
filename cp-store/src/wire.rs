//! The bodies of durable records. Tags are never reused.

use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Identity {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) cluster: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) generation_number: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) generation_id: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(crate) member: String,
    #[prost(uint64, tag = "5")]
    pub(crate) incarnation: u64,
    #[prost(string, tag = "6")]
    pub(crate) engine: String,
    /// Which set of files is this node's; see `file_set`.
    #[prost(uint32, tag = "7")]
    pub(crate) set: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Vote {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) granted_to: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) following: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Position {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Member {
    #[prost(uint64, tag = "1")]
    pub(crate) incarnation: u64,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    /// 1: data, 2: witness.
    #[prost(uint32, tag = "3")]
    pub(crate) kind: u32,
    #[prost(string, tag = "4")]
    pub(crate) address: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Configuration {
    #[prost(message, repeated, tag = "1")]
    pub(crate) voters: Vec<Member>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) outgoing: Vec<Member>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) learners: Vec<Member>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogRecord {
    #[prost(message, required, tag = "1")]
    pub(crate) position: Position,
    #[prost(oneof = "Body", tags = "2, 3, 4, 5")]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(bool, tag = "2")]
    Blank(bool),
    #[prost(bytes = "bytes", tag = "3")]
    Membership(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    Ownership(Bytes),
    #[prost(message, tag = "5")]
    Configuration(Configuration),
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct TermRun {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) first: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotMeta {
    #[prost(message, required, tag = "1")]
    pub(crate) position: Position,
    #[prost(message, required, tag = "2")]
    pub(crate) configuration: Configuration,
    #[prost(message, required, tag = "3")]
    pub(crate) configuration_at: Position,
    #[prost(message, repeated, tag = "4")]
    pub(crate) terms: Vec<TermRun>,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) digest: Vec<u8>,
}

/// Names a snapshot file and binds its contents through the hash of its footer.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotPointer {
    #[prost(string, tag = "1")]
    pub(crate) file: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) footer_hash: Vec<u8>,
    #[prost(message, required, tag = "3")]
    pub(crate) meta: SnapshotMeta,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Chunk {
    #[prost(uint32, tag = "1")]
    pub(crate) len: u32,
    #[prost(fixed32, tag = "2")]
    pub(crate) crc: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Footer {
    #[prost(message, required, tag = "1")]
    pub(crate) meta: SnapshotMeta,
    #[prost(message, repeated, tag = "2")]
    pub(crate) chunks: Vec<Chunk>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) body_hash: Vec<u8>,
}

/// The one record of redb besides the log: everything small, replaced as a whole.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct State {
    #[prost(uint64, tag = "1")]
    pub(crate) boot: u64,
    /// Which lap of the write-ahead segments is current: segment `lap % 2`.
    #[prost(uint64, tag = "2")]
    pub(crate) lap: u64,
    /// The last frame that redb has absorbed.
    #[prost(uint64, tag = "3")]
    pub(crate) seq: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) segment_bytes: u64,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) cluster: Vec<u8>,
    #[prost(uint64, tag = "6")]
    pub(crate) incarnation: u64,
    #[prost(message, required, tag = "7")]
    pub(crate) vote: Vote,
    #[prost(uint64, tag = "8")]
    pub(crate) committed: u64,
    #[prost(message, required, tag = "9")]
    pub(crate) purged: Position,
    #[prost(message, required, tag = "10")]
    pub(crate) last: Position,
    #[prost(message, required, tag = "11")]
    pub(crate) snapshot: SnapshotPointer,
}

/// One batch.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Change {
    #[prost(message, optional, tag = "1")]
    pub(crate) vote: Option<Vote>,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) truncate_from: Option<u64>,
    /// Sealed log records, as they will be in redb.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) append: Vec<Bytes>,
    #[prost(uint64, optional, tag = "4")]
    pub(crate) committed: Option<u64>,
    #[prost(message, optional, tag = "5")]
    pub(crate) snapshot: Option<SnapshotPointer>,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) compact_to: Option<u64>,
}

/// The batches of one frame.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Group {
    #[prost(message, repeated, tag = "1")]
    pub(crate) changes: Vec<Change>,
}

/// What a write-ahead segment says of itself.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Segment {
    #[prost(uint64, tag = "1")]
    pub(crate) lap: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) segment_bytes: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) cluster: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(crate) incarnation: u64,
}
