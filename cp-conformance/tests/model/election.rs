//! Elections: who may lead, with a witness, on nodes that crash.
//!
//! Every message ever sent can arrive at any time, again and again, or never: that
//! is loss, duplication and reordering at once. What a node decides is in memory
//! first; it becomes durable together with all that waits for it, and a crash
//! goes back to what was durable.

mod healing;
mod node;

use crate::{breaks, holds};
use cp_seam::{Member, MemberId, MemberKind, Term, quorum_threshold};
use node::{Message, Node, Role, Votes};
use stateright::{Model, Property};
use std::collections::BTreeSet;

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Answers leave before what they promise is durable (CP-D1).
    GrantBeforePersist,
    /// A restart remembers the term and not the vote (CP-S3).
    VoteForgotten,
    /// A candidate counts its own vote before it is durable, and asks for others.
    OwnVoteBeforePersist,
    /// One vote too few wins.
    QuorumMinusOne,
    /// Logs are compared by length alone.
    BarePosition,
    /// Appends are acknowledged before they are durable (CP-D2).
    StoredBeforePersist,
    /// The witness votes and never stands.
    WitnessNeverStands,
}

#[derive(Debug, Clone)]
struct Election {
    members: Vec<Member>,
    /// The terms of what is in each log.
    logs: Vec<Vec<u64>>,
    /// What of them is committed.
    committed: Vec<u64>,
    term_max: u64,
    crashes_max: u8,
    flaw: Flaw,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    nodes: Vec<Node>,
    sent: BTreeSet<Message>,
    crashes: u8,
    /// The longest log that a quorum has durably acknowledged to its leader.
    committed: Vec<u64>,
    /// Two logs were committed that do not continue each other.
    forked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Stand(usize),
    Persist(usize),
    Receive(usize, Message),
    Crash(usize),
}

impl Election {
    /// Two data members and a witness, of which one data member lags (CP-M2).
    fn with_witness() -> Self {
        Self::of(
            &[MemberKind::Data, MemberKind::Data, MemberKind::Witness],
            vec![vec![1, 1], vec![1], vec![1, 1]],
            vec![1, 1],
        )
    }

    fn three_alike() -> Self {
        Self::of(&[MemberKind::Data; 3], vec![vec![1]; 3], vec![1])
    }

    /// One has the longer log, and the others the later one, which is committed.
    fn one_with_a_stale_tail() -> Self {
        Self::of(&[MemberKind::Data; 3], vec![vec![1, 1, 1], vec![1, 2], vec![1, 2]], vec![1, 2])
    }

    fn of(kinds: &[MemberKind], logs: Vec<Vec<u64>>, committed: Vec<u64>) -> Self {
        let member = |(n, kind): (usize, &MemberKind)| Member {
            id: MemberId::new(&format!("n{n}")).expect("legal"),
            kind: *kind,
            voting: true,
        };
        let members = kinds.iter().enumerate().map(member).collect();
        let term_max = committed.last().copied().unwrap_or_default() + 2;
        Self { members, logs, committed, term_max, crashes_max: 1, flaw: Flaw::None }
    }

    /// The term in which it begins.
    fn start(&self) -> Term {
        Term(self.term_max - 2)
    }

    fn are_alike(&self) -> bool {
        self.logs.iter().all(|log| *log == self.logs[0]) && !(0..self.members.len()).any(|n| self.is_witness(n))
    }

    fn is_witness(&self, n: usize) -> bool {
        self.members[n].kind == MemberKind::Witness
    }

    fn is_quorum(&self, of: Votes) -> bool {
        let voters = self.members.iter().filter(|member| member.voting).count();
        let votes = self.members.iter().enumerate().filter(|(n, member)| member.voting && of.contains(*n)).count();
        let needed = quorum_threshold(voters);
        votes >= if self.flaw == Flaw::QuorumMinusOne { needed - 1 } else { needed }
    }

    /// Notes what the leader's acknowledgements have committed.
    fn note_commit(&self, state: &mut State, n: usize) {
        let node = &state.nodes[n];
        if node.role != Role::Leader || !self.is_quorum(node.votes) {
            return;
        }
        let log = node.memory.log.clone();
        if log.starts_with(&state.committed) {
            state.committed = log;
        } else if !state.committed.starts_with(&log) {
            state.forked = true;
        }
    }

    fn step(&self, state: &mut State, action: Action) {
        let (n, sent) = match action {
            Action::Stand(n) => (n, state.nodes[n].stand(self, n)),
            Action::Persist(n) => (n, state.nodes[n].persist(self, n)),
            Action::Receive(n, message) => (n, state.nodes[n].receive(self, n, &message)),
            Action::Crash(n) => {
                state.crashes += 1;
                state.nodes[n].crash(self);
                (n, Vec::new())
            }
        };
        state.sent.extend(sent);
        self.note_commit(state, n);
    }
}

impl Model for Election {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nodes = self.logs.iter().map(|log| Node::new(self.start(), log)).collect();
        let committed = self.committed.clone();
        vec![State { nodes, sent: BTreeSet::new(), crashes: 0, committed, forked: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (n, node) in state.nodes.iter().enumerate() {
            let never = self.flaw == Flaw::WitnessNeverStands && self.is_witness(n);
            // Where all are alike it does not matter who is the first.
            let waits =
                self.are_alike() && n > 0 && !state.nodes.iter().any(|node| node.memory.vote.term > self.start());
            if !never && !waits && node.role != Role::Leader && node.memory.vote.term.0 < self.term_max {
                actions.push(Action::Stand(n));
            }
            if node.is_dirty() {
                actions.push(Action::Persist(n));
            }
            if state.crashes < self.crashes_max {
                actions.push(Action::Crash(n));
            }
            // One of an earlier term is ignored.
            let heard = |message: &&Message| message.is_for(n) && message.term() >= node.memory.vote.term;
            let addressed = state.sent.iter().filter(heard);
            actions.extend(addressed.map(|message| Action::Receive(n, message.clone())));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, action);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_LEADER, |_, state: &State| {
                let leaders: BTreeSet<_> = state.sent.iter().filter_map(Message::leads).collect();
                leaders.len() == leaders.iter().map(|(term, _)| term).collect::<BTreeSet<_>>().len()
            }),
            Property::always(ONE_VOTE, |_, state: &State| {
                let votes: BTreeSet<_> = state.sent.iter().filter_map(Message::vote).collect();
                votes.len() == votes.iter().map(|(voter, term, _)| (voter, term)).collect::<BTreeSet<_>>().len()
            }),
            Property::always(COMPLETE, |_, state: &State| {
                let newest = state.committed.last().copied().unwrap_or_default();
                let leads = |node: &&Node| node.role == Role::Leader && node.memory.vote.term.0 >= newest;
                !state.forked && state.nodes.iter().filter(leads).all(|n| n.memory.log.starts_with(&state.committed))
            }),
            Property::always(HEALS, healing::always_leads),
            Property::sometimes("somebody leads", |_, state: &State| {
                state.nodes.iter().any(|node| node.role == Role::Leader)
            }),
            Property::sometimes("a second leader commits after a first", |_, state: &State| {
                state.committed.contains(&2) && state.committed.contains(&3)
            }),
            Property::sometimes("two lead at once, in different terms", |_, state: &State| {
                state.nodes.iter().filter(|node| node.role == Role::Leader).count() == 2
            }),
        ]
    }
}

const ONE_LEADER: &str = "one leader per term (CP-S1)";
const ONE_VOTE: &str = "no member votes twice in a term (CP-S3)";
const COMPLETE: &str = "a leader holds what is committed (CP-S2)";
const HEALS: &str = "any majority gets a data member to lead (CP-M2, CP-L1)";

#[test]
fn two_data_members_and_a_witness() {
    assert!(holds("election with a witness", Election::with_witness()) > 10_000);
}

#[test]
fn three_data_members() {
    assert!(holds("election of three", Election::three_alike()) > 10_000);
}

#[test]
fn flaws_are_found() {
    for (flaw, model, property) in [
        (Flaw::GrantBeforePersist, Election::three_alike(), ONE_VOTE),
        (Flaw::VoteForgotten, Election::three_alike(), ONE_VOTE),
        (Flaw::OwnVoteBeforePersist, Election::three_alike(), ONE_VOTE),
        (Flaw::QuorumMinusOne, Election::three_alike(), ONE_LEADER),
        (Flaw::BarePosition, Election::one_with_a_stale_tail(), COMPLETE),
        (Flaw::StoredBeforePersist, Election::three_alike(), COMPLETE),
        (Flaw::WitnessNeverStands, Election::with_witness(), HEALS),
    ] {
        breaks(&format!("{flaw:?}"), Election { flaw, ..model }, property);
    }
}
