//! Standing, voting and winning, by the seam's election half: [`Member`],
//! [`quorum_threshold`] and the [`LastVote`] that [`LastVoteStore`] keeps.
//!
//! [`LastVoteStore`]: cp_seam::LastVoteStore

use super::core::{Core, Role};
use super::timing::STICKY_TICKS;
use super::wire::Body;
use cp_seam::{Incarnation, LastVote, LogPosition, Member, QuorumMember, Term, quorum_threshold};
use cp_store::Configuration;
use std::collections::BTreeSet;

/// A bid for leadership.
#[derive(Debug)]
pub(super) struct Campaign {
    /// Asks who would vote, before a term is spent on it.
    trial: bool,
    votes: BTreeSet<Incarnation>,
}

/// The electorates of a configuration: one, or two while it is joint (CP-M1).
fn electorates(configuration: &Configuration) -> Vec<Vec<(Incarnation, Member)>> {
    let elector = |m: &QuorumMember| (m.incarnation, Member { id: m.id.clone(), kind: m.kind, voting: true });
    let halves = [&configuration.voters, &configuration.outgoing];
    halves.iter().filter(|half| !half.is_empty()).map(|half| half.iter().map(elector).collect()).collect()
}

/// Whether those for whom `yes` holds are a quorum of every electorate.
pub(super) fn is_quorum(configuration: &Configuration, yes: impl Fn(Incarnation) -> bool) -> bool {
    electorates(configuration).iter().all(|electorate| {
        let voters = electorate.iter().filter(|(_, member)| member.voting);
        let votes = voters.clone().filter(|(who, _)| yes(*who)).count();
        votes >= quorum_threshold(voters.count())
    })
}

impl Core {
    /// Whether a leader leads, as far as this node can tell: itself, or one heard lately.
    pub(super) fn hears_a_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_)) || (self.leader.is_some() && self.quiet < STICKY_TICKS)
    }

    /// Only one that votes may stand; it counts as one in either half.
    pub(super) fn may_stand(&self) -> bool {
        self.log.configuration().is_voter(self.me)
    }

    /// Bids for leadership: first on trial, unless the leader itself hands over.
    pub(super) fn stand(&mut self, handover: bool) {
        self.follow_nobody();
        if self.may_stand() {
            self.campaign(!handover, handover);
        }
    }

    fn campaign(&mut self, trial: bool, handover: bool) {
        if !trial {
            let term = Term(self.vote.term.0 + 1);
            self.vote = LastVote { term, granted_to: Some(self.me), following: None };
        }
        self.change_role(Role::Candidate(Campaign { trial, votes: [self.me].into() }));
        let last = self.log.last();
        let members: Vec<_> = self.log.configuration().members().iter().map(|m| m.incarnation).collect();
        for to in members {
            if to != self.me && self.log.configuration().is_voter(to) {
                self.send(to, Body::Ballot { trial, handover, last });
            }
        }
        self.count_votes();
    }

    /// `from` asks for this node's vote in this term, or on trial for the next.
    pub(super) fn asked_for_vote(&mut self, from: Incarnation, trial: bool, last: LogPosition) {
        let complete = last >= self.log.last();
        let free = trial || self.vote.granted_to.is_none_or(|cast| cast == from);
        let leaderless = trial || self.vote.following.is_none_or(|leader| leader == from);
        let granted = complete && free && leaderless;
        if granted && !trial {
            self.vote.granted_to = Some(from);
            self.rest();
        }
        self.send(from, Body::Voted { trial, granted });
    }

    /// `from` has voted.
    pub(super) fn voted(&mut self, from: Incarnation, trial: bool, granted: bool) {
        match &mut self.role {
            Role::Candidate(campaign) if campaign.trial == trial && granted => campaign.votes.insert(from),
            _ => return,
        };
        self.count_votes();
    }

    fn count_votes(&mut self) {
        let Role::Candidate(Campaign { trial, votes }) = &self.role else { return };
        #[cfg(planted_bugs)]
        if !trial && cp_seam::planted::active(cp_seam::planted::Bug::SeveralLeaders) {
            return self.lead();
        }
        if !is_quorum(self.log.configuration(), |who| votes.contains(&who)) {
            return;
        }
        if *trial { self.campaign(false, false) } else { self.lead() }
    }
}
