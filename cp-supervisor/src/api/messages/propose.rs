//! Commands and their verdicts; handing leadership over.

use super::{Position, Redirect, Refused};
use bytes::Bytes;
use prost::{Message, Oneof};

/// A catalog command for the leader.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ProposeRequest {
    /// 1: a membership change, 2: an ownership transition.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The catalog's encoding of the request, its id included.
    #[prost(bytes = "bytes", tag = "2")]
    pub request: Bytes,
    /// How long the node may wait for the verdict, in milliseconds.
    #[prost(uint64, tag = "3")]
    pub wait_ms: u64,
    /// The caller's number for it among those on its stream; the reply repeats it.
    #[prost(uint64, tag = "4")]
    pub number: u64,
}

/// What became of a command. Replies on a stream come in any order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ProposeReply {
    /// The number that the command came with.
    #[prost(uint64, tag = "5")]
    pub number: u64,
    /// The answer.
    #[prost(oneof = "ProposeResult", tags = "1, 2, 3, 4")]
    pub result: Option<ProposeResult>,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum ProposeResult {
    /// It is committed.
    #[prost(message, tag = "1")]
    Committed(Committed),
    /// It is in no log; ask there.
    #[prost(message, tag = "2")]
    Redirect(Redirect),
    /// It is in no log.
    #[prost(message, tag = "3")]
    Refused(Refused),
    /// It may or may not take effect; retry it under the same id.
    #[prost(message, tag = "4")]
    Unknown(Unknown),
}

/// A committed command.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Committed {
    /// Where.
    #[prost(message, required, tag = "1")]
    pub position: Position,
    /// The catalog's encoding of the verdict.
    #[prost(bytes = "bytes", tag = "2")]
    pub verdict: Bytes,
    /// For a membership change: whether the engine's quorum is as the state wants it.
    #[prost(bool, tag = "3")]
    pub settled: bool,
}

/// An outcome that is not known.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Unknown {
    /// What happened.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// Hands leadership over.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TransferRequest {
    /// To this member; if empty, to the voter that is furthest.
    #[prost(string, tag = "1")]
    pub to: String,
}

/// What became of a handover.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TransferReply {
    /// The answer.
    #[prost(oneof = "TransferResult", tags = "1, 2, 3")]
    pub result: Option<TransferResult>,
}

/// What became of a handover.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum TransferResult {
    /// This member leads now.
    #[prost(string, tag = "1")]
    Leader(String),
    /// Ask there.
    #[prost(message, tag = "2")]
    Redirect(Redirect),
    /// Nothing was handed over.
    #[prost(message, tag = "3")]
    Refused(Refused),
}
