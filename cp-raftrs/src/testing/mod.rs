//! A cluster in one process for the tests of this crate: real stores on memory
//! directories, the real driver, a network that can be cut, paused time.

mod audit;
mod cluster;
mod net;
mod state;

pub(crate) use cluster::{Cluster, entry, genesis};

use cp_seam::{Incarnation, MemberId, MemberKind, QuorumMember};
use cp_store::Configuration;

pub(crate) fn quorum_member(id: u64) -> QuorumMember {
    QuorumMember {
        incarnation: Incarnation(id),
        id: MemberId::new(&format!("m{id}")).expect("legal"),
        kind: MemberKind::Data,
        address: format!("m{id}:1"),
    }
}

pub(crate) fn configuration(
    voters: impl IntoIterator<Item = u64>,
    outgoing: impl IntoIterator<Item = u64>,
    learners: impl IntoIterator<Item = u64>,
) -> Configuration {
    Configuration {
        voters: voters.into_iter().map(quorum_member).collect(),
        outgoing: outgoing.into_iter().map(quorum_member).collect(),
        learners: learners.into_iter().map(quorum_member).collect(),
    }
}
