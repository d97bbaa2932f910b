//! The vote ledger: no (node, term) ever grants two candidates (CP-S3), across
//! restarts, a candidate's own vote included.
//!
//! Outcome checkers rarely see a double vote; the ledger sees each one, because
//! it writes down every grant that leaves a node and every grant on a disk. A vote
//! that a node learns of in an answer may be on its disk as if granted: it is to
//! the one candidate whom it could still vote for in that term. Only the disk of a
//! wiped life proves nothing by it, so of such a life only what leaves is judged.

use super::Broken;
use crate::promise::Promise;
use cp_seam::{Incarnation, LastVote, Term};
use std::collections::BTreeMap;

/// Every grant ever seen.
#[derive(Debug, Default)]
pub struct Ledger {
    grants: BTreeMap<(Incarnation, Term), Incarnation>,
}

impl Ledger {
    /// The checker's name.
    pub const NAME: &str = "vote ledger";

    /// `voter` has granted `candidate` its vote in `term`. Answers whether this is news.
    pub fn grants(&mut self, voter: Incarnation, term: Term, candidate: Incarnation) -> Result<bool, Broken> {
        match self.grants.insert((voter, term), candidate) {
            None => Ok(true),
            Some(before) if before == candidate => Ok(false),
            Some(before) => {
                let what = format!("in term {term} voter {voter} granted {before} and then {candidate}");
                Err(Broken::new(Self::NAME, Promise::S3, what))
            }
        }
    }

    /// `voter` has this vote on its disk.
    pub fn holds(&mut self, voter: Incarnation, vote: &LastVote) -> Result<(), Broken> {
        match vote.granted_to {
            Some(candidate) => self.grants(voter, vote.term, candidate).map(drop),
            None => Ok(()),
        }
    }

    /// How many grants were written down.
    pub fn count(&self) -> usize {
        self.grants.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_a_second_candidate_whether_sent_or_stored() {
        let (a, b, voter) = (Incarnation(1), Incarnation(2), Incarnation(3));
        let mut ledger = Ledger::default();
        assert_eq!(ledger.grants(voter, Term(4), a), Ok(true));
        assert_eq!(ledger.grants(voter, Term(4), a), Ok(false));
        assert_eq!(ledger.grants(voter, Term(5), b), Ok(true));
        let broken = ledger.grants(voter, Term(4), b).unwrap_err();
        assert_eq!((broken.checker, broken.promise), (Ledger::NAME, Promise::S3));

        let mut ledger = Ledger::default();
        ledger.grants(voter, Term(4), a).unwrap();
        let following = LastVote { term: Term(4), granted_to: None, following: Some(b) };
        assert_eq!(ledger.holds(voter, &following), Ok(()), "following is not a grant");
        assert!(ledger.holds(voter, &LastVote { granted_to: Some(b), ..following }).is_err());
    }
}
