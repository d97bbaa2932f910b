//! The election half of the boundary: members, quorums and the durable vote.
//!
//! The reference model elects through these alone; both engine adapters load
//! their vote through [`LastVoteStore`] and persist it through a store batch
//! whose vote-only case is [`LastVoteStore::persist`].

use crate::id::{Incarnation, MemberId, Term};
use std::fmt::Debug;

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberKind {
    /// Votes, and may own and hold ranges.
    Data,
    /// Votes and keeps the whole control-plane log, never holds a range, stands
    /// for election last and hands over to a caught-up data member (CP-M2).
    Witness,
}

/// A member as an election sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: MemberId,
    /// What it is for.
    pub kind: MemberKind,
    /// Whether its vote counts. A member that is catching up has none.
    pub voting: bool,
}

/// How many votes win among `voters`: floor(voters / 2) + 1, witnesses counted.
///
/// ```
/// assert_eq!([1, 2, 3, 4, 5].map(cp_seam::quorum_threshold), [1, 2, 2, 3, 3]);
/// ```
pub const fn quorum_threshold(voters: usize) -> usize {
    voters / 2 + 1
}

/// The durable memory of elections: what a node may never forget.
///
/// A grant and a followed leader are two facts. `granted_to` is the vote that
/// this node cast in `term`, its own candidacy included; `following` is the
/// leader whose authority in `term` it has accepted, which it may do without
/// having voted for it. Only grants are votes: no `(node, term)` ever grants two
/// candidates (CP-S3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LastVote {
    /// The highest term this node has taken part in.
    pub term: Term,
    /// Whom it voted for in `term`.
    pub granted_to: Option<Incarnation>,
    /// Whom it follows in `term`.
    pub following: Option<Incarnation>,
}

impl LastVote {
    /// Whether replacing `self` by `next` keeps every promise that `self` made:
    /// the term never falls, and within a term neither a grant nor a followed
    /// leader is taken back or changed.
    ///
    /// ```
    /// use cp_seam::{Incarnation, LastVote, Term};
    /// let cast = LastVote { term: Term(3), granted_to: Some(Incarnation(1)), following: None };
    /// let other = LastVote { granted_to: Some(Incarnation(2)), ..cast };
    /// assert!(!cast.may_become(&other));
    /// assert!(cast.may_become(&LastVote { term: Term(4), ..other }));
    /// ```
    pub fn may_become(&self, next: &Self) -> bool {
        let kept = |was: Option<Incarnation>, is: Option<Incarnation>| was.is_none() || was == is;
        #[cfg(planted_bugs)]
        if crate::planted::active(crate::planted::Bug::TermAndVoteApart) {
            return next.term >= self.term;
        }
        next.term > self.term
            || (next.term == self.term
                && kept(self.granted_to, next.granted_to)
                && kept(self.following, next.following))
    }
}

/// Loads and persists the [`LastVote`].
pub trait LastVoteStore: Debug + Send + Sync + 'static {
    /// The vote that is on disk; the default one if none was ever cast.
    ///
    /// Does not block: the store holds the vote in memory once it is open.
    /// Errors mean that this node must not vote (CP-D4).
    fn load(&self) -> Result<LastVote, VoteStoreError>;

    /// Makes `vote` durable, then returns.
    ///
    /// Guarantees: when it returns `Ok`, the vote survives power loss (CP-D1); a
    /// vote that breaks [`LastVote::may_become`] is refused and nothing changes
    /// (CP-S3). Errors: after a failed write or fsync the node stops and every
    /// later call fails too (CP-D4); it is unknown whether the vote reached the
    /// disk. Blocks the calling thread for an fsync: never call it from an
    /// async task.
    fn persist(&self, vote: LastVote) -> Result<(), VoteStoreError>;
}

/// Why a vote was not loaded or not persisted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoteStoreError {
    /// The vote contradicts the one on disk. The caller has a bug, or is an impostor.
    #[error("vote {next:?} contradicts the durable vote {durable:?}; it was not written")]
    Contradiction {
        /// What is on disk.
        durable: LastVote,
        /// What was to replace it.
        next: LastVote,
    },
    /// The store failed or is closed; this node must not vote any more.
    #[error("the vote store has failed; stop this node and repair or replace its disk")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_half() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(quorum_threshold), [1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_vote_takes_back_nothing_within_its_term() {
        let one_of = [None, Some(Incarnation(1)), Some(Incarnation(2))];
        let votes = |term| {
            one_of.into_iter().flat_map(move |granted_to| {
                one_of.map(move |following| LastVote { term: Term(term), granted_to, following })
            })
        };
        for was in votes(3) {
            for is in votes(3) {
                let kept = |was: Option<Incarnation>, is| was.is_none_or(|was| is == Some(was));
                let allowed = kept(was.granted_to, is.granted_to) && kept(was.following, is.following);
                assert_eq!(was.may_become(&is), allowed, "{was:?} {is:?}");
            }
            assert!(votes(4).all(|is| was.may_become(&is)), "a higher term begins anew");
            assert!(!votes(2).any(|is| was.may_become(&is)), "the term never falls");
        }
    }
}
