//! The control-plane consensus seam: everything a database may assume about the
//! engine that orders its membership changes and ownership transitions, and
//! everything an engine may assume about its host.
//!
//! The boundary has three sides, each one file:
//!
//! | side | file | who implements | who calls |
//! |---|---|---|---|
//! | what the engine offers | [`consensus`] | an engine adapter | the supervisor |
//! | what the engine is given | [`host`], [`transport`] | the host | the adapter |
//! | the election half | [`election`] | a durable store | adapters and the reference model |
//!
//! # What travels through it (CP-S4)
//!
//! [`ControlPlaneEntry`] is closed over exactly two kinds: a membership change
//! and an ownership transition. There is no variant for user data, and nothing
//! in a user write waits for this log. A downstream `match` needs no wildcard:
//!
//! ```
//! use cp_seam::ControlPlaneEntry;
//!
//! fn label(entry: &ControlPlaneEntry) -> &'static str {
//!     match entry {
//!         ControlPlaneEntry::MembershipChange(_) => "membership",
//!         ControlPlaneEntry::OwnershipTransition(_) => "ownership",
//!     }
//! }
//! ```
//!
//! # Positions
//!
//! The first entry is at index 1. Index 0 is genesis (the founding state) and is
//! not a log record. A [`LogPosition`] is a term and an index: an index alone
//! names a slot, a position names what was put there.
//!
//! # What this crate never holds
//!
//! An engine, a runtime, I/O, a clock, randomness.

pub mod consensus;
pub mod election;
pub mod entry;
pub mod ext;
pub mod host;
pub mod id;
#[cfg(planted_bugs)]
pub mod planted;
pub mod transport;

pub use consensus::{
    ControlPlaneConsensus, ControlPlaneRole, ControlPlaneStatus, ControlPlaneWatch, MemberProgress, Outcome,
    ProposeError, ProposeRefusal, ReadError, ReadPoint, ShutdownError, Standing, TransferError, WatchClosed,
};
pub use election::{LastVote, LastVoteStore, Member, MemberKind, VoteStoreError, quorum_threshold};
pub use entry::{ControlPlaneEntry, ControlPlaneEntryKind, ControlPlanePayload, PayloadTooLarge};
pub use ext::{ControlPlaneConsensusExt, SettleError};
pub use host::{
    ControlPlaneStateMachine, Halt, Quorum, QuorumMember, SnapshotError, SnapshotReader, SnapshotWriter, StateDigest,
};
pub use id::{BadMemberId, ClusterId, ControlPlaneLogIndex, Generation, Incarnation, LogPosition, MemberId, Term};
pub use transport::{Lane, PeerHello, PeerReceiver, PeerRefusal, PeerTransport, SendRefusal, WireVersions};

/// Each trait of the boundary is used behind a pointer, so each must stay dyn-compatible.
const _: () = {
    const fn dyn_compatible<T: ?Sized + Send>() {}
    dyn_compatible::<dyn ControlPlaneConsensus>();
    dyn_compatible::<dyn ControlPlaneWatch>();
    dyn_compatible::<dyn ControlPlaneStateMachine>();
    dyn_compatible::<dyn SnapshotReader>();
    dyn_compatible::<dyn SnapshotWriter>();
    dyn_compatible::<dyn PeerTransport>();
    dyn_compatible::<dyn PeerReceiver>();
    dyn_compatible::<dyn LastVoteStore>();
};
