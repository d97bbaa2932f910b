//! What is no request, or none any more.

use cp_seam::ControlPlaneLogIndex;

/// The request cannot be applied, whatever the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestRefusal {
    /// The payload is not a command.
    #[error("the payload is not a catalog command; encode it with the catalog's codec")]
    Undecodable,
    /// The payload is of a newer release.
    #[error("the command is of a newer release; upgrade every member first")]
    UnknownCommand,
    /// The command travels in the wrong kind of entry (CP-S4).
    #[error("the command travels in the wrong kind of entry; take the kind from the command")]
    WrongKind,
    /// The request is older than what is remembered of its client: it may have
    /// taken effect, and is not applied again (CP-P5).
    #[error("the request is no longer remembered, up to sequence {low_water}; read what it did before asking again")]
    Expired {
        /// Requests up to this sequence are forgotten; 0 if the whole client is.
        low_water: u64,
    },
    /// The client claims to start at an index that is not applied yet.
    #[error("the client claims to know index {since}, which was not applied yet; start it at an applied index")]
    ClientFromFuture {
        /// The index claimed.
        since: ControlPlaneLogIndex,
    },
    /// The client's id is in use with another starting point.
    #[error("the client id is in use by another client; take a fresh random one")]
    ClientIdTaken,
    /// A counter has no next value in this generation.
    #[error("a counter is used up; recover the cluster into a new generation")]
    Exhausted,
}
