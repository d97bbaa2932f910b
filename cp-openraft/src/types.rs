//! openraft's type parameters, bound to what the control plane speaks.
//!
//! The payload of an entry is what the store records: a blank, an entry of the
//! seam, or a whole configuration. openraft sees a configuration through a view
//! (who votes, who only receives), so names and addresses travel without
//! openraft's help and nothing is lost between log, wire and engine.

use crate::runtime::Runtime;
use crate::translate;
use cp_seam::{ControlPlaneEntry, LogPosition};
use cp_store::Configuration;
use openraft::entry::RaftPayload;
use openraft::raft::responder::Responder;
use openraft::{OptionalSend, RaftTypeConfig};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// One leader per term (CP-S1): the standard id, not the default one.
pub(crate) type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
pub(crate) type CommittedLeaderId = openraft::vote::leader_id_std::CommittedLeaderId<u64>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<u64, ()>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, ()>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, ()>;
pub(crate) type Snapshot<T> = openraft::Snapshot<CommittedLeaderId, u64, (), T>;

/// The binding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl RaftTypeConfig for Types {
    type D = Proposal;
    type R = ();
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = Reply<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Tells the proposer where its entry was put, from inside the append. It is
/// neither persisted nor sent: a copy that was read back tells nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Placed(Option<Arc<Mutex<Option<oneshot::Sender<LogPosition>>>>>);

impl Placed {
    /// The teller, and where it is heard.
    pub(crate) fn pair() -> (Self, oneshot::Receiver<LogPosition>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(Arc::new(Mutex::new(Some(sender))))), receiver)
    }

    /// Says that the entry is in the log at `position`.
    pub(crate) fn at(&self, position: LogPosition) {
        let Some(sender) = &self.0 else { return };
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if sender.is_some_and(|sender| sender.send(position).is_err()) {
            tracing::trace!(%position, "nobody waits for this position any more");
        }
    }
}

/// An entry on its way into the log.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) entry: ControlPlaneEntry,
    pub(crate) placed: Placed,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.entry.kind(), self.entry.payload().as_bytes().len())
    }
}

/// What an entry holds.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// A new leader's first entry.
    Blank,
    /// An entry of the seam.
    Entry(Proposal),
    /// A whole configuration.
    Configuration(Configuration, Placed),
    /// A membership that openraft made up by itself. It names nobody, so it is
    /// refused at the log; nothing here asks openraft for one.
    Bare(Membership),
}

impl Payload {
    pub(crate) fn placed(&self) -> Option<&Placed> {
        match self {
            Self::Entry(proposal) => Some(&proposal.placed),
            Self::Configuration(_, placed) => Some(placed),
            Self::Blank | Self::Bare(_) => None,
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::Entry(proposal) => proposal.fmt(f),
            Self::Configuration(configuration, _) => write!(f, "{}", translate::membership(configuration)),
            Self::Bare(membership) => membership.fmt(f),
        }
    }
}

impl RaftPayload for Payload {
    type D = Proposal;
    type NodeId = u64;
    type Node = ();

    fn blank() -> Self {
        Self::Blank
    }

    fn with_normal(self, data: Proposal) -> Self {
        Self::Entry(data)
    }

    /// openraft hands back the view of the configuration that it was given.
    fn with_membership(self, membership: Membership) -> Self {
        match self {
            Self::Configuration(configuration, placed) if translate::membership(&configuration) == membership => {
                Self::Configuration(configuration, placed)
            }
            _ => Self::Bare(membership),
        }
    }

    fn get_membership(&self) -> Option<Membership> {
        match self {
            Self::Configuration(configuration, _) => Some(translate::membership(configuration)),
            Self::Bare(membership) => Some(membership.clone()),
            Self::Blank | Self::Entry(_) => None,
        }
    }
}

/// Where the fate of a write is heard; silent if nobody listens any more, which
/// is the rule once the position is known.
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    pub(crate) fn pair() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }
}

impl<T: OptionalSend + 'static> Responder<Types, T> for Reply<T> {
    fn on_complete(self, result: T) {
        if self.0.send(result).is_err() {
            tracing::trace!("nobody waits for this write any more");
        }
    }
}
