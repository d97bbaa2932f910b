//! Members at the same applied index have the same state; one that differs from a
//! majority of voters stops, and where no majority agrees, all stop proposing (CP-R3).

use crate::digest::Verdict;
use crate::host::Host;
use crate::wire::{Body, Majority};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, Lane, StateDigest};

impl Host {
    /// Notes what this node has applied, and compares it with what peers said. `quorum_may_differ`:
    /// the state may want another quorum than before.
    pub(crate) fn note_applied(&self, index: ControlPlaneLogIndex, digest: StateDigest, quorum_may_differ: bool) {
        let wanted = quorum_may_differ.then(|| self.parts.state.wanted_quorum());
        let mut books = self.books();
        books.applied = (index, digest);
        if let Some(wanted) = wanted {
            books.wanted = wanted.into();
        }
        let me = self.me();
        books.digests.note(me, index, digest);
        drop(books);
        self.judge(index);
        if quorum_may_differ {
            self.serve_peers();
        }
    }

    pub(crate) fn note_digest(&self, from: Incarnation, index: ControlPlaneLogIndex, digest: StateDigest) {
        self.books().digests.note(from, index, digest);
        self.judge(index);
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
            "its state at index {index} differs from that of a majority of voters; wipe it and let it rejoin"
        ));
    }

    fn judge(&self, index: ControlPlaneLogIndex) {
        let newest = self.newest_configuration();
        let verdict = {
            let mut books = self.books();
            if books.digests.speakers(index) < 2 {
                return;
            }
            let verdict = books.digests.judge(&newest.1, index);
            books.disputed |= verdict == Verdict::NoMajority;
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
