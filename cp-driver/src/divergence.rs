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
        if let Some((index, _)) = applied.last() {
            self.transfers.forget_reached(*index);
        }
        if quorum_may_differ {
            self.serve_peers();
        }
    }

    /// Notes what a peer has applied. While somebody differs, every word is judged anew:
    /// what is sent to the one that differs may be lost.
    pub(crate) fn note_digest(&self, from: Incarnation, index: ControlPlaneLogIndex, digest: StateDigest) {
        let worth_it = {
            let mut books = self.books();
            let differs = books.digests.note(from, index, digest);
            differs || books.disputed.is_some() || books.differing.contains_key(&from)
        };
        if worth_it {
            self.judge(index);
        }
    }

    /// A peer says what a majority has, and who has something else; a node that has stops.
    pub(crate) fn note_majority(&self, index: ControlPlaneLogIndex, digest: StateDigest, differing: &[u64]) {
        let newest = self.newest_configuration();
        let known =
            |member: &Incarnation| *member != self.me() && newest.1.members().iter().any(|m| m.incarnation == *member);
        let mine = {
            let mut books = self.books();
            let news = books.note_differing(differing.iter().copied().map(Incarnation).filter(known), index);
            tracing::debug!(%index, ?differing, news, "a peer says who differs");
            books.digests.at(self.me(), index)
        };
        if mine.is_some_and(|mine| mine != digest) {
            self.halt_diverged(index);
        }
    }

    fn halt_diverged(&self, index: ControlPlaneLogIndex) {
        let news = self.books().note_differing([self.me()], index);
        tracing::debug!(%index, news, "this node differs");
        self.halt(&format!(
            "its state at index {index} differs from that of a majority of voters; rebuild it from the others: `cp-supervisor rebuild`"
        ));
    }

    fn judge(&self, index: ControlPlaneLogIndex) {
        let newest = self.newest_configuration();
        let mut news = false;
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
            if let Verdict::Differs { members, .. } = &verdict {
                news = books.note_differing(members.iter().copied().filter(|member| *member != self.me()), index);
            }
            let Books { differing, digests, .. } = &mut *books;
            match &verdict {
                // Who is silent is not known to be alike again.
                Verdict::Alike => differing.retain(|member, _| digests.at(*member, index).is_none()),
                Verdict::Open | Verdict::NoMajority | Verdict::Differs { .. } => {}
            }
            verdict
        };
        let Verdict::Differs { digest, members } = verdict else { return };
        let differing: Vec<_> = members.iter().map(|member| member.0).collect();
        let said = Majority { index: index.0, digest: Bytes::copy_from_slice(&digest.0), differing };
        // Whoever may lead next is told too, once: its books are where an operator looks, and it
        // judges what it is told by itself, so that to tell it each time would never end.
        let told = |peer: &Incarnation| members.contains(peer) || (news && newest.1.is_voter(*peer));
        let peers = newest.1.members().into_iter().map(|member| member.incarnation);
        for peer in peers.filter(|peer| *peer != self.me()).filter(told) {
            self.send_body(peer, Lane::Consensus, Body::Majority(said.clone()));
        }
        if members.contains(&self.me()) {
            self.halt_diverged(index);
        }
    }
}

impl Books {
    /// Notes who differs, and tells whether that is news.
    fn note_differing(&mut self, members: impl IntoIterator<Item = Incarnation>, index: ControlPlaneLogIndex) -> bool {
        let mut news = false;
        for member in members {
            if self.differing.get(&member).is_none_or(|known| index < *known) {
                self.differing.insert(member, index);
                news = true;
            }
        }
        news
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
        assert_eq!(rig.node.watch().current().diverged_at, Some(index));
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

    /// Voters that agree do not go on telling each other of one that does not, and one that
    /// agrees again is not named any longer.
    #[tokio::test(start_paused = true)]
    async fn those_who_agree_are_told_once() {
        let rig = Rig::start(&[1, 2, 3], settings()).await;
        rig.lead(1).await;
        let (index, digest) = rig.applied();
        lock(&rig.wire.sent).clear();
        let told = |who| lock(&rig.wire.sent).iter().filter(|(to, _)| *to == Incarnation(who)).count();
        rig.tell(2, index, digest);
        rig.tell(3, index, WRONG);
        assert_eq!((told(2), told(3)), (1, 1));
        for _ in 0..10 {
            rig.tell(2, index, digest);
        }
        assert_eq!(told(2), 1, "a frame of one that agrees begets none to it");
        let named = || rig.node.progress().into_iter().filter(|p| p.diverged_at.is_some()).count();
        assert_eq!(named(), 1);
        rig.puppet.write(cp_store::RecordBody::Blank);
        rig.until("all is applied", || rig.applied().0 == rig.store.last().index).await;
        let (later, digest) = rig.applied();
        rig.tell(2, later, digest);
        rig.tell(3, later, digest);
        assert_eq!(named(), 0, "it has begun anew and is alike");
    }

    /// Who leads next knows who had to stop, though that one speaks no more; a stranger's word adds nobody.
    #[tokio::test(start_paused = true)]
    async fn who_differs_is_remembered_by_the_next_leader() {
        let rig = Rig::start(&[1, 2, 3], settings()).await;
        let (index, digest) = rig.applied();
        let said = Majority { index: index.0, digest: Bytes::copy_from_slice(&digest.0), differing: vec![3, 77] };
        let body = Some(Body::Majority(said));
        let envelope = Envelope { version: Envelope::VERSION, applied: 0, digest: Bytes::new(), body };
        lock(&rig.wire.receiver).clone().expect("attached").receive(Incarnation(2), envelope.encode_to_vec().into());
        rig.lead(1).await;
        let named: Vec<_> =
            rig.node.progress().into_iter().filter_map(|p| Some((p.incarnation, p.diverged_at?))).collect();
        assert_eq!(named, [(Incarnation(3), index)]);
        assert_eq!(rig.host().books().differing.len(), 1);
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
