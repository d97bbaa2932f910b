//! A command on its way through the log, and the id that makes a retry safe.

use crate::access::Origin;
use crate::codec::{self, DecodeError};
use crate::command::Command;
use crate::id::{Epoch, GroupName};
use crate::level::FEATURE_LEVEL;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, PayloadTooLarge};
use std::fmt;

/// A client's random id, chosen once per life of the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a request, so that it takes effect at most once (CP-P5).
///
/// A retry carries the same id and gets the same verdict without a second
/// application. What is remembered of a client is bounded: a request that has
/// fallen out of it is refused as [`RequestRefusal::Expired`](crate::RequestRefusal::Expired),
/// never applied again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Whose request.
    pub client: ClientId,
    /// An index that had been applied when the client chose its id; the same in
    /// all its requests. It tells a client that is new from one that was forgotten.
    pub since: ControlPlaneLogIndex,
    /// Which of its requests, from 1.
    pub sequence: u64,
}

/// A command as it travels through the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id; without one, a retry may take effect twice.
    pub id: Option<RequestId>,
    /// The command.
    pub command: Command,
    /// Who asks, by the word of the node that took the request; below feature level 2
    /// nothing depends on it. An embedder that names nobody vouches for it itself.
    pub origin: Option<Origin>,
    /// By which authority a planner acts, if it acts by one; below feature level 2 nothing
    /// depends on it.
    pub claim: Option<AuthorityClaim>,
}

/// The placement authority by which a planner acts. Its request is refused as
/// [`GroupRefusal::StaleAuthority`](crate::GroupRefusal::StaleAuthority) once the authority has
/// moved, or if the request is about another group. A forced change is past it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityClaim {
    /// Of which group.
    pub group: GroupName,
    /// Under which epoch.
    pub epoch: Epoch,
}

impl Request {
    /// `command` under `id`.
    pub fn new(id: Option<RequestId>, command: impl Into<Command>) -> Self {
        Self { id, command: command.into(), origin: None, claim: None }
    }

    /// As asked by `origin`.
    #[must_use]
    pub fn of(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// As asked by the authority of `claim`.
    #[must_use]
    pub fn under(self, claim: AuthorityClaim) -> Self {
        Self { claim: Some(claim), ..self }
    }

    /// The entry that carries it, of the command's kind.
    pub fn to_entry(&self) -> Result<ControlPlaneEntry, PayloadTooLarge> {
        codec::encode_request(self)
    }

    /// The request in `entry`. It never panics, whatever the bytes.
    pub fn from_entry(entry: &ControlPlaneEntry) -> Result<Self, DecodeError> {
        codec::decode_request_at(FEATURE_LEVEL, entry)
    }
}
