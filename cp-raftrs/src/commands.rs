//! What callers ask of the loop, and its answers.

use crate::core::{Core, ROUND_MAX, Stop};
use crate::{timing, translate};
use bytes::Bytes;
use cp_driver::EngineError;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, LogPosition, Term};
use cp_store::{Configuration, Staged, Ticket};
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use tokio::sync::oneshot;

/// How many bytes of proposals one round takes in.
const ROUND_BYTES_MAX: usize = 4 << 20;

/// What a caller asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    Append(ControlPlaneEntry, Reply<LogPosition>),
    Reconfigure(Configuration, Reply<LogPosition>),
    ReadIndex(Reply<ControlPlaneLogIndex>),
    Transfer(Incarnation, Reply<()>),
    Install(Incarnation, Bytes, Staged, Reply<()>),
    Adopt(Staged, ControlPlaneLogIndex, Reply<Ticket>),
}

/// Where an answer goes. The caller may have gone away; then it goes nowhere.
#[derive(Debug)]
pub(crate) struct Reply<T>(pub(crate) oneshot::Sender<Result<T, EngineError>>);

impl<T> Reply<T> {
    pub(crate) fn give(self, answer: Result<T, EngineError>) {
        if self.0.send(answer).is_err() {
            tracing::trace!("nobody waits for this answer any more");
        }
    }

    pub(crate) fn given(self, answer: Result<T, EngineError>) -> Result<(), Stop> {
        self.give(answer);
        Ok(())
    }
}

/// The proposals of one round.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    entries: Vec<Entry>,
    replies: Vec<Reply<LogPosition>>,
    bytes: usize,
}

impl Proposals {
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < ROUND_BYTES_MAX && self.replies.len() < ROUND_MAX
    }

    /// Takes a proposal, unless its caller has given up: a stall is not followed by a flood of them.
    pub(crate) fn push(&mut self, entry: ControlPlaneEntry, reply: Reply<LogPosition>) {
        if reply.0.is_closed() {
            return;
        }
        let entry = translate::proposal(&entry);
        self.bytes += entry.data.len();
        self.entries.push(entry);
        self.replies.push(reply);
    }

    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn refuse(self, why: impl Fn() -> EngineError) {
        self.replies.into_iter().for_each(|reply| reply.give(Err(why())));
    }
}

impl Core {
    fn not_leader(&self) -> EngineError {
        let leader = translate::member(self.node.raft.leader_id).filter(|leader| *leader != self.host.me());
        EngineError::NotLeader { leader }
    }

    pub(crate) async fn command(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Append(entry, reply) => {
                let mut one = Proposals::default();
                one.push(entry, reply);
                self.propose(one).await
            }
            Command::Reconfigure(next, reply) => {
                let answer = self.reconfigure(&next).await?;
                reply.given(answer)
            }
            Command::ReadIndex(reply) if self.leads() => {
                self.reads.take(reply, self.ticks + timing::ELECTION_TICKS);
                Ok(())
            }
            Command::ReadIndex(reply) => reply.given(Err(self.not_leader())),
            Command::Transfer(to, reply) => {
                let answer = self.transfer(to);
                reply.given(answer)
            }
            Command::Install(from, header, staged, reply) => self.install(from, header, staged, reply).await,
            Command::Adopt(staged, compact_to, reply) => self.adopt(staged, compact_to, reply).await,
        }
    }

    /// Places a round's proposals next to each other in the log.
    pub(crate) async fn propose(&mut self, proposals: Proposals) -> Result<(), Stop> {
        if proposals.replies.is_empty() {
            return Ok(());
        }
        self.settle_term().await?;
        if !self.leads() {
            proposals.refuse(|| self.not_leader());
            return Ok(());
        }
        let Proposals { entries, replies, .. } = proposals;
        let raft = &mut self.node.raft;
        let (term, mut at) = (Term(raft.term), translate::index(raft.raft_log.last_index()));
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = raft.id;
        message.set_entries(entries.into());
        match raft.step(message) {
            Ok(()) => {
                self.word.given(self.node.raft.raft_log.committed);
                for reply in replies {
                    at = at.next();
                    reply.give(Ok(LogPosition::new(term, at)));
                }
            }
            Err(_) => {
                let why = if raft.lead_transferee.is_some() {
                    "leadership is being handed over"
                } else {
                    "too much is appended and not yet committed"
                };
                replies.into_iter().for_each(|reply| reply.give(Err(EngineError::Refused(why.to_owned()))));
            }
        }
        Ok(())
    }

    async fn reconfigure(&mut self, next: &Configuration) -> Result<Result<LogPosition, EngineError>, Stop> {
        self.settle().await?;
        if !self.leads() {
            return Ok(Err(self.not_leader()));
        }
        let refused = |why: &str| Ok(Err(EngineError::Refused(why.to_owned())));
        let raft = &self.node.raft;
        if raft.lead_transferee.is_some() {
            return refused("leadership is being handed over");
        }
        if raft.has_pending_conf() {
            return refused("an earlier configuration may not be committed yet");
        }
        let newest = self.store.configurations().pop().unwrap_or_default().1;
        if !cp_driver::is_step(&newest, next) {
            return refused("it is not one step from the newest configuration");
        }
        let change = match translate::steps(&raft.prs().conf().to_conf_state(), next) {
            // The engine looks no further than whether anything changes.
            Ok(steps) => steps.into_iter().next(),
            Err(error) => return refused(&error.to_string()),
        };
        let Some(change) = change else { return refused("it changes nothing") };
        let at = translate::index(raft.raft_log.last_index()).next();
        let position = LogPosition::new(Term(raft.term), at);
        if let Err(error) = self.node.propose_conf_change(translate::configuration_context(next).into(), change) {
            return refused(&error.to_string());
        }
        // The engine puts an empty entry in the place of a change that it declines.
        let last = self.node.raft.raft_log.unstable_entries().last();
        match last.is_some_and(|e| e.index == at.0 && e.get_entry_type() == EntryType::EntryConfChangeV2) {
            true => Ok(Ok(position)),
            false => refused("the engine declined it"),
        }
    }

    fn transfer(&mut self, to: Incarnation) -> Result<(), EngineError> {
        if !self.leads() {
            return Err(self.not_leader());
        }
        self.node.transfer_leader(to.0);
        match self.node.raft.lead_transferee == Some(to.0) {
            true => Ok(()),
            false => Err(EngineError::Refused(format!("member {to} has no vote, or leads already"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::ControlPlanePayload;

    fn push(proposals: &mut Proposals, len: usize) -> oneshot::Receiver<Result<LogPosition, EngineError>> {
        let (reply, answer) = oneshot::channel();
        let payload = ControlPlanePayload::new(vec![7; len]).expect("short");
        proposals.push(ControlPlaneEntry::OwnershipTransition(payload), Reply(reply));
        answer
    }

    /// A round is bounded by its bytes and by the number of those who wait.
    #[test]
    fn a_round_is_full_at_its_bounds() {
        let (mut large, mut many, mut waiting) = (Proposals::default(), Proposals::default(), Vec::new());
        for _ in 0..ROUND_BYTES_MAX / ControlPlanePayload::LEN_MAX_BYTES {
            assert!(large.has_room());
            waiting.push(push(&mut large, ControlPlanePayload::LEN_MAX_BYTES));
        }
        assert!(!large.has_room());
        for _ in 0..ROUND_MAX {
            assert!(many.has_room());
            waiting.push(push(&mut many, 1));
        }
        assert!(!many.has_room());
        assert_eq!(many.take().entries.len(), ROUND_MAX);
        assert!(many.has_room(), "the next round begins empty");
    }

    #[test]
    fn who_has_given_up_takes_no_room() {
        let mut proposals = Proposals::default();
        let (reply, answer) = oneshot::channel();
        drop(answer);
        proposals.push(crate::testing::entry("x"), Reply(reply));
        assert!(proposals.entries.is_empty() && proposals.replies.is_empty());
    }
}
