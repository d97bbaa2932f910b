//! How an admitted member gets the state to start from.

use super::{Position, Redirect, Refused, SnapshotHeader};
use bytes::Bytes;
use prost::{Message, Oneof};

/// An admitted member comes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JoinRequest {
    /// Its token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Its name; must be its certificate's.
    #[prost(string, tag = "2")]
    pub member: String,
    /// Where its peers will reach it.
    #[prost(string, tag = "3")]
    pub peer_address: String,
    /// Where clients will reach it.
    #[prost(string, tag = "4")]
    pub client_address: String,
    /// Where health and metrics are served.
    #[prost(string, tag = "5")]
    pub http_address: String,
    /// Its random client id, the same in every retry.
    #[prost(bytes = "bytes", tag = "6")]
    pub client: Bytes,
    /// An index that had been applied when it chose that, the same in every retry.
    #[prost(uint64, tag = "7")]
    pub since: u64,
    /// The feature level that its release supports.
    #[prost(uint32, tag = "8")]
    pub feature_level: u32,
}

/// A piece of the answer to a join.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JoinChunk {
    /// What it is.
    #[prost(oneof = "JoinItem", tags = "1, 2, 3, 4")]
    pub item: Option<JoinItem>,
}

/// A piece of the answer to a join.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum JoinItem {
    /// Ask there.
    #[prost(message, tag = "1")]
    Redirect(Redirect),
    /// Not let in, and why.
    #[prost(message, tag = "2")]
    Refused(Refused),
    /// First: who the joiner is, and what the chunks restore to.
    #[prost(message, tag = "3")]
    Welcome(Box<Welcome>),
    /// Then: the state, piece by piece.
    #[prost(bytes = "bytes", tag = "4")]
    Body(Bytes),
}

/// Who a joiner is, and the snapshot that it starts from.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Welcome {
    /// What the snapshot is, by the member that gives it.
    #[prost(message, required, tag = "1")]
    pub state: SnapshotHeader,
    /// The joiner's incarnation.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// The engine's configuration there.
    #[prost(message, required, tag = "3")]
    pub configuration: WireConfiguration,
    /// Where that was recorded.
    #[prost(message, required, tag = "4")]
    pub configuration_at: Position,
    /// How many pieces follow.
    #[prost(uint64, tag = "5")]
    pub chunks: u64,
}

/// An engine's configuration.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WireConfiguration {
    /// The incoming voters.
    #[prost(message, repeated, tag = "1")]
    pub voters: Vec<WireMember>,
    /// The outgoing voters of a joint one.
    #[prost(message, repeated, tag = "2")]
    pub outgoing: Vec<WireMember>,
    /// The learners.
    #[prost(message, repeated, tag = "3")]
    pub learners: Vec<WireMember>,
}

/// One life of a member, in a configuration.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WireMember {
    /// Which life of it.
    #[prost(uint64, tag = "1")]
    pub incarnation: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Whether it is a witness.
    #[prost(bool, tag = "3")]
    pub witness: bool,
    /// Where its peers reach it.
    #[prost(string, tag = "4")]
    pub address: String,
}
