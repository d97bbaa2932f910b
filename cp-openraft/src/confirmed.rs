//! Who has answered what was asked of it since a read began (CP-P4).
//!
//! openraft takes the answer to one append as the answer to every later one that ends at the
//! same record and that it has handed out, sent or not, so that its own books may take an answer
//! from before a read for one from after it. A read therefore also waits for these.

use cp_seam::{Incarnation, Term};
use cp_store::Configuration;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The newest question of a term that each peer has answered as a follower.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    answered: Mutex<(Term, BTreeMap<Incarnation, u64>)>,
    told: Notify,
}

impl Confirmed {
    fn answered(&self) -> MutexGuard<'_, (Term, BTreeMap<Incarnation, u64>)> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `from` follows the leader of `term`, and did when it was asked `question`.
    pub(crate) fn note(&self, from: Incarnation, term: Term, question: u64) {
        {
            let mut answered = self.answered();
            if term > answered.0 {
                *answered = (term, BTreeMap::new());
            }
            if term == answered.0 {
                let newest = answered.1.entry(from).or_default();
                *newest = question.max(*newest);
            }
        }
        self.told.notify_waiters();
    }

    /// Waits until a quorum of `configuration` has answered what `me` asked in `term` after `question`.
    pub(crate) async fn quorum(&self, configuration: &Configuration, me: Incarnation, term: Term, question: u64) {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            // Before the look, or an answer that comes after it would wake nobody.
            told.as_mut().enable();
            let enough = {
                let answered = self.answered();
                let newer = |who| answered.1.get(&who).is_some_and(|newest| *newest > question);
                configuration.has_quorum(|who| who == me || (answered.0 == term && newer(who)))
            };
            if enough {
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{MemberId, MemberKind, QuorumMember};
    use futures::FutureExt;

    fn configuration(voters: &[u64]) -> Configuration {
        let member = |n: &u64| QuorumMember {
            incarnation: Incarnation(*n),
            id: MemberId::new(&format!("n{n}")).expect("legal"),
            kind: MemberKind::Data,
            address: String::new(),
        };
        Configuration { voters: voters.iter().map(member).collect(), ..Configuration::default() }
    }

    /// CP-P4: what a peer answered before, or to the leader of another term, says nothing.
    #[test]
    fn only_answers_to_later_questions_of_the_term_count() {
        let (confirmed, three) = (Confirmed::default(), configuration(&[1, 2, 3]));
        let (me, term) = (Incarnation(1), Term(4));
        let waits = |question| confirmed.quorum(&three, me, term, question).now_or_never().is_none();
        confirmed.note(Incarnation(2), term, 7);
        assert!(waits(7), "it was asked before the read began");
        confirmed.note(Incarnation(2), Term(3), 9);
        assert!(waits(7), "of a term that is over");
        let mut waiting = Box::pin(confirmed.quorum(&three, me, term, 7));
        assert_eq!((&mut waiting).now_or_never(), None);
        confirmed.note(Incarnation(3), term, 8);
        assert_eq!(waiting.now_or_never(), Some(()), "it is woken");
        confirmed.note(Incarnation(2), Term(5), 9);
        assert!(waits(7), "another term has begun");
        assert_eq!(confirmed.quorum(&configuration(&[1]), me, term, 7).now_or_never(), Some(()), "nobody else votes");
    }
}
