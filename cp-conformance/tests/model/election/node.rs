//! One node: what it decides, what of it is durable, what it may say.

use super::{Election, Flaw};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LastVote, LogPosition, Term};

/// What must survive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    pub(super) vote: LastVote,
    /// The term of each record.
    pub(super) log: Vec<u64>,
}

impl Kept {
    pub(super) fn last(&self) -> LogPosition {
        let index = u64::try_from(self.log.len()).expect("short");
        LogPosition::new(Term(self.log.last().copied().unwrap_or_default()), ControlPlaneLogIndex(index))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Follower,
    Candidate,
    Leader,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Message {
    Ballot { term: Term, from: usize, last: LogPosition },
    Grant { term: Term, from: usize, to: usize },
    Append { term: Term, from: usize, log: Vec<u64> },
    Stored { term: Term, from: usize, to: usize },
}

impl Message {
    pub(super) fn is_for(&self, n: usize) -> bool {
        match self {
            Self::Ballot { from, .. } | Self::Append { from, .. } => *from != n,
            Self::Grant { to, .. } | Self::Stored { to, .. } => *to == n,
        }
    }

    pub(super) fn term(&self) -> Term {
        match self {
            Self::Ballot { term, .. }
            | Self::Grant { term, .. }
            | Self::Append { term, .. }
            | Self::Stored { term, .. } => *term,
        }
    }

    /// Who shows itself as the leader of which term.
    pub(super) fn leads(&self) -> Option<(Term, usize)> {
        match self {
            Self::Append { term, from, .. } => Some((*term, *from)),
            Self::Ballot { .. } | Self::Grant { .. } | Self::Stored { .. } => None,
        }
    }

    /// (voter, term, candidate): a candidate votes for itself by standing.
    pub(super) fn vote(&self) -> Option<(usize, Term, usize)> {
        match self {
            Self::Ballot { term, from, .. } => Some((*from, *term, *from)),
            Self::Grant { term, from, to } => Some((*from, *term, *to)),
            Self::Append { .. } | Self::Stored { .. } => None,
        }
    }
}

/// Those who said yes, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Votes(u8);

impl Votes {
    fn insert(&mut self, n: usize) {
        self.0 |= 1 << n;
    }

    pub(super) fn contains(self, n: usize) -> bool {
        self.0 & (1 << n) != 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) durable: Kept,
    pub(super) memory: Kept,
    pub(super) role: Role,
    /// A candidate's votes; a leader's acknowledgements.
    pub(super) votes: Votes,
    /// Waits for what is in memory to be durable.
    outbox: Vec<Message>,
}

fn life(n: usize) -> Incarnation {
    Incarnation(u64::try_from(n).expect("few") + 1)
}

impl Node {
    pub(super) fn new(term: Term, log: &[u64]) -> Self {
        let kept = Kept { vote: LastVote { term, ..LastVote::default() }, log: log.to_vec() };
        let (durable, role) = (kept.clone(), Role::Follower);
        Self { durable, memory: kept, role, votes: Votes::default(), outbox: Vec::new() }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.memory != self.durable || !self.outbox.is_empty()
    }

    fn become_follower(&mut self) {
        self.role = Role::Follower;
        self.votes = Votes::default();
    }

    /// The vote after taking part in `term`, if that is not behind.
    fn vote_in(&self, term: Term) -> Option<LastVote> {
        let vote = self.memory.vote;
        match term.cmp(&vote.term) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(vote),
            std::cmp::Ordering::Greater => Some(LastVote { term, ..LastVote::default() }),
        }
    }

    /// Stands in the next term.
    pub(super) fn stand(&mut self, model: &Election, me: usize) -> Vec<Message> {
        let term = Term(self.memory.vote.term.0 + 1);
        self.become_follower();
        self.role = Role::Candidate;
        self.memory.vote = LastVote { term, granted_to: Some(life(me)), following: None };
        let ballot = Message::Ballot { term, from: me, last: self.memory.last() };
        if model.flaw == Flaw::OwnVoteBeforePersist {
            self.votes.insert(me);
            return vec![ballot];
        }
        self.outbox.push(ballot);
        Vec::new()
    }

    /// What is in memory is durable; what has waited for that leaves.
    pub(super) fn persist(&mut self, model: &Election, me: usize) -> Vec<Message> {
        self.durable = self.memory.clone();
        let mut sent = std::mem::take(&mut self.outbox);
        match self.role {
            Role::Candidate => {
                self.votes.insert(me);
                sent.extend(self.lead_if_elected(model, me));
            }
            Role::Leader => self.votes.insert(me),
            Role::Follower => {}
        }
        sent
    }

    pub(super) fn crash(&mut self, model: &Election) {
        self.become_follower();
        self.outbox.clear();
        self.memory = self.durable.clone();
        if model.flaw == Flaw::VoteForgotten {
            self.memory.vote.granted_to = None;
        }
    }

    fn lead_if_elected(&mut self, model: &Election, me: usize) -> Option<Message> {
        if self.role != Role::Candidate || !model.is_quorum(self.votes) {
            return None;
        }
        let term = self.memory.vote.term;
        self.role = Role::Leader;
        self.votes = Votes::default();
        self.memory.vote.following = Some(life(me));
        self.memory.log.push(term.0);
        // It need not be durable here to be sent: only acknowledgements count.
        Some(Message::Append { term, from: me, log: self.memory.log.clone() })
    }

    pub(super) fn receive(&mut self, model: &Election, me: usize, message: &Message) -> Vec<Message> {
        match message {
            Message::Ballot { term, from, last } => self.judge(model, me, *term, *from, *last),
            Message::Grant { term, from, .. } if self.role == Role::Candidate && *term == self.memory.vote.term => {
                self.votes.insert(*from);
                self.lead_if_elected(model, me).into_iter().collect()
            }
            Message::Stored { term, from, .. } if self.role == Role::Leader && *term == self.memory.vote.term => {
                self.votes.insert(*from);
                Vec::new()
            }
            Message::Append { term, from, log } => self.follow(model, me, *term, *from, log),
            Message::Grant { .. } | Message::Stored { .. } => Vec::new(),
        }
    }

    fn judge(&mut self, model: &Election, me: usize, term: Term, from: usize, last: LogPosition) -> Vec<Message> {
        let Some(vote) = self.vote_in(term) else { return Vec::new() };
        if vote.term > self.memory.vote.term {
            self.become_follower();
            self.memory.vote = vote;
        }
        let granted = LastVote { granted_to: Some(life(from)), ..vote };
        let mine = self.memory.last();
        let behind = if model.flaw == Flaw::BarePosition { last.index < mine.index } else { last < mine };
        if behind || self.role != Role::Follower || !self.memory.vote.may_become(&granted) {
            return Vec::new();
        }
        self.memory.vote = granted;
        self.answer(Message::Grant { term, from: me, to: from }, model.flaw == Flaw::GrantBeforePersist)
    }

    fn follow(&mut self, model: &Election, me: usize, term: Term, from: usize, log: &[u64]) -> Vec<Message> {
        let Some(vote) = self.vote_in(term) else { return Vec::new() };
        let followed = LastVote { following: Some(life(from)), ..vote };
        if !self.memory.vote.may_become(&followed) {
            return Vec::new();
        }
        self.become_follower();
        self.memory = Kept { vote: followed, log: log.to_vec() };
        self.answer(Message::Stored { term, from: me, to: from }, model.flaw == Flaw::StoredBeforePersist)
    }

    fn answer(&mut self, answer: Message, at_once: bool) -> Vec<Message> {
        if at_once {
            return vec![answer];
        }
        if !self.outbox.contains(&answer) {
            self.outbox.push(answer);
        }
        Vec::new()
    }
}
