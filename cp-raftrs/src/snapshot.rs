//! Snapshots: the engine says when, the driver carries the bytes, and the loop puts
//! them in at the point where the engine can take them.

use crate::commands::Reply;
use crate::core::{Core, Stop};
use crate::translate;
use bytes::Bytes;
use cp_driver::EngineError;
use cp_seam::{ControlPlaneLogIndex, Incarnation};
use cp_store::{Batch, Rejected, SnapshotMeta, Staged, Ticket};
use prost::Message as _;
use raft::SnapshotStatus;
use raft::eraftpb::{Message, MessageType, Snapshot, SnapshotMetadata};

/// What goes with a snapshot: who leads, and how far the snapshot must reach.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Header {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

/// A transfer that has ended.
#[derive(Debug)]
pub(crate) struct Sent {
    to: u64,
    serial: u64,
    term: u64,
    arrived: bool,
}

/// The engine's form of a snapshot: metadata, no body.
pub(crate) fn announcement(meta: &SnapshotMeta) -> Snapshot {
    let (index, term) = (meta.position.index.0, meta.position.term.0);
    let mut metadata = SnapshotMetadata { index, term, ..SnapshotMetadata::default() };
    metadata.set_conf_state(translate::conf_state(&meta.configuration));
    let mut snapshot = Snapshot::default();
    snapshot.set_metadata(metadata);
    snapshot
}

impl Core {
    /// Sends the store's snapshot in place of the engine's message, beside the loop.
    pub(crate) fn send_snapshot(&mut self, message: &Message) {
        let (to, term) = (message.to, message.term);
        let header = Header { term, index: message.get_snapshot().get_metadata().index };
        self.transfers += 1;
        let serial = self.transfers;
        self.sending.insert(to, serial);
        let host = self.host.clone();
        self.sends.spawn(cp_driver::of_node(async move {
            let sent = host.send_snapshot(Incarnation(to), header.encode_to_vec().into()).await;
            if let Err(error) = &sent {
                tracing::debug!(error = cp_driver::chain(error), "a snapshot was not sent");
            }
            Sent { to, serial, term, arrived: sent.is_ok() }
        }));
    }

    /// Tells the engine how a transfer ended: until then it sends that peer nothing.
    /// A transfer that another took the place of, or of an earlier term, says nothing.
    pub(crate) fn snapshot_sent(&mut self, sent: Sent) {
        if self.sending.get(&sent.to) != Some(&sent.serial) {
            return;
        }
        self.sending.remove(&sent.to);
        if self.leads() && self.node.raft.term == sent.term {
            let status = if sent.arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            self.node.report_snapshot(sent.to, status);
        }
    }

    /// Installs a snapshot that a leader sent. The engine decides whether it is still
    /// wanted; the batch of the round that carries it replaces the log (CP-R1).
    pub(crate) async fn install(
        &mut self,
        from: Incarnation,
        header: Bytes,
        staged: Staged,
        reply: Reply<()>,
    ) -> Result<(), Stop> {
        self.settle().await?;
        let refuse = |why: String| Err(EngineError::Refused(why));
        let header = match Header::decode(header) {
            Ok(header) => header,
            Err(error) => return reply.given(refuse(error.to_string())),
        };
        let position = staged.meta().position;
        let raft = &self.node.raft;
        if header.term < raft.term || header.term < position.term.0 || header.term > crate::wire::NUMBER_MAX {
            return reply.given(refuse(format!("it is of term {}, this node is in term {}", header.term, raft.term)));
        }
        if position.index.0 < header.index || position.index.0 > crate::wire::NUMBER_MAX || from == self.host.me() {
            return reply.given(refuse(format!("it ends at {position}, not at {}", header.index)));
        }
        let held = self.store.term_at(position.index);
        if position.index <= self.store.committed() && held != Some(position.term) {
            return reply.given(refuse(format!("it contradicts the committed record at {}", position.index)));
        }
        let me = self.host.me().0;
        let mut message = Message { from: from.0, to: me, term: header.term, ..Message::default() };
        message.set_msg_type(MessageType::MsgSnapshot);
        message.set_snapshot(announcement(staged.meta()));
        if staged.meta().configuration.member(Incarnation(me)).is_none() {
            // The engine refuses a snapshot from before its own admission. As a learner, in
            // its own books alone, it takes it, and the record that admits it follows.
            message.mut_snapshot().mut_metadata().mut_conf_state().mut_learners().push(me);
        }
        if let Err(error) = self.plausible(&message) {
            return reply.given(refuse(error.to_string()));
        }
        self.installing = Some(staged);
        self.step(message);
        self.settle().await?;
        // The round that carried it has taken it away.
        match self.installing.take() {
            None => reply.given(Ok(())),
            Some(_) => reply.given(refuse(format!("the log is already past {position}"))),
        }
    }

    /// Makes a snapshot that was built here the current one and compacts the log.
    pub(crate) async fn adopt(
        &mut self,
        staged: Staged,
        compact_to: ControlPlaneLogIndex,
        reply: Reply<Ticket>,
    ) -> Result<(), Stop> {
        self.settle().await?;
        let (new, current) = (staged.meta().position, self.store.snapshot().position);
        if new.index <= current.index {
            return reply
                .given(Err(EngineError::Refused(format!("the current snapshot is at {current}, not before {new}"))));
        }
        // The engine still reads what it has not applied.
        let applied = translate::index(self.node.raft.raft_log.applied);
        let batch = Batch { snapshot: Some(staged), compact_to: Some(compact_to.min(applied)), ..Batch::default() };
        match self.store.submit(batch) {
            Ok(ticket) => reply.given(Ok(ticket)),
            Err(Rejected::Failed(failure)) => Err(Stop::Store(failure)),
            Err(rejected) => reply.given(Err(EngineError::Refused(rejected.to_string()))),
        }
    }
}
