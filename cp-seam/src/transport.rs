//! What an engine is given: frames to and from the other members.

use crate::host::QuorumMember;
use crate::id::{ClusterId, Generation, Incarnation, LogPosition, MemberId};
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;

/// Carries opaque frames to members: one-way, at most once.
///
/// A frame may be lost, delayed or reordered, and is never altered and never
/// attributed to another sender: the transport has proved who is at the other
/// end. An engine that wants request and response correlates them itself.
pub trait PeerTransport: Debug + Send + Sync + 'static {
    /// Delivers inbound frames to `receiver` from now on, replacing any earlier
    /// one. The transport keeps no node alive: it drops the receiver at
    /// [`detach`](Self::detach).
    fn attach(&self, receiver: Arc<dyn PeerReceiver>);

    /// Stops delivering and drops the receiver and all connections.
    fn detach(&self);

    /// Replaces the set of members that are served; frames to and from any
    /// other are refused. Idempotent. Calls nothing of the receiver's meanwhile.
    fn serve(&self, peers: Vec<QuorumMember>);

    /// Queues `frame` for the member of this incarnation, and returns at once.
    ///
    /// `Ok` says that it was queued, not that it will arrive. The frame is at
    /// most [`FRAME_MAX_BYTES`] long.
    fn send(&self, to: Incarnation, lane: Lane, frame: Bytes) -> Result<(), SendRefusal>;
}

/// The longest frame: 4 MiB.
pub const FRAME_MAX_BYTES: usize = 4 << 20;

/// Which queue a frame takes, so that bulk never holds up an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes, heartbeats, acknowledgements, appends.
    Consensus,
    /// Snapshot chunks.
    Bulk,
}

/// A frame that was not queued. It is lost; the engine's own retries cover that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendRefusal {
    /// No member of this incarnation is served.
    #[error("member {0} is not served")]
    UnknownPeer(Incarnation),
    /// Its queue is full.
    #[error("the queue to member {0} is full")]
    Full(Incarnation),
    /// The frame exceeds [`FRAME_MAX_BYTES`].
    #[error("a frame of {0} bytes exceeds the limit of {FRAME_MAX_BYTES}")]
    TooLong(usize),
    /// The transport is detached.
    #[error("the transport is closed")]
    Closed,
}

/// The node behind a transport.
pub trait PeerReceiver: Debug + Send + Sync + 'static {
    /// What this node says of itself when it connects or is connected to.
    fn hello(&self) -> PeerHello;

    /// Whether to talk to the node that said `hello` and whose member id TLS has
    /// proved (CP-M3). Called before its first frame, at both ends, with no lock of the
    /// transport held: what `hello` says may have the receiver [serve](PeerTransport::serve)
    /// other members.
    fn admit(&self, hello: &PeerHello) -> Result<(), PeerRefusal>;

    /// Takes a frame from a member that was admitted. Does not block.
    fn receive(&self, from: Incarnation, frame: Bytes);
}

/// A node's account of itself, exchanged before the first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHello {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its cluster's generation.
    pub generation: Generation,
    /// Its name.
    pub member: MemberId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The engine it runs; engines do not mix in a running cluster.
    pub engine: String,
    /// Which versions of the engine's frames it reads.
    pub wire_versions: WireVersions,
    /// How often its store has been opened. A node of which a peer has seen a later
    /// life has been put back to an older copy and is refused.
    pub boot: u64,
    /// The end of its durable log. A node behind what it has acknowledged to a
    /// peer has lost its disk and is refused.
    pub tail: LogPosition,
    /// Who the members are by the newest configuration in its log, in its driver's encoding;
    /// opaque to a transport. A node that was away hears so of members that came meanwhile,
    /// the leader among them (CP-L1). Empty: it says nothing of them.
    pub members: Bytes,
}

/// The versions of an engine's frames that a release reads.
///
/// Two nodes talk if they have one in common. A release that brings a new version
/// goes on writing the old one until the feature level says that every member reads
/// the new, so that releases can be replaced member by member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WireVersions {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl WireVersions {
    /// One version alone.
    pub const fn only(version: u32) -> Self {
        Self { oldest: version, newest: version }
    }

    /// Whether there is a version that both read.
    pub const fn overlap(self, other: Self) -> bool {
        self.oldest <= other.newest && other.oldest <= self.newest
    }
}

impl std::fmt::Display for WireVersions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self { oldest, newest } if oldest == newest => write!(f, "{newest}"),
            Self { oldest, newest } => write!(f, "{oldest} to {newest}"),
        }
    }
}

/// Why a node is not talked to. The reason goes to both ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerRefusal {
    /// It belongs to another cluster.
    #[error(
        "{member} belongs to cluster {theirs}, this is cluster {ours}; check its data directory and peer addresses"
    )]
    Cluster {
        /// The node.
        member: MemberId,
        /// Its cluster.
        theirs: ClusterId,
        /// This cluster.
        ours: ClusterId,
    },
    /// It belongs to another generation of this cluster.
    #[error("{member} is of generation {theirs:?}, this is generation {ours:?}; wipe the older one and let it rejoin")]
    Generation {
        /// The node.
        member: MemberId,
        /// Its generation.
        theirs: Generation,
        /// This generation.
        ours: Generation,
    },
    /// It runs another engine.
    #[error("{member} runs engine {theirs}, this node runs {ours}; start all members with the same --engine")]
    Engine {
        /// The node.
        member: MemberId,
        /// Its engine.
        theirs: String,
        /// This node's engine.
        ours: String,
    },
    /// It reads no version of the frames that this node reads.
    #[error("{member} speaks wire version {theirs}, this node {ours}; upgrade the older one")]
    WireVersion {
        /// The node.
        member: MemberId,
        /// Its versions.
        theirs: WireVersions,
        /// This node's versions.
        ours: WireVersions,
    },
    /// It is no member, or another life of one.
    #[error("{member} {incarnation} is not a member of this cluster; admit it with `member add`")]
    NotAMember {
        /// The node.
        member: MemberId,
        /// The life it claims.
        incarnation: Incarnation,
    },
    /// Its log is shorter than what it has acknowledged to this node.
    #[error(
        "{member} has a log up to {tail}, but acknowledged up to {acknowledged}; its disk has lost data: wipe it and let it rejoin as a new incarnation"
    )]
    Amnesia {
        /// The node.
        member: MemberId,
        /// Where its log ends.
        tail: LogPosition,
        /// What it has acknowledged.
        acknowledged: LogPosition,
    },
    /// It has been opened less often than when it was last talked to.
    #[error(
        "{member} has been opened {boot} times, but had been {seen} times before; its directory was put back to an older copy: wipe it and let it rejoin as a new incarnation"
    )]
    PutBack {
        /// The node.
        member: MemberId,
        /// How often it says that it has been opened.
        boot: u64,
        /// How often it had said before.
        seen: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_common_are_enough() {
        let of = |oldest, newest| WireVersions { oldest, newest };
        for (a, b, talk) in [
            (of(1, 1), of(1, 1), true),
            (of(1, 1), of(1, 2), true),
            (of(1, 2), of(2, 3), true),
            (of(1, 3), of(2, 2), true),
            (of(1, 1), of(2, 2), false),
            (of(1, 2), of(3, 4), false),
        ] {
            assert_eq!((a.overlap(b), b.overlap(a)), (talk, talk), "{a} and {b}");
        }
        assert_eq!([of(1, 1), of(1, 2)].map(|versions| versions.to_string()), ["1", "1 to 2"]);
    }
}
