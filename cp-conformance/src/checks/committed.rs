//! Committed entries are immutable (CP-S2): once any node has applied a position,
//! or holds it durably below its committed index, no other may ever be there.

use super::{Broken, Fingerprint};
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, LogPosition, Term};
use std::collections::BTreeMap;

/// What is committed in each slot, as far as it was ever seen.
#[derive(Debug, Default)]
pub struct Committed {
    slots: BTreeMap<ControlPlaneLogIndex, (Term, Option<Fingerprint>)>,
}

impl Committed {
    /// The checker's name.
    pub const NAME: &str = "committed entries immutable";

    /// `who` has `position` as committed, holding `body` if that was seen.
    pub fn is(&mut self, position: LogPosition, body: Option<Fingerprint>, who: &str) -> Result<(), Broken> {
        let (term, known) = self.slots.entry(position.index).or_insert((position.term, body));
        if *term != position.term {
            let what = format!("{who} has {position} committed, where term {term} was committed before");
            return Err(Broken::new(Self::NAME, Promise::S2, what));
        }
        match (*known, body) {
            (Some(before), Some(now)) if before != now => {
                let what = format!("{who} has {now} committed at {position}, where {before} was committed before");
                Err(Broken::new(Self::NAME, Promise::S2, what))
            }
            (None, Some(now)) => {
                *known = Some(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The term committed at `index`, if it was seen.
    pub fn term_at(&self, index: ControlPlaneLogIndex) -> Option<Term> {
        self.slots.get(&index).map(|(term, _)| *term)
    }

    /// What was seen committed above `index`, ascending.
    pub fn above(&self, index: ControlPlaneLogIndex) -> impl Iterator<Item = LogPosition> + '_ {
        self.slots.range(index.next()..).map(|(index, (term, _))| LogPosition::new(*term, *index))
    }

    /// The highest slot seen committed.
    pub fn last(&self) -> Option<LogPosition> {
        self.slots.last_key_value().map(|(index, (term, _))| LogPosition::new(*term, *index))
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
}
