//! What peers say.

use crate::core::{Core, Stop};
use crate::{timing, translate, wire};
use cp_driver::wire::BadFrame;
use cp_seam::{Incarnation, LogPosition, Term};
use raft::eraftpb::{Message, MessageType};

impl Core {
    /// Takes in a peer's message.
    pub(crate) async fn receive(&mut self, mut message: Message) -> Result<(), Stop> {
        let follows = matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgHeartbeat);
        if !follows {
            self.settle_log().await?;
        }
        if let Err(error) = self.plausible(&message) {
            tracing::warn!(from = message.from, %error, "a message was dropped");
            return Ok(());
        }
        let raft = &self.node.raft;
        if message.log_term > raft.raft_log.last_term() {
            // The engine lets a lower priority win by the length of its log alone. A witness whose
            // log is later by its term must win too: nobody who refuses it can (CP-M2, CP-L1).
            message.priority = message.priority.max(raft.priority);
        }
        let (from, term, kind) = (message.from, message.term, message.get_msg_type());
        let (accepted, index) = (!message.reject, message.index);
        self.step(message);
        if self.leads() && self.node.raft.term == term {
            match kind {
                MessageType::MsgAppendResponse if accepted => self.acknowledged(from, index),
                MessageType::MsgHeartbeatResponse => {
                    let matched = self.node.raft.prs().get(from).map_or(0, |progress| progress.matched);
                    self.acknowledged(from, matched);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an honest peer can have sent `message` to this node as it is.
    pub(crate) fn plausible(&self, message: &Message) -> Result<(), BadFrame> {
        let raft = &self.node.raft;
        let leader =
            translate::member(raft.leader_id).or(self.vote.following.filter(|_| self.vote.term.0 == raft.term));
        wire::plausible(message, raft.term, leader, raft.raft_log.last_index())
    }

    fn acknowledged(&mut self, from: u64, index: u64) {
        self.heard.insert(from, self.ticks);
        let raft = &self.node.raft;
        // Without a term the index is out of reach of the log and says nothing.
        if let (true, Ok(term)) = (raft.prs().get(from).is_some(), raft.raft_log.term(index)) {
            let matched = LogPosition::new(Term(term), translate::index(index));
            self.host.acknowledged(Incarnation(from), Term(raft.term), matched);
        }
    }

    /// A peer that has been silent for T is probed, and not sent all that is appended, until it answers.
    pub(crate) fn probe_the_silent(&mut self) {
        let silent_since = self.ticks.saturating_sub(timing::ELECTION_TICKS);
        for (id, at) in &self.heard {
            if *at < silent_since {
                self.node.report_unreachable(*id);
            }
        }
    }
}
