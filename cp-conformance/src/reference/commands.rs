//! What callers ask, and its answers.

use super::core::{Core, Role};
use super::timing::ELECTION_TICKS;
use bytes::Bytes;
use cp_driver::EngineError;
use cp_seam::{ControlPlaneEntry, ControlPlaneLogIndex, Incarnation, LogPosition};
use cp_store::{Configuration, RecordBody, Staged};
use tokio::sync::oneshot;

/// What a caller asks.
#[derive(Debug)]
pub(super) enum Command {
    Append(ControlPlaneEntry, Reply<LogPosition>),
    Reconfigure(Configuration, Reply<LogPosition>),
    ReadIndex(Reply<ControlPlaneLogIndex>),
    Transfer(Incarnation, Reply<()>),
    Install(Incarnation, Bytes, Staged, Reply<()>),
    Adopt(Staged, ControlPlaneLogIndex, Reply<()>),
}

/// An answer that waits for the disk.
pub(super) type Done = Reply<()>;

/// Where an answer goes. The caller may have gone away; then it goes nowhere.
#[derive(Debug)]
pub(super) struct Reply<T>(pub(super) oneshot::Sender<Result<T, EngineError>>);

impl<T> Reply<T> {
    pub(super) fn give(self, answer: Result<T, EngineError>) {
        if self.0.send(answer).is_err() {
            tracing::trace!("nobody waits for this answer any more");
        }
    }

    pub(super) fn refuse(self, why: impl Into<String>) {
        self.give(Err(EngineError::Refused(why.into())));
    }
}

impl Core {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Append(entry, reply) => self.append_entry(entry, reply),
            Command::Reconfigure(next, reply) => self.reconfigure(next, reply),
            Command::ReadIndex(reply) if self.leads() => self.read_index(reply),
            Command::ReadIndex(reply) => reply.give(Err(self.not_leader())),
            Command::Transfer(to, reply) => self.transfer(to, reply),
            Command::Install(from, header, staged, reply) => self.install(from, header, staged, reply),
            Command::Adopt(staged, compact_to, reply) => self.adopt(staged, compact_to, reply),
        }
    }

    fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    fn not_leader(&self) -> EngineError {
        EngineError::NotLeader { leader: self.leader.filter(|leader| *leader != self.me) }
    }

    /// Whether leadership is on its way to another, who must be able to catch up.
    fn hands_over(&self) -> bool {
        self.reign().is_some_and(|reign| reign.transfer.is_some())
    }

    fn append_entry(&mut self, entry: ControlPlaneEntry, reply: Reply<LogPosition>) {
        if !self.leads() {
            return reply.give(Err(self.not_leader()));
        }
        if self.hands_over() {
            return reply.refuse("leadership is being handed over");
        }
        let position = self.place(RecordBody::Entry(entry));
        reply.give(Ok(position));
    }

    /// One step at a time, from the newest configuration, and only once that is
    /// committed and so is a record of this term (CP-M1).
    fn reconfigure(&mut self, next: Configuration, reply: Reply<LogPosition>) {
        if !self.leads() {
            return reply.give(Err(self.not_leader()));
        }
        if self.hands_over() {
            return reply.refuse("leadership is being handed over");
        }
        let committed = self.log.committed();
        if self.log.configuration_at().index > committed || self.log.term_at(committed) != Some(self.vote.term) {
            return reply.refuse("an earlier configuration may not be committed yet");
        }
        if !cp_driver::is_step(self.log.configuration(), &next) {
            return reply.refuse("it is not one step from the newest configuration");
        }
        #[cfg(planted_bugs)]
        let next = match cp_seam::planted::active(cp_seam::planted::Bug::OneStepChange) {
            true => Configuration { outgoing: Vec::new(), ..next },
            false => next,
        };
        let position = self.place(RecordBody::Configuration(next));
        reply.give(Ok(position));
    }

    fn transfer(&mut self, to: Incarnation, reply: Reply<()>) {
        let (until, electable) = (self.tick + ELECTION_TICKS, self.log.configuration().is_voter(to) && to != self.me);
        let not_leader = self.not_leader();
        let Some(reign) = self.reign_mut() else { return reply.give(Err(not_leader)) };
        if !electable {
            return reply.refuse(format!("member {to} has no vote, or leads already"));
        }
        reign.transfer = Some((to, until));
        self.ask_to_stand(to);
        reply.give(Ok(()));
    }
}
