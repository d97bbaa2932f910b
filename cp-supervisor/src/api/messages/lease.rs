//! Leases, and gates that were closed.

use super::{GenerationMessage, RangeName, Redirect, Refused};
use prost::{Message, Oneof};

/// A member asks to have its leases renewed. Which member it is says its certificate.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RenewLeaseRequest {
    /// Which life of it.
    #[prost(uint64, tag = "1")]
    pub incarnation: u64,
    /// The generation that it is of.
    #[prost(message, required, tag = "2")]
    pub generation: GenerationMessage,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RenewLeaseReply {
    /// The answer.
    #[prost(oneof = "RenewLeaseResult", tags = "1, 2, 3, 4")]
    pub result: Option<RenewLeaseResult>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum RenewLeaseResult {
    /// It was granted.
    #[prost(message, tag = "1")]
    Renewed(RenewalMessage),
    /// Nothing was granted; ask there.
    #[prost(message, tag = "2")]
    Redirect(Redirect),
    /// Nothing was granted.
    #[prost(message, tag = "3")]
    Refused(Refused),
    /// Nothing was granted: an earlier life may hold a lease for so many nanoseconds.
    #[prost(uint64, tag = "4")]
    EarlierLife(u64),
}

/// A renewal for everything that the member owned at an index, with exceptions.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RenewalMessage {
    /// The term of the leader.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The index as of which it looked at what the member owns.
    #[prost(uint64, tag = "2")]
    pub as_of: u64,
    /// How long it lasts from when the request was sent, in nanoseconds.
    #[prost(uint64, tag = "3")]
    pub length_ns: u64,
    /// Whether it is for ranges only that the member has had a lease for, and those in `released`.
    #[prost(bool, tag = "4")]
    pub in_effect_only: bool,
    /// Ranges that it is not for, ascending.
    #[prost(message, repeated, tag = "5")]
    pub withheld: Vec<RangeName>,
    /// Ranges that it is for besides those in effect.
    #[prost(message, repeated, tag = "6")]
    pub released: Vec<ReleasedMessage>,
    /// After how many nanoseconds another will cover more.
    #[prost(uint64, optional, tag = "7")]
    pub more_in_ns: Option<u64>,
}

/// A range whose earlier owners are known to have stopped.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReleasedMessage {
    /// The range.
    #[prost(message, required, tag = "1")]
    pub range: RangeName,
    /// Under which epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// A member says that it has closed a gate. Which member it is says its certificate.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CloseGateRequest {
    /// Which life of it.
    #[prost(uint64, tag = "1")]
    pub incarnation: u64,
    /// The generation that it is of.
    #[prost(message, required, tag = "2")]
    pub generation: GenerationMessage,
    /// The range.
    #[prost(message, required, tag = "3")]
    pub range: RangeName,
    /// Under which epoch it closed.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// The term of its last write.
    #[prost(uint64, tag = "5")]
    pub last_term: u64,
    /// The sequence number of its last write.
    #[prost(uint64, tag = "6")]
    pub last_lsn: u64,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CloseGateReply {
    /// The answer.
    #[prost(oneof = "CloseGateResult", tags = "1, 2, 3")]
    pub result: Option<CloseGateResult>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum CloseGateResult {
    /// It was noted, and whether that matters.
    #[prost(bool, tag = "1")]
    Noted(bool),
    /// Nothing was noted; ask there.
    #[prost(message, tag = "2")]
    Redirect(Redirect),
    /// Nothing was noted.
    #[prost(message, tag = "3")]
    Refused(Refused),
}

/// Which ranges' new owners wait for an earlier one; the leader knows.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AwaitingQuery {}

/// Ranges whose new owners wait for an earlier one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AwaitingRanges {
    /// Up to the most that the node tells at once.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<AwaitingRange>,
    /// How long until the leases of earlier leaders are over, in nanoseconds: until then, all
    /// that moved waits unless a gate was closed for it.
    #[prost(uint64, tag = "2")]
    pub settles_in_ns: u64,
}

/// A range whose new owner waits for an earlier one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AwaitingRange {
    /// The range.
    #[prost(message, required, tag = "1")]
    pub range: RangeName,
    /// Its owner.
    #[prost(string, tag = "2")]
    pub owner: String,
    /// Its epoch.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Who may still write.
    #[prost(string, tag = "4")]
    pub earlier: String,
    /// For how long, in nanoseconds.
    #[prost(uint64, tag = "5")]
    pub remaining_ns: u64,
}
