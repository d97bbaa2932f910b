//! When each peer last answered this leader, and what it has acknowledged.

use cp_seam::{Incarnation, LogPosition, Term};
use cp_store::Configuration;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A leader's contacts in its term, and what peers have acknowledged in any term.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    /// The term led, and since when; `None` while this node does not lead.
    reign: Option<(Term, Instant)>,
    last_ack: BTreeMap<Incarnation, Instant>,
    acknowledged: BTreeMap<Incarnation, LogPosition>,
}

impl Contacts {
    /// Winning was contact with a quorum, so a reign begins with one window of grace.
    pub(crate) fn begin(&mut self, term: Term, now: Instant) {
        if self.reign.is_none_or(|(led, _)| led != term) {
            self.reign = Some((term, now));
            self.last_ack.clear();
        }
    }

    pub(crate) fn end(&mut self) {
        self.reign = None;
        self.last_ack.clear();
    }

    pub(crate) fn note(&mut self, from: Incarnation, term: Term, matched: LogPosition, now: Instant) {
        if self.reign.is_some_and(|(led, _)| led == term) {
            self.last_ack.insert(from, now);
        }
        let best = self.acknowledged.entry(from).or_default();
        *best = matched.max(*best);
    }

    pub(crate) fn last_ack(&self, of: Incarnation) -> Option<Instant> {
        self.last_ack.get(&of).copied()
    }

    pub(crate) fn acknowledged(&self, by: Incarnation) -> LogPosition {
        self.acknowledged.get(&by).copied().unwrap_or_default()
    }

    /// Whether a quorum of `configuration` has answered within `window` (CP-P2).
    pub(crate) fn has_quorum(
        &self,
        configuration: &Configuration,
        me: Incarnation,
        window: Duration,
        now: Instant,
    ) -> bool {
        let Some((_, since)) = self.reign else { return false };
        let fresh = |at: Instant| now.saturating_duration_since(at) < window;
        fresh(since)
            || configuration
                .has_quorum(|member| member == me || self.last_ack.get(&member).is_some_and(|at| fresh(*at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{MemberId, MemberKind, QuorumMember};

    fn member(incarnation: u64) -> QuorumMember {
        QuorumMember {
            incarnation: Incarnation(incarnation),
            id: MemberId::new(&format!("m{incarnation}")).expect("legal"),
            kind: MemberKind::Data,
            address: String::new(),
        }
    }

    /// CP-P2: in a joint configuration each half must have answered.
    #[test]
    fn both_halves_must_be_in_touch() {
        let joint = Configuration {
            voters: vec![member(1), member(2), member(3)],
            outgoing: vec![member(1), member(4), member(5)],
            learners: Vec::new(),
        };
        let window = Duration::from_millis(100);
        let start = Instant::now();
        let later = start + Duration::from_millis(150);
        let mut contacts = Contacts::default();
        contacts.begin(Term(2), start);
        contacts.note(Incarnation(2), Term(2), LogPosition::GENESIS, later);
        assert!(!contacts.has_quorum(&joint, Incarnation(1), window, later), "the outgoing half is silent");
        contacts.note(Incarnation(4), Term(1), LogPosition::GENESIS, later);
        assert!(!contacts.has_quorum(&joint, Incarnation(1), window, later), "an answer of another term is none");
        contacts.note(Incarnation(4), Term(2), LogPosition::GENESIS, later);
        assert!(contacts.has_quorum(&joint, Incarnation(1), window, later));
    }
}
