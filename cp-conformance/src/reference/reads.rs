//! Linearizable reads: a read is answered once a quorum has answered something that
//! was sent after it was asked (CP-P4). Every append carries the number of the newest
//! round of reads, and its answer carries it back.

use super::commands::Reply;
use super::core::{Core, Role};
use super::election::is_quorum;
use super::timing::ELECTION_TICKS;
use cp_driver::EngineError;
use cp_seam::{ControlPlaneLogIndex, Incarnation};

/// One caller.
#[derive(Debug)]
struct Reader {
    round: u64,
    index: ControlPlaneLogIndex,
    until_tick: u64,
    reply: Reply<ControlPlaneLogIndex>,
}

/// The readers of one reign.
#[derive(Debug, Default)]
pub(super) struct Reads {
    round: u64,
    waiting: Vec<Reader>,
}

impl Reads {
    /// The newest round.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// Gives up those whose time has come.
    pub(super) fn expire(&mut self, tick: u64) {
        for reader in self.waiting.extract_if(.., |reader| reader.until_tick <= tick) {
            reader.reply.give(Err(EngineError::NoQuorum));
        }
    }

    /// The reign is over: nothing asked in it will be answered.
    pub(super) fn refuse(self, leader: Option<Incarnation>) {
        for reader in self.waiting {
            reader.reply.give(Err(EngineError::NotLeader { leader }));
        }
    }
}

impl Core {
    /// Starts a round for one reader.
    pub(super) fn read_index(&mut self, reply: Reply<ControlPlaneLogIndex>) {
        let (index, until_tick) = (self.log.committed(), self.tick + ELECTION_TICKS);
        if self.log.term_at(index) != Some(self.vote.term) {
            // An earlier leader may have committed more than this one knows of yet.
            return reply.give(Err(EngineError::NoQuorum));
        }
        let Some(reign) = self.reign_mut() else { return };
        reign.reads.round += 1;
        let round = reign.reads.round;
        reign.reads.waiting.push(Reader { round, index, until_tick, reply });
        for to in reign.peers.keys().copied().collect::<Vec<_>>() {
            self.send_append(to);
        }
        self.confirm_reads();
    }

    /// Answers whom a quorum has confirmed.
    pub(super) fn confirm_reads(&mut self) {
        let (me, configuration) = (self.me, self.log.configuration());
        let Role::Leader(reign) = &mut self.role else { return };
        let peers = &reign.peers;
        let confirmed = |reader: &mut Reader| {
            let answered = |who| who == me || peers.get(&who).is_some_and(|peer| peer.round >= reader.round);
            is_quorum(configuration, answered)
        };
        for reader in reign.reads.waiting.extract_if(.., confirmed) {
            reader.reply.give(Ok(reader.index));
        }
    }
}
