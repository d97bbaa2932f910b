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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    type Answer = Result<ControlPlaneLogIndex, EngineError>;

    fn reader(until_tick: u64) -> (Reader, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        (Reader { reply: Reply(reply), until_tick }, answer)
    }

    /// Who waits when a reign ends is told so, and not left to wait for his time.
    #[test]
    fn the_end_of_a_reign_is_told_at_once() {
        let mut reads = Reads::new(1);
        let ((waiting, mut first), (asked, mut second)) = (reader(20), reader(20));
        reads.take(waiting.reply, waiting.until_tick);
        reads.asked.insert(1, vec![asked]);
        reads.refuse(Some(Incarnation(2)));
        for answer in [&mut first, &mut second] {
            let told = answer.try_recv().expect("told");
            assert!(matches!(told, Err(EngineError::NotLeader { leader: Some(Incarnation(2)) })), "{told:?}");
        }
    }

    /// CP-P4: a read that no quorum confirms in its time is given up, no sooner.
    #[test]
    fn a_read_is_given_up_in_time() {
        let mut reads = Reads::new(1);
        let ((early, mut first), (late, mut second)) = (reader(20), reader(21));
        reads.take(early.reply, early.until_tick);
        reads.asked.insert(1, vec![late]);
        reads.expire(19);
        assert!(first.try_recv().is_err() && second.try_recv().is_err());
        reads.expire(20);
        assert!(matches!(first.try_recv(), Ok(Err(EngineError::NoQuorum))));
        assert!(second.try_recv().is_err());
        reads.expire(21);
        assert!(matches!(second.try_recv(), Ok(Err(EngineError::NoQuorum))));
    }
}
