//! Between the store's records and the engine's own types.
//!
//! An engine entry carries the payload in `data` and what kind of record it is in
//! `context`. For a configuration, `context` holds our encoding of the full
//! result; `data`, which the engine parses when the *leader* proposes, is made
//! there and dropped on the way to the record. So no protobuf of the engine's is
//! ever read from the disk or the network.

use bytes::Bytes;
use cp_driver::wire::ConfigurationMessage;
use cp_seam::{
    ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Incarnation, LastVote, LogPosition, QuorumMember,
    Term,
};
use cp_store::{Configuration, LogRecord, RecordBody};
use prost::Message;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use std::collections::BTreeSet;

const MEMBERSHIP: &[u8] = &[1];
const OWNERSHIP: &[u8] = &[2];

/// An engine entry that no node of ours makes.
#[derive(Debug, thiserror::Error)]
#[error("the engine holds an entry at {at} that is no record: {why}")]
pub(crate) struct NotARecord {
    at: LogPosition,
    why: String,
}

/// A configuration that does not follow from the current one in a single step.
#[derive(Debug, thiserror::Error)]
#[error("from {from} to {to} is not one step")]
pub(crate) struct NotAStep {
    from: String,
    to: String,
}

pub(crate) fn index(index: u64) -> ControlPlaneLogIndex {
    ControlPlaneLogIndex(index)
}

/// The engine writes *nobody* as zero.
pub(crate) fn member(id: u64) -> Option<Incarnation> {
    (id != raft::INVALID_ID).then_some(Incarnation(id))
}

pub(crate) fn position(entry: &Entry) -> LogPosition {
    LogPosition::new(Term(entry.term), index(entry.index))
}

/// An entry of the seam, not yet placed.
pub(crate) fn proposal(entry: &cp_seam::ControlPlaneEntry) -> Entry {
    let kind = match entry.kind() {
        ControlPlaneEntryKind::MembershipChange => MEMBERSHIP,
        ControlPlaneEntryKind::OwnershipTransition => OWNERSHIP,
    };
    Entry { data: entry.payload().as_bytes().clone(), context: Bytes::from_static(kind), ..Entry::default() }
}

/// What the context of a configuration entry holds.
pub(crate) fn configuration_context(configuration: &Configuration) -> Bytes {
    ConfigurationMessage::from(configuration).encode_to_vec().into()
}

pub(crate) fn entry(record: &LogRecord) -> Entry {
    let mut out = match &record.body {
        RecordBody::Blank => Entry::default(),
        RecordBody::Entry(entry) => proposal(entry),
        RecordBody::Configuration(configuration) => {
            let mut out = Entry::default();
            out.set_entry_type(EntryType::EntryConfChangeV2);
            out.context = configuration_context(configuration);
            out
        }
    };
    out.term = record.position.term.0;
    out.index = record.position.index.0;
    out
}

pub(crate) fn record(entry: &Entry) -> Result<LogRecord, NotARecord> {
    let position = position(entry);
    let bad = |why: String| NotARecord { at: position, why };
    let body = match entry.get_entry_type() {
        EntryType::EntryConfChangeV2 => {
            let message = ConfigurationMessage::decode(entry.context.clone()).map_err(|e| bad(e.to_string()))?;
            RecordBody::Configuration(Configuration::try_from(message).map_err(|e| bad(e.to_string()))?)
        }
        EntryType::EntryConfChange => return Err(bad("an old-style configuration change".to_owned())),
        EntryType::EntryNormal => {
            let kind = match entry.context.as_ref() {
                [] if entry.data.is_empty() => return Ok(LogRecord { position, body: RecordBody::Blank }),
                MEMBERSHIP => ControlPlaneEntryKind::MembershipChange,
                OWNERSHIP => ControlPlaneEntryKind::OwnershipTransition,
                other => return Err(bad(format!("unknown kind {other:?}"))),
            };
            let payload = ControlPlanePayload::new(entry.data.clone()).map_err(|e| bad(e.to_string()))?;
            RecordBody::Entry(kind.entry(payload))
        }
    };
    Ok(LogRecord { position, body })
}

/// The engine's form of a configuration. A learner that still votes in the outgoing
/// half is one of its `learners_next`.
pub(crate) fn conf_state(configuration: &Configuration) -> ConfState {
    let outgoing = ids(&configuration.outgoing);
    let learners = ids(&configuration.learners);
    let mut out = ConfState::default();
    out.set_voters(ids(&configuration.voters).into_iter().collect());
    out.set_learners(learners.difference(&outgoing).copied().collect());
    out.set_learners_next(learners.intersection(&outgoing).copied().collect());
    out.set_voters_outgoing(outgoing.into_iter().collect());
    out
}

fn ids(members: &[QuorumMember]) -> BTreeSet<u64> {
    members.iter().map(|m| m.incarnation.0).collect()
}

fn single(kind: ConfChangeType, id: u64) -> ConfChangeSingle {
    let mut out = ConfChangeSingle::default();
    out.set_change_type(kind);
    out.node_id = id;
    out
}

fn change(transition: ConfChangeTransition, changes: Vec<ConfChangeSingle>) -> ConfChangeV2 {
    let mut out = ConfChangeV2::default();
    out.set_transition(transition);
    out.set_changes(changes.into());
    out
}

/// The engine's changes that lead from `from` to `to`; empty if a joint
/// configuration repeats itself. Voters change only by entering and leaving a
/// joint configuration. A change of learners is one engine change for each: the
/// engine takes several at once for a reason to enter a joint configuration of its own.
pub(crate) fn steps(from: &ConfState, to: &Configuration) -> Result<Vec<ConfChangeV2>, NotAStep> {
    let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<_>>();
    let (voters, outgoing) = (set(from.get_voters()), set(from.get_voters_outgoing()));
    let learners: BTreeSet<_> = &set(from.get_learners()) | &set(from.get_learners_next());
    let (to_voters, to_outgoing, to_learners) = (ids(&to.voters), ids(&to.outgoing), ids(&to.learners));

    let mut changes = Vec::new();
    for id in (&voters | &learners).difference(&(&to_voters | &to_learners)) {
        changes.push(single(ConfChangeType::RemoveNode, *id));
    }
    for id in to_learners.difference(&learners) {
        changes.push(single(ConfChangeType::AddLearnerNode, *id));
    }
    for id in to_voters.difference(&voters) {
        changes.push(single(ConfChangeType::AddNode, *id));
    }

    let (was_joint, is_joint) = (!outgoing.is_empty(), !to_outgoing.is_empty());
    let same_voters = voters == to_voters;
    let one_by_one = |changes: Vec<_>| changes.into_iter().map(|one| change(ConfChangeTransition::Auto, vec![one]));
    match (was_joint, is_joint) {
        (false, true) if to_outgoing == voters && !changes.is_empty() => {
            Ok(vec![change(ConfChangeTransition::Explicit, changes)])
        }
        (true, false) if same_voters => {
            let leave = change(ConfChangeTransition::Auto, Vec::new());
            Ok(std::iter::once(leave).chain(one_by_one(changes)).collect())
        }
        (false, false) if same_voters && changes.is_empty() => {
            // Addresses alone: the engine must see a change, and skips the one of member zero.
            Ok(one_by_one(vec![single(ConfChangeType::RemoveNode, raft::INVALID_ID)]).collect())
        }
        (false, false) if same_voters => Ok(one_by_one(changes).collect()),
        (true, true) if outgoing == to_outgoing && changes.is_empty() => Ok(Vec::new()),
        _ => Err(NotAStep { from: format!("{from:?}"), to: format!("{:?}", conf_state(to)) }),
    }
}

/// The engine has one field for a grant and for a leader followed without one.
pub(crate) fn hard_state(vote: &LastVote, committed: ControlPlaneLogIndex) -> HardState {
    let voted = vote.granted_to.or(vote.following).unwrap_or_default();
    HardState { term: vote.term.0, vote: voted.0, commit: committed.0, ..HardState::default() }
}

/// What is to be durable, given what is (`known`) and the engine's term, vote and
/// leader. `granting`: a message waits that grants this vote or asks for votes in
/// its name; without one, a vote that equals the leader followed came out of
/// [`hard_state`] and is not a grant.
pub(crate) fn last_vote(
    known: LastVote,
    term: Term,
    vote: Option<Incarnation>,
    leader: Option<Incarnation>,
    granting: bool,
) -> LastVote {
    let known = if known.term == term { known } else { LastVote { term, ..LastVote::default() } };
    let inherited = known.granted_to.is_none() && vote == known.following && !granting;
    LastVote {
        term,
        granted_to: if inherited { None } else { vote.or(known.granted_to) },
        following: leader.or(known.following),
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
