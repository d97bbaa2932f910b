//! Snapshots: the driver carries the bytes; here is decided whether they are wanted.

use super::commands::Reply;
use super::core::Core;
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, Term};
use cp_store::Staged;
use prost::Message as _;

/// What goes with a snapshot: the term of the leader that sends it.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Header {
    #[prost(uint64, tag = "1")]
    pub(super) term: u64,
}

impl Core {
    /// A whole snapshot has come from `from`.
    pub(super) fn install(&mut self, from: Incarnation, header: Bytes, staged: Staged, reply: Reply<()>) {
        let (position, committed) = (staged.meta().position, self.log.committed());
        let term = match Header::decode(header) {
            Ok(header) if header.term <= super::wire::NUMBER_MAX => Term(header.term),
            _ => return reply.refuse("its header is damaged"),
        };
        if term > self.vote.term {
            self.enter(term);
        }
        if term < self.vote.term || term < position.term || self.reign().is_some() || !self.follow(from) {
            return reply.refuse(format!("{from} does not lead term {}", self.vote.term));
        }
        if position.index <= committed {
            return reply.refuse(format!("the log is already past {position}"));
        }
        self.log.install(staged);
        self.out.done = Some(reply);
    }

    /// A snapshot was built here: it becomes the current one, and the log is compacted.
    pub(super) fn adopt(&mut self, staged: Staged, compact_to: ControlPlaneLogIndex, reply: Reply<()>) {
        let position = staged.meta().position;
        if self.log.term_at(position.index) != Some(position.term) || position.index <= self.log.snapshot().index {
            return reply.refuse(format!("{position} is not newer than the snapshot at hand"));
        }
        self.log.install(staged);
        self.log.compact(compact_to.min(position.index));
        self.out.done = Some(reply);
    }
}
