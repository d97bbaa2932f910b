//! From any state: with any one member lost for good and the others in touch, a
//! data member leads, and holds what was committed.

use super::node::{Message, Role};
use super::{Action, Election, State};

/// Whether it comes to that whoever is lost.
pub(super) fn always_leads(model: &Election, state: &State) -> bool {
    (0..model.members.len()).all(|lost| leads(model, state, lost))
}

/// Data members stand in turn, a witness after them; a witness that leads lets
/// them stand again, with what it has sent them.
fn leads(model: &Election, from: &State, lost: usize) -> bool {
    let mut state = State { sent: Default::default(), ..from.clone() };
    let live = |n: &usize| *n != lost;
    let (witnesses, data): (Vec<_>, Vec<_>) = (0..model.members.len()).filter(live).partition(|n| model.is_witness(*n));
    let may_stand = |n: &usize| model.flaw != super::Flaw::WitnessNeverStands || !model.is_witness(*n);
    let order: Vec<_> = data.iter().chain(&witnesses).chain(&data).copied().filter(may_stand).collect();
    for candidate in order {
        let newest = (0..model.members.len()).filter(live).map(|n| state.nodes[n].memory.vote.term).max();
        let node = &mut state.nodes[candidate];
        if newest.is_some_and(|newest| newest > node.memory.vote.term) {
            // The answers to its last attempt told it.
            node.memory.vote = cp_seam::LastVote { term: newest.unwrap_or_default(), ..Default::default() };
            node.role = Role::Follower;
        }
        model.step(&mut state, Action::Stand(candidate));
        settle(model, &mut state, lost);
        let leader = &state.nodes[candidate];
        if leader.role == Role::Leader && !model.is_witness(candidate) {
            return state.committed == leader.memory.log && !state.forked;
        }
    }
    false
}

/// Everybody writes, and everything arrives, until nothing is new.
fn settle(model: &Election, state: &mut State, lost: usize) {
    let live: Vec<_> = (0..model.members.len()).filter(|n| *n != lost).collect();
    let mut arrived: Vec<Message> = Vec::new();
    loop {
        for n in &live {
            model.step(state, Action::Persist(*n));
        }
        let new: Vec<_> = state.sent.iter().filter(|message| !arrived.contains(message)).cloned().collect();
        if new.is_empty() {
            return;
        }
        for message in &new {
            for n in live.iter().filter(|n| message.is_for(**n)) {
                model.step(state, Action::Receive(*n, message.clone()));
            }
        }
        arrived.extend(new);
    }
}
