//! At most one leader per term (CP-S1), by what nodes say of themselves and by
//! the leader frames that they send.

use super::Broken;
use crate::promise::Promise;
use cp_seam::{Incarnation, Term};
use std::collections::BTreeMap;

/// Who led which term.
#[derive(Debug, Default)]
pub struct Leaders {
    by_term: BTreeMap<Term, Incarnation>,
}

impl Leaders {
    /// The checker's name.
    pub const NAME: &str = "one leader per term";

    /// `who` acts as the leader of `term`. Answers whether this is news.
    pub fn leads(&mut self, term: Term, who: Incarnation) -> Result<bool, Broken> {
        match self.by_term.insert(term, who) {
            None => Ok(true),
            Some(before) if before == who => Ok(false),
            Some(before) => {
                let what = format!("in term {term} both {before} and {who} acted as leader");
                Err(Broken::new(Self::NAME, Promise::S1, what))
            }
        }
    }

    /// How many terms had a leader.
    pub fn count(&self) -> usize {
        self.by_term.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_two_leaders_in_a_term() {
        let mut leaders = Leaders::default();
        assert_eq!(leaders.leads(Term(1), Incarnation(1)), Ok(true));
        assert_eq!(leaders.leads(Term(1), Incarnation(1)), Ok(false));
        assert_eq!(leaders.leads(Term(2), Incarnation(2)), Ok(true));
        let broken = leaders.leads(Term(1), Incarnation(2)).unwrap_err();
        assert_eq!((broken.checker, broken.promise), (Leaders::NAME, Promise::S1));
    }
}
