//! The stream of committed changes.

use super::Position;
use bytes::Bytes;
use prost::{Message, Oneof};

/// Asks for committed changes.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WatchRequest {
    /// From this index on; 0 for what comes from now on.
    #[prost(uint64, tag = "1")]
    pub from: u64,
}

/// A committed change, or why there is none.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchEvent {
    /// What it is.
    #[prost(oneof = "WatchItem", tags = "1, 2")]
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
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CompactedMessage {
    /// The index to watch from once the state has been read.
    #[prost(uint64, tag = "1")]
    pub resume: u64,
}
