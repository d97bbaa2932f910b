//! One round of the engine's output, in the only safe order:
//!
//! 1. snapshot, truncation, records, vote and committed index are queued in one batch;
//! 2. a leader's messages leave at once, unless this round changes term or vote;
//! 3. the disk;
//! 4. what was held back leaves, and what promises something (CP-D1, CP-D2);
//! 5. committed configurations take effect in the engine;
//! 6. what follows from the write itself, likewise.
//!
//! A round that only raises the committed index does not wait for the disk: it
//! promises nothing to a peer, and the driver reports a commit when the store
//! says that it is durable (CP-D3). Its ticket is watched by the loop.

use crate::core::{Core, Stop, priority};
use crate::storage::opening_configuration;
use crate::{translate, wire};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LastVote, Term};
use cp_store::{Batch, RecordBody, Ticket};
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::{INVALID_ID, Ready, StateRole};

impl Core {
    pub(crate) async fn round(&mut self) -> Result<(), Stop> {
        let mut ready = self.node.ready();
        self.fault.check()?;
        let mut held = ready.take_messages();
        held.extend(ready.take_persisted_messages());
        let vote = self.next_vote(&held);
        let batch = self.batch(&mut ready, vote)?;
        let undone = batch.truncate_from.is_some_and(|from| from <= self.configured_at);
        let configures = batch.append.iter().any(|record| matches!(record.body, RecordBody::Configuration(_)));
        let snapshot = batch.snapshot.as_ref().map(|staged| staged.meta().clone());
        let promise = self.submit(batch)?;
        let may_outrun_the_disk =
            self.leads() && vote.term == self.vote.term && vote.granted_to == self.vote.granted_to;
        #[cfg(planted_bugs)]
        let may_outrun_the_disk = may_outrun_the_disk || self.planted(vote, &held);
        if may_outrun_the_disk {
            self.send_all(std::mem::take(&mut held))?;
        }
        self.reads.confirmed(ready.take_read_states());
        if let Some(promise) = promise {
            promise.await?;
            // Tickets resolve in order: an earlier commit is on disk too.
            self.committing = None;
        }
        self.vote = vote;
        self.send_all(held)?;
        if undone || (configures && self.is_outrun()?) {
            return self.reopen();
        }
        if let Some(meta) = snapshot {
            self.configured_at = meta.configuration_at.index;
            self.node.set_priority(priority(self.host.me(), &meta.configuration));
        }
        self.obey(&ready.take_committed_entries())?;

        let mut light = self.node.advance_append(ready);
        self.fault.check()?;
        self.send_all(light.take_messages())?;
        if let Some(committed) = light.commit_index() {
            self.submit(Batch { committed: Some(ControlPlaneLogIndex(committed)), ..Batch::default() })?;
        }
        self.obey(&light.take_committed_entries())?;
        self.node.advance_apply();
        Ok(())
    }

    fn next_vote(&self, messages: &[Message]) -> LastVote {
        let raft = &self.node.raft;
        let granting = raft.vote == raft.id || messages.iter().any(|m| grants(m) && m.term == raft.term);
        let (vote, leader) = (translate::member(raft.vote), translate::member(raft.leader_id));
        translate::last_vote(self.vote, Term(raft.term), vote, leader, granting)
    }

    fn batch(&mut self, ready: &mut Ready, vote: LastVote) -> Result<Batch, Stop> {
        let mut batch = Batch { vote: (vote != self.vote).then_some(vote), ..Batch::default() };
        if !ready.snapshot().is_empty() {
            // The store raises its committed index with the snapshot.
            batch.snapshot = Some(self.installing.take().ok_or(Stop::NoSnapshot)?);
            return Ok(batch);
        }
        batch.append = ready.take_entries().iter().map(translate::record).collect::<Result<_, _>>()?;
        let first = batch.append.first().map(|record| record.position.index);
        batch.truncate_from = first.filter(|first| *first <= self.store.last().index);
        let committed = ControlPlaneLogIndex(self.node.raft.raft_log.committed);
        batch.committed = (committed > self.store.committed()).then_some(committed);
        Ok(batch)
    }

    /// Queues a batch; gives the ticket to wait for, unless the batch is a committed index alone.
    fn submit(&mut self, batch: Batch) -> Result<Option<Ticket>, Stop> {
        let promises = batch.vote.is_some() || !batch.append.is_empty() || batch.snapshot.is_some();
        if !promises && batch.committed.is_none() {
            return Ok(None);
        }
        let ticket = self.store.submit(batch)?;
        if promises {
            return Ok(Some(ticket));
        }
        self.committing = Some(ticket);
        Ok(None)
    }

    fn send_all(&mut self, messages: Vec<Message>) -> Result<(), Stop> {
        for message in messages {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.send_snapshot(&message);
                continue;
            }
            let vote = grants(&message) || message.get_msg_type() == MessageType::MsgRequestVote;
            if vote && message.term != self.vote.term.0 {
                // Of a term that was left again before it was written: it would promise what no disk holds.
                continue;
            }
            let to = Incarnation(message.to);
            for frame in wire::encode(message, self.host.settings().append_bytes_max)?.unwrap_or_default() {
                self.host.send(to, frame);
            }
        }
        Ok(())
    }

    /// Whether the log leaves a joint configuration that is neither obeyed nor known to be committed
    /// here (CP-M1). A leader says that one is committed before it leaves it, unless it started from
    /// such a log itself: then those who left it may go on alone, and no old majority without them.
    fn is_outrun(&self) -> Result<bool, Stop> {
        let (at, _) = opening_configuration(&self.store)?;
        let unknown = at.index > self.configured_at.max(self.store.committed());
        Ok(unknown && self.store.newest_configuration_at().index > at.index)
    }

    /// Lets committed configurations take effect in the engine (CP-M1). The rest of
    /// what is committed is the driver's business.
    fn obey(&mut self, committed: &[Entry]) -> Result<(), Stop> {
        for entry in committed {
            if entry.get_entry_type() != EntryType::EntryConfChangeV2 || entry.index <= self.configured_at.0 {
                continue;
            }
            let RecordBody::Configuration(next) = translate::record(entry)?.body else { continue };
            let current = self.node.raft.prs().conf().to_conf_state();
            for step in translate::steps(&current, &next)? {
                self.node.apply_conf_change(&step)?;
            }
            self.configured_at = ControlPlaneLogIndex(entry.index);
            self.node.set_priority(priority(self.host.me(), &next));
            let raft = &mut self.node.raft;
            if raft.state == StateRole::Leader && !raft.promotable() {
                // It was voted out. The engine would lead on, and panic at its next write.
                raft.become_follower(raft.term, INVALID_ID);
                raft.msgs.clear();
            }
        }
        Ok(())
    }
}

/// Whether a message is a vote for another.
fn grants(message: &Message) -> bool {
    message.get_msg_type() == MessageType::MsgRequestVoteResponse && !message.reject
}

#[cfg(planted_bugs)]
impl Core {
    /// Whether an active bug lets these messages outrun the disk.
    fn planted(&mut self, vote: LastVote, held: &[Message]) -> bool {
        use cp_seam::planted::{Bug, active};
        let acknowledges = held.iter().any(|message| message.get_msg_type() == MessageType::MsgAppendResponse);
        let granted = vote != self.vote && active(Bug::GrantBeforeFsync);
        if granted {
            self.vote = vote;
        }
        granted || (acknowledges && active(Bug::AckBeforeFsync))
    }
}
