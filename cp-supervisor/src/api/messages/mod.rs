//! The messages of the client API, `cp.v1`.
//!
//! Commands, verdicts and records travel in the catalog's own encoding, so that
//! there is one definition of each; what is about nodes is defined here. Field
//! numbers are never reused.

mod audit;
mod authority;
mod join;
mod lease;
mod propose;
mod read;
mod snapshot;
mod watch;

pub use audit::*;
pub use authority::*;
pub use join::*;
pub use lease::*;
pub use propose::*;
pub use read::*;
pub use snapshot::*;
pub use watch::*;

use prost::Message;

/// A position in the log.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Position {
    /// The term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The index.
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// Where else to ask.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Redirect {
    /// The leader, if known.
    #[prost(string, optional, tag = "1")]
    pub leader: Option<String>,
    /// Its client address, if known.
    #[prost(string, optional, tag = "2")]
    pub address: Option<String>,
}

/// Nothing was done, and why.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Refused {
    /// The reason, for programs.
    #[prost(enumeration = "RefusedCode", tag = "1")]
    pub code: i32,
    /// The reason, for people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// Why a node did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, prost::Enumeration)]
pub enum RefusedCode {
    /// Not given.
    Unspecified = 0,
    /// The leader is out of touch with its quorum.
    NoQuorum = 1,
    /// The leader's disk has stalled.
    DiskStalled = 2,
    /// Too many requests wait.
    Busy = 3,
    /// The node has stopped.
    Stopped = 4,
    /// The request makes no sense.
    Invalid = 5,
    /// The log no longer reaches back to there.
    Compacted = 6,
    /// The target did not take over.
    NotTaken = 7,
    /// Whoever asks lacks a privilege.
    Denied = 8,
    /// Whoever asks was denied too often of late.
    RateLimited = 9,
    /// Whoever asks is no member, or in another life by now.
    NotAMember = 10,
}
