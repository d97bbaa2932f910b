//! Linearizable reads that wait for their quorum (CP-P4).

use crate::commands::Reply;
use crate::storage::Storage;
use cp_driver::EngineError;
use cp_seam::{ControlPlaneLogIndex, Incarnation};
use raft::{RawNode, ReadState};
use std::collections::BTreeMap;

/// One caller, and the tick at which it is told that no quorum answered.
#[derive(Debug)]
struct Reader {
    reply: Reply<ControlPlaneLogIndex>,
    until_tick: u64,
}

/// The readers of one reign.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Part of every context, so that an answer to an earlier life counts for nothing.
    boot: u64,
    last_round: u64,
    /// Not asked yet: the engine drops a read before it has committed in its term.
    waiting: Vec<Reader>,
    asked: BTreeMap<u64, Vec<Reader>>,
}

impl Reads {
    pub(crate) fn new(boot: u64) -> Self {
        Self { boot, last_round: 0, waiting: Vec::new(), asked: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, reply: Reply<ControlPlaneLogIndex>, until_tick: u64) {
        self.waiting.push(Reader { reply, until_tick });
    }

    /// Starts one round for all who wait, if this leader may serve reads.
    pub(crate) fn ask(&mut self, node: &mut RawNode<Storage>) {
        if self.waiting.is_empty() || !node.raft.commit_to_current_term() {
            return;
        }
        self.last_round += 1;
        self.asked.insert(self.last_round, std::mem::take(&mut self.waiting));
        node.read_index([self.boot.to_be_bytes(), self.last_round.to_be_bytes()].concat());
    }

    /// Answers the rounds that a quorum has confirmed.
    pub(crate) fn confirmed(&mut self, states: Vec<ReadState>) {
        for state in states {
            let round = <[u8; 8]>::try_from(state.request_ctx.get(8..).unwrap_or_default()).map(u64::from_be_bytes);
            for reader in round.ok().and_then(|round| self.asked.remove(&round)).unwrap_or_default() {
                reader.reply.give(Ok(ControlPlaneLogIndex(state.index)));
            }
        }
    }

    /// Gives up those whose time has come.
    pub(crate) fn expire(&mut self, tick: u64) {
        let late = |reader: &mut Reader| reader.until_tick <= tick;
        let mut lost: Vec<_> = self.waiting.extract_if(.., late).collect();
        for readers in self.asked.values_mut() {
            lost.extend(readers.extract_if(.., late));
        }
        self.asked.retain(|_, readers| !readers.is_empty());
        for reader in lost {
            reader.reply.give(Err(EngineError::NoQuorum));
        }
    }

    /// The reign is over: nothing asked in it will be answered.
    pub(crate) fn refuse(&mut self, leader: Option<Incarnation>) {
        let asked = std::mem::take(&mut self.asked).into_values().flatten();
        for reader in std::mem::take(&mut self.waiting).into_iter().chain(asked) {
            reader.reply.give(Err(EngineError::NotLeader { leader }));
        }
    }
}
