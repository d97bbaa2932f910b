//! Committed entries are immutable (CP-S2): once any node has applied a position,
//! or holds it durably below its committed index, no other may ever be there.

use super::{Broken, Fingerprint};
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, LogPosition, Term};
use std::collections::BTreeMap;

/// What is committed in each slot, as far as it was ever seen.
#[derive(Debug, Default)]
pub struct Committed {
    slots: BTreeMap<ControlPlaneLogIndex, Slot>,
    led: Term,
}

#[derive(Debug)]
struct Slot {
    term: Term,
    body: Option<Fingerprint>,
    /// No term beyond this one can have committed it.
    by: Term,
}

impl Committed {
    /// The checker's name.
    pub const NAME: &str = "committed entries immutable";

    /// Somebody leads `term`: what is first seen committed from here on may have been
    /// committed in it, whatever term its record is of.
    pub fn led(&mut self, term: Term) {
        self.led = self.led.max(term);
    }

    /// `who` has `position` as committed, holding `body` if that was seen.
    pub fn is(&mut self, position: LogPosition, body: Option<Fingerprint>, who: &str) -> Result<(), Broken> {
        let by = self.led.max(position.term);
        let slot = self.slots.entry(position.index).or_insert(Slot { term: position.term, body, by });
        if slot.term != position.term {
            let what = format!("{who} has {position} committed, where term {} was committed before", slot.term);
            return Err(Broken::new(Self::NAME, Promise::S2, what));
        }
        match (slot.body, body) {
            (Some(before), Some(now)) if before != now => {
                let what = format!("{who} has {now} committed at {position}, where {before} was committed before");
                Err(Broken::new(Self::NAME, Promise::S2, what))
            }
            (None, Some(now)) => {
                slot.body = Some(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The term committed at `index`, if it was seen.
    pub fn term_at(&self, index: ControlPlaneLogIndex) -> Option<Term> {
        self.slots.get(&index).map(|slot| slot.term)
    }

    /// What is above `index` and was committed in a term before `term`, ascending.
    ///
    /// The term of a record does not tell: a record of term 5 may be committed by the
    /// leader of term 7 only (Raft, section 5.4.2), and a late leader of term 6 need
    /// not hold it.
    pub fn before(&self, term: Term, index: ControlPlaneLogIndex) -> impl Iterator<Item = LogPosition> + '_ {
        let above = self.slots.range(index.next()..).filter(move |(_, slot)| slot.by < term);
        above.map(|(index, slot)| LogPosition::new(slot.term, *index))
    }

    /// The highest slot seen committed.
    pub fn last(&self) -> Option<LogPosition> {
        self.slots.last_key_value().map(|(index, slot)| LogPosition::new(slot.term, *index))
    }

    /// How many slots were seen committed.
    pub fn count(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_another_term_and_on_another_body() {
        let at = |term, index| LogPosition::new(Term(term), ControlPlaneLogIndex(index));
        let (one, two) = (Some(Fingerprint([1; 16])), Some(Fingerprint([2; 16])));
        let mut committed = Committed::default();
        committed.is(at(1, 1), None, "n0").unwrap();
        committed.is(at(1, 1), one, "n1").unwrap();
        committed.is(at(1, 1), None, "n0").unwrap();
        assert!(committed.is(at(1, 1), two, "n2").is_err());
        let broken = committed.is(at(2, 1), one, "n2").unwrap_err();
        assert_eq!((broken.checker, broken.promise), (Committed::NAME, Promise::S2));
        assert_eq!(committed.last(), Some(at(1, 1)));
    }
    #[test]
    fn a_term_that_a_later_one_overtook_is_not_asked_for_what_that_one_committed() {
        let at = |term, index| LogPosition::new(Term(term), ControlPlaneLogIndex(index));
        let mut committed = Committed::default();
        let before = |committed: &Committed, term| -> Vec<LogPosition> {
            committed.before(Term(term), ControlPlaneLogIndex(1)).collect()
        };
        committed.is(at(5, 1), None, "n0").unwrap();
        committed.is(at(5, 2), None, "n0").unwrap();
        committed.led(Term(7));
        committed.led(Term(6));
        for record in [at(5, 3), at(7, 4)] {
            committed.is(record, None, "n0").unwrap();
        }
        assert_eq!(before(&committed, 5), []);
        assert_eq!(before(&committed, 6), [at(5, 2)]);
        assert_eq!(before(&committed, 8), [at(5, 2), at(5, 3), at(7, 4)]);
    }
}
