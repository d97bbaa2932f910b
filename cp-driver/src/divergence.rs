//! Members at the same applied index have the same state; one that differs from a
//! majority of voters stops, and where no majority agrees, all stop proposing (CP-R3).

use crate::digest::Verdict;
use crate::host::{Books, Host};
use crate::wire::{Body, Majority};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, Lane, StateDigest};

impl Host {
    /// Notes what this node has applied, in order, and compares it with what peers said.
    /// `quorum_may_differ`: the state may want another quorum than before.
    pub(crate) fn note_applied(&self, applied: &[(ControlPlaneLogIndex, StateDigest)], quorum_may_differ: bool) {
        let wanted = quorum_may_differ.then(|| self.parts.state.wanted_quorum());
        let mut to_judge = Vec::new();
        {
            let mut books = self.books();
            if let Some(wanted) = wanted {
                books.wanted = wanted.into();
            }
            for (index, digest) in applied {
                books.applied = (*index, *digest);
                if books.digests.note(self.me(), *index, *digest) {
                    to_judge.push(*index);
                }
            }
        }
        to_judge.into_iter().for_each(|index| self.judge(index));
        if quorum_may_differ {
            self.serve_peers();
        }
    }

    /// Notes what a peer has applied. While somebody differs, every word is judged anew:
    /// what is sent to the one that differs may be lost.
    pub(crate) fn note_digest(&self, from: Incarnation, index: ControlPlaneLogIndex, digest: StateDigest) {
        let worth_it = {
            let mut books = self.books();
            books.digests.note(from, index, digest) || books.disputed.is_some()
        };
        if worth_it {
            self.judge(index);
        }
    }

    /// A peer says what a majority has; a node that has something else stops.
    pub(crate) fn note_majority(&self, index: ControlPlaneLogIndex, digest: StateDigest) {
        let mine = self.books().digests.at(self.me(), index);
        if mine.is_some_and(|mine| mine != digest) {
            self.halt_diverged(index);
        }
    }

    fn halt_diverged(&self, index: ControlPlaneLogIndex) {
        self.halt(&format!(
            "its state at index {index} differs from that of a majority of voters; rebuild it from the others: `cp-supervisor rebuild`"
        ));
    }

    fn judge(&self, index: ControlPlaneLogIndex) {
        let newest = self.newest_configuration();
        let verdict = {
            let mut books = self.books();
            let verdict = books.digests.judge(&newest.1, index);
            match &verdict {
                Verdict::Open => {}
                Verdict::NoMajority => books.disputed = books.disputed.max(Some(index)),
                // A digest is of the whole state: who agrees now has settled what was before.
                Verdict::Alike | Verdict::Differs { .. } => {
                    books.disputed = books.disputed.filter(|disputed| *disputed > index);
                }
            }
            let Books { differing, digests, .. } = &mut *books;
            match &verdict {
                Verdict::Differs { members, .. } => {
                    for member in members.iter().filter(|member| **member != self.me()) {
                        let first = differing.entry(*member).or_insert(index);
                        *first = index.min(*first);
                    }
                }
                // Who is silent is not known to be alike again.
                Verdict::Alike => differing.retain(|member, _| digests.at(*member, index).is_none()),
                Verdict::Open | Verdict::NoMajority => {}
            }
            verdict
        };
        if let Verdict::Differs { digest, members } = verdict {
            for member in members {
                if member == self.me() {
                    self.halt_diverged(index);
                } else {
                    let said = Majority { index: index.0, digest: Bytes::copy_from_slice(&digest.0) };
                    self.send_body(member, Lane::Consensus, Body::Majority(said));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Rig, lock, settings, text};
    use crate::wire::Envelope;
    use cp_seam::{ProposeError, ProposeRefusal};
    use prost::Message;

    const WRONG: StateDigest = StateDigest([9; 32]);

    impl Rig {
        /// A peer has applied `index` and says what it has there.
        fn tell(&self, from: u64, index: ControlPlaneLogIndex, digest: StateDigest) {
            let digest = Bytes::copy_from_slice(&digest.0);
            let body = Some(Body::Engine(Bytes::new()));
            let envelope = Envelope { version: Envelope::VERSION, applied: index.0, digest, body };
            let receiver = lock(&self.wire.receiver).clone().expect("attached");
            receiver.receive(Incarnation(from), envelope.encode_to_vec().into());
        }

        fn applied(&self) -> (ControlPlaneLogIndex, StateDigest) {
            self.host().books().applied
        }
    }

    /// CP-R3: a node that differs from a majority stops, also at an index that it has long left behind.
    #[tokio::test(start_paused = true)]
    async fn a_minority_of_one_stops() {
        let rig = Rig::start(&[1, 2, 3], settings()).await;
        rig.lead(1).await;
        let (index, _) = rig.applied();
        for n in 0..300 {
            rig.node.propose(text(&n.to_string())).await.expect("placed");
        }
        rig.until("all is applied", || rig.applied().0 == rig.store.last().index).await;
        rig.tell(2, index, WRONG);
        assert_eq!(rig.host().halted(), None, "one against one");
        rig.tell(3, index, WRONG);
        assert!(rig.host().halted().is_some_and(|why| why.contains("differs from that of a majority")));
    }

    /// The one that differs may hear of nobody but this leader, and what it is told may be lost.
    #[tokio::test(start_paused = true)]
    async fn the_one_that_differs_is_told_until_it_stops() {
        let rig = Rig::start(&[1, 2, 3], settings()).await;
        rig.lead(1).await;
        let (index, digest) = rig.applied();
        rig.tell(3, index, digest);
        lock(&rig.wire.sent).clear();
        let told = || lock(&rig.wire.sent).iter().filter(|(to, _)| *to == Incarnation(2)).count();
        rig.tell(2, index, WRONG);
        rig.tell(2, index, WRONG);
        assert_eq!(told(), 2);
        assert!(rig.node.is_leader());
    }

    /// Where no majority agrees nobody proposes, until one does.
    #[tokio::test(start_paused = true)]
    async fn a_dispute_stops_proposals_until_it_is_settled() {
        let rig = Rig::start(&[1, 2], settings()).await;
        rig.lead(1).await;
        let (index, digest) = rig.applied();
        rig.tell(2, index, WRONG);
        let refused = rig.node.propose(text("no")).await;
        assert!(matches!(refused, Err(ProposeError::Refused(ProposeRefusal::NoQuorum))), "{refused:?}");
        rig.tell(2, index, digest);
        rig.node.propose(text("yes")).await.expect("settled");
        rig.tell(2, index, WRONG);
        assert!(!rig.node.is_leader());
        rig.puppet.write(cp_store::RecordBody::Blank);
        rig.until("all is applied", || rig.applied().0 == rig.store.last().index).await;
        let (later, digest) = rig.applied();
        rig.tell(2, later, digest);
        rig.node.propose(text("again")).await.expect("settled since");
    }
}
