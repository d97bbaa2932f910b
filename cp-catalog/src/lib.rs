//! The replicated state of the control plane: who is a member, and who may write
//! which range.
//!
//! A pure state machine: it has no clock, no I/O, no randomness, and nothing in
//! its behaviour depends on the iteration order of a hash map. The same entries
//! give the same state, the same verdicts and the same digest everywhere (CP-R3).
//!
//! | want | go to |
//! |---|---|
//! | ask for a change | [`command`], wrapped in a [`Request`], [`Request::to_entry`] |
//! | know what it did | [`CatalogMachine::verdict`], [`Verdict`], [`Refusal`] |
//! | read | [`CatalogMachine::read`], [`Catalog`] |
//! | plan a drain, a failover, a rebalance | [`plan`] |
//! | follow changes | [`CatalogMachine::changes_from`] |
//! | recover or restore one | [`Catalog::succeed`], [`Catalog::recoveries`] |
//! | found a cluster | [`Catalog::genesis`], [`Catalog::to_genesis`] |
//! | give it to an engine | [`CatalogMachine`], a `ControlPlaneStateMachine` |
//!
//! # How a command is decided
//!
//! Decisions look at an unchanged state and yield a refusal, or an effect and
//! edits; edits are committed in one place, which also keeps the digest and what
//! is derived. So a refused command has changed nothing but what is remembered of it:
//! its verdict for a retry, and the audit.
//!
//! # What it never holds
//!
//! User data (CP-S4), leases and gates (they are the data plane's), the engine's
//! own configuration (it holds the quorum that is *wanted*).

mod access;
mod apply;
mod audit;
pub mod bounds;
mod catalog;
pub mod codec;
mod collection;
mod collections;
pub mod command;
mod cow;
mod digest;
mod edit;
mod genesis;
mod hash;
mod hashed;
mod history;
mod holders;
pub mod id;
mod invariant;
mod lease;
mod level;
mod machine;
pub mod member;
mod membership;
mod order;
mod placements;
pub mod plan;
#[cfg(planted_bugs)]
mod planted;
pub mod range;
mod range_effect;
pub mod recovery;
mod refusal;
mod request;
mod session;
mod snapshot;
mod transition;
mod tree;
mod verdict;

pub use access::{ClientName, GRANT_COUNT_MAX, Origin, Principal, Privilege, Privileges};
pub use apply::Applied;
pub use audit::{AUDIT_COUNT_MAX, Action, AuditChain, AuditRecord, Disposition, REASON_LEN_MAX_BYTES};
pub use bounds::{BadBounds, BadValue, Bound, Bounds, Key, Mode, SLOT_COUNT, slot_key, slot_of};
pub use catalog::{Catalog, Holdings};
pub use codec::{DecodeError, decode_verdict, encode_verdict};
pub use command::{
    Admission, ClosedGate, Command, CopyEdit, Evidence, Joining, MembershipCommand, NewRange, OwnershipCommand,
    Restore, RestoreProof, Transfer,
};
pub use genesis::{BadGenesis, FoundingMember, Genesis};
pub use history::{Change, Changes};
pub use id::{
    BadName, Capability, CollectionName, DataPosition, Epoch, FailureDomain, Fence, GroupName, RangeId, RangeKey,
    TokenHash, Version,
};
pub use invariant::Violation;
pub use lease::{BadLongestLease, LongestLease};
pub use level::FEATURE_LEVEL;
pub use machine::{CatalogMachine, HISTORY_LEN_MAX};
pub use member::{Addresses, Features, Ineligible, Join, Locality, Member, MemberLife, Service, Voting};
pub use range::{Authority, CollectionSpec, Copies, Move, MovePhase, Placement, Range, RangeStanding, Role};
pub use range_effect::RangeEffect;
pub use recovery::{BadRecovery, Cause, Recovery, Successor};
pub use refusal::{
    AccessRefusal, CopyLimit, EvidenceRefusal, GroupRefusal, HolderRefusal, MemberRefusal, Merged, Refusal,
    RequestRefusal, ShapeRefusal, StandingRange, StandingRefusal,
};
pub use request::{AuthorityClaim, ClientId, Request, RequestId};
pub use session::{CLIENT_COUNT_MAX, CLIENT_IDLE_MAX_ENTRIES, REPLY_COUNT_MAX, REPLY_TOTAL_MAX};
pub use snapshot::SNAPSHOT_FORMAT;
pub use verdict::{Effect, Verdict};
