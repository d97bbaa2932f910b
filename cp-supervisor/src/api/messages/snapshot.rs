//! How a client takes a backup of the state.

use super::{GenerationMessage, Position, Redirect, Refused};
use bytes::Bytes;
use prost::{Message, Oneof};

/// A backup of the state is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct SnapshotRequest {
    /// Give this node's state as it is, without asking a quorum.
    #[prost(bool, tag = "1")]
    pub stale: bool,
}

/// A piece of the answer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SnapshotPiece {
    /// What it is.
    #[prost(oneof = "SnapshotItem", tags = "1, 2, 3, 4, 5")]
    pub item: Option<SnapshotItem>,
}

/// A piece of the answer.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum SnapshotItem {
    /// Ask there.
    #[prost(message, tag = "1")]
    Redirect(Redirect),
    /// There is none, and why.
    #[prost(message, tag = "2")]
    Refused(Refused),
    /// First: what the state is.
    #[prost(message, tag = "3")]
    Header(Box<SnapshotHeader>),
    /// Then: the state, piece by piece.
    #[prost(bytes = "bytes", tag = "4")]
    Body(Bytes),
    /// Last: how many pieces there were. A stream without it was cut.
    #[prost(uint64, tag = "5")]
    Ended(u64),
}

/// What a state is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SnapshotHeader {
    /// The cluster, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub cluster: Vec<u8>,
    /// The generation.
    #[prost(message, required, tag = "2")]
    pub generation: GenerationMessage,
    /// Whose state it is.
    #[prost(string, tag = "3")]
    pub member: String,
    /// The engine that it runs.
    #[prost(string, tag = "4")]
    pub engine: String,
    /// What the state includes.
    #[prost(message, required, tag = "5")]
    pub position: Position,
    /// The history of terms: each a term and the first index that has it.
    #[prost(message, repeated, tag = "6")]
    pub terms: Vec<Position>,
    /// The digest of the state, 32 bytes.
    #[prost(bytes = "vec", tag = "7")]
    pub digest: Vec<u8>,
}
