//! The stream of committed changes.

use super::Position;
use bytes::Bytes;
use prost::{Message, Oneof};

/// Asks for committed changes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchRequest {
    /// From this index on; 0 for what comes from now on.
    #[prost(uint64, tag = "1")]
    pub from: u64,
    /// The generation that the index is of; if it is over, the answer is that the changes are compacted.
    #[prost(message, optional, tag = "2")]
    pub generation: Option<GenerationMessage>,
    /// Say also up to which index there is no more to tell of.
    #[prost(bool, tag = "3")]
    pub marks: bool,
}

/// A generation of the cluster.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GenerationMessage {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Its random id, 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub id: Vec<u8>,
}

/// A committed change, or why there is none.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchEvent {
    /// What it is.
    #[prost(oneof = "WatchItem", tags = "1, 2, 3, 4")]
    pub item: Option<WatchItem>,
}

/// A committed change, or why there is none.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum WatchItem {
    /// A committed command.
    #[prost(message, tag = "1")]
    Change(ChangeMessage),
    /// Some changes are no longer kept: read the state, then watch from the index given.
    #[prost(message, tag = "2")]
    Compacted(CompactedMessage),
    /// First: the generation that all indexes of the stream are of.
    #[prost(message, tag = "3")]
    Opened(GenerationMessage),
    /// If asked for: all up to this index has been told.
    #[prost(uint64, tag = "4")]
    Reached(u64),
}

/// A committed command.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChangeMessage {
    /// Where.
    #[prost(message, required, tag = "1")]
    pub position: Position,
    /// 1: a membership change, 2: an ownership transition. 0 if it could not be decoded.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The catalog's encoding of the request; empty if it could not be decoded.
    #[prost(bytes = "bytes", tag = "3")]
    pub request: Bytes,
    /// The catalog's encoding of the verdict.
    #[prost(bytes = "bytes", tag = "4")]
    pub verdict: Bytes,
    /// Whether it was a retry: the verdict is the earlier one and nothing changed.
    #[prost(bool, tag = "5")]
    pub repeated: bool,
}

/// Where a watch can begin.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CompactedMessage {
    /// The index to watch from once the state has been read.
    #[prost(uint64, tag = "1")]
    pub resume: u64,
    /// The generation that this index is of.
    #[prost(message, required, tag = "2")]
    pub generation: GenerationMessage,
}
