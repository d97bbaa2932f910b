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
    /// What each peer has acknowledged in this reign.
    matched: BTreeMap<Incarnation, LogPosition>,
    /// What each has acknowledged in any reign and was committed: the rest of it a
    /// later leader may rightly have taken back.
    held: BTreeMap<Incarnation, LogPosition>,
    /// When this node was last seen to run, and until when answers do not count as contact.
    awake: Option<Instant>,
    deaf_until: Option<Instant>,
}

impl Contacts {
    /// Winning was contact with a quorum, so a reign begins with one window of grace.
    pub(crate) fn begin(&mut self, term: Term, now: Instant) {
        if self.reign.is_none_or(|(led, _)| led != term) {
            self.end();
            self.reign = Some((term, now));
        }
    }

    pub(crate) fn end(&mut self) {
        self.reign = None;
        self.last_ack.clear();
        self.matched.clear();
    }

    /// Notes that this node runs; called several times per window. One that was paused finds
    /// answers from before its pause waiting: they say nothing of now, and are not taken for contact (CP-P2).
    pub(crate) fn awake(&mut self, window: Duration, now: Instant) {
        if self.awake.is_some_and(|last| now.saturating_duration_since(last) > window / 2) {
            self.deaf_until = Some(now + window / 8);
        }
        self.awake = Some(now);
    }

    /// `from` has answered in `term` and holds `matched`, of which `held` is committed.
    pub(crate) fn note(
        &mut self,
        from: Incarnation,
        term: Term,
        matched: LogPosition,
        held: LogPosition,
        now: Instant,
    ) {
        if self.reign.is_none_or(|(led, _)| led != term) {
            return;
        }
        if self.deaf_until.is_none_or(|until| now >= until) {
            self.last_ack.insert(from, now);
        }
        for (book, position) in [(&mut self.matched, matched), (&mut self.held, held)] {
            let best = book.entry(from).or_default();
            *best = position.max(*best);
        }
    }

    pub(crate) fn last_ack(&self, of: Incarnation) -> Option<Instant> {
        self.last_ack.get(&of).copied()
    }

    /// Since when this leader has listened and heard nothing of the peer; `None` while it does not lead.
    pub(crate) fn silent_since(&self, of: Incarnation) -> Option<Instant> {
        let (_, led_since) = self.reign?;
        Some(self.last_ack(of).unwrap_or(led_since).max(self.deaf_until.unwrap_or(led_since)))
    }

    /// What the durable log of this peer cannot be behind, unless its disk has lost data.
    pub(crate) fn acknowledged(&self, by: Incarnation) -> LogPosition {
        let of = |book: &BTreeMap<Incarnation, LogPosition>| book.get(&by).copied().unwrap_or_default();
        of(&self.matched).max(of(&self.held))
    }

    /// Forgets all peers but those to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(Incarnation) -> bool) {
        self.last_ack.retain(|who, _| keep(*who));
        self.matched.retain(|who, _| keep(*who));
        self.held.retain(|who, _| keep(*who));
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
        contacts.note(Incarnation(2), Term(2), LogPosition::GENESIS, LogPosition::GENESIS, later);
        assert!(!contacts.has_quorum(&joint, Incarnation(1), window, later), "the outgoing half is silent");
        contacts.note(Incarnation(4), Term(1), LogPosition::GENESIS, LogPosition::GENESIS, later);
        assert!(!contacts.has_quorum(&joint, Incarnation(1), window, later), "an answer of another term is none");
        contacts.note(Incarnation(4), Term(2), LogPosition::GENESIS, LogPosition::GENESIS, later);
        assert!(contacts.has_quorum(&joint, Incarnation(1), window, later));
    }

    /// CP-D4: what was acknowledged to this leader must be there while it leads. Afterwards only what was
    /// committed must: a later leader may have taken back the rest, and a member that obeyed it has lost nothing.
    #[test]
    fn only_committed_records_are_owed_to_a_past_leader() {
        let at = |term, index| LogPosition::new(Term(term), cp_seam::ControlPlaneLogIndex(index));
        let (peer, now) = (Incarnation(2), Instant::now());
        let mut contacts = Contacts::default();
        contacts.begin(Term(3), now);
        contacts.note(peer, Term(3), at(3, 100), at(3, 60), now);
        assert_eq!(contacts.acknowledged(peer), at(3, 100));
        contacts.end();
        assert_eq!(contacts.acknowledged(peer), at(3, 60));
        contacts.note(peer, Term(3), at(3, 200), at(3, 200), now);
        assert_eq!(contacts.acknowledged(peer), at(3, 60), "an answer from before, after the end");
        contacts.begin(Term(7), now);
        contacts.note(peer, Term(7), at(2, 50), at(2, 50), now);
        assert_eq!(contacts.acknowledged(peer), at(3, 60));
        contacts.retain(|_| false);
        assert_eq!(contacts.acknowledged(peer), LogPosition::GENESIS);
    }

    /// A leader that has just begun, or was paused, has missed nobody yet.
    #[test]
    fn silence_begins_with_the_reign_and_anew_after_a_pause() {
        let (peer, window, tick) = (Incarnation(2), Duration::from_millis(100), Duration::from_millis(10));
        let mut now = Instant::now();
        let mut contacts = Contacts::default();
        assert_eq!(contacts.silent_since(peer), None);
        contacts.begin(Term(2), now);
        contacts.awake(window, now);
        let begun = now;
        assert_eq!(contacts.silent_since(peer), Some(begun));
        now += tick;
        contacts.note(peer, Term(2), LogPosition::GENESIS, LogPosition::GENESIS, now);
        assert_eq!(contacts.silent_since(peer), Some(now));
        assert_eq!(contacts.silent_since(Incarnation(3)), Some(begun));
        now += Duration::from_secs(10);
        contacts.awake(window, now);
        for peer in [peer, Incarnation(3)] {
            assert!(contacts.silent_since(peer).is_some_and(|since| since > now), "it listens again");
        }
        contacts.end();
        assert_eq!(contacts.silent_since(peer), None);
        contacts.begin(Term(3), now + window);
        assert_eq!(contacts.silent_since(peer), Some(now + window), "what was heard in another reign counts no more");
    }

    /// CP-P2: a leader that was paused has answers waiting that were given long ago; another may lead by now.
    #[test]
    fn answers_from_before_a_pause_are_no_contact() {
        let voters = vec![member(1), member(2), member(3)];
        let three = Configuration { voters, ..Configuration::default() };
        let (window, tick) = (Duration::from_millis(100), Duration::from_millis(10));
        let mut now = Instant::now();
        let mut contacts = Contacts::default();
        contacts.begin(Term(2), now);
        let hear = |contacts: &mut Contacts, now: Instant| {
            contacts.awake(window, now);
            contacts.note(Incarnation(2), Term(2), LogPosition::GENESIS, LogPosition::GENESIS, now);
            contacts.has_quorum(&three, Incarnation(1), window, now)
        };
        for _ in 0..20 {
            now += tick;
            assert!(hear(&mut contacts, now));
        }
        now += Duration::from_secs(10);
        assert!(!hear(&mut contacts, now), "it was waiting");
        now += tick * 2;
        assert!(hear(&mut contacts, now), "it was given now");
    }
}
