//! The store's types to the engine's and back.

use crate::types::{
    CommittedLeaderId, Entry, LogId, Membership, Payload, Placed, Proposal, SnapshotMeta, StoredMembership, Vote,
};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LastVote, LogPosition, QuorumMember, Term};
use cp_store::{Configuration, LogRecord, RecordBody};
use openraft::entry::RaftEntry;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn log_id(position: LogPosition) -> LogId {
    LogId::new(CommittedLeaderId::new(position.term.0), position.index.0)
}

pub(crate) fn position(id: &LogId) -> LogPosition {
    LogPosition::new(Term(id.leader_id.term), ControlPlaneLogIndex(id.index))
}

/// A record as the engine reads it back: nobody waits for its position.
pub(crate) fn entry(record: LogRecord) -> Entry {
    let payload = match record.body {
        RecordBody::Blank => Payload::Blank,
        RecordBody::Entry(entry) => Payload::Entry(Proposal { entry, placed: Placed::default() }),
        RecordBody::Configuration(configuration) => Payload::Configuration(configuration, Placed::default()),
    };
    Entry::new(log_id(record.position), payload)
}

/// An entry as the store keeps it; `None` for one that openraft made up.
pub(crate) fn record(entry: Entry) -> Option<LogRecord> {
    let body = match entry.payload {
        Payload::Blank => RecordBody::Blank,
        Payload::Entry(proposal) => RecordBody::Entry(proposal.entry),
        Payload::Configuration(configuration, _) => RecordBody::Configuration(configuration),
        Payload::Bare(_) => return None,
    };
    Some(LogRecord { position: position(&entry.log_id), body })
}

/// Who votes and who only receives. The last of openraft's voter sets is the one
/// that a joint configuration leads to. A configuration without voters gives
/// openraft's empty one.
pub(crate) fn membership(configuration: &Configuration) -> Membership {
    let ids = |half: &[QuorumMember]| half.iter().map(|m| m.incarnation.0).collect::<BTreeSet<_>>();
    let mut halves = Vec::new();
    if configuration.is_joint() {
        halves.push(ids(&configuration.outgoing));
    }
    halves.push(ids(&configuration.voters));
    let nodes: BTreeMap<u64, ()> = configuration.members().into_iter().map(|m| (m.incarnation.0, ())).collect();
    Membership::new(halves, nodes).unwrap_or_default()
}

pub(crate) fn stored_membership(at: LogPosition, configuration: &Configuration) -> StoredMembership {
    StoredMembership::new(Some(log_id(at)), membership(configuration))
}

pub(crate) fn snapshot_meta(meta: &cp_store::SnapshotMeta) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(log_id(meta.position)),
        last_membership: stored_membership(meta.configuration_at, &meta.configuration),
    }
}

/// The durable vote as the engine knows it: committed once a leader is followed.
///
/// In a term in which nobody was granted anything (the other engine records
/// that) openraft, which has no such vote, is told that it voted for itself: it
/// then grants nobody else in that term, which is always safe (CP-S3).
pub(crate) fn vote(last: LastVote, me: Incarnation) -> Option<Vote> {
    if last == LastVote::default() {
        return None;
    }
    Some(match (last.following, last.granted_to) {
        (Some(leader), _) => Vote::new_committed(last.term.0, leader.0),
        (None, Some(candidate)) => Vote::new(last.term.0, candidate.0),
        (None, None) => Vote::new(last.term.0, me.0),
    })
}

/// The durable vote after the engine has set `next`: what was granted in the same
/// term stays granted when a leader is followed, and the other way round (CP-S3).
/// The store refuses whatever contradicts `current`.
pub(crate) fn last_vote(current: LastVote, next: &Vote) -> LastVote {
    let term = Term(next.leader_id.term);
    let who = Incarnation(next.leader_id.voted_for);
    let kept = if current.term == term { current } else { LastVote { term, ..LastVote::default() } };
    if next.committed { LastVote { following: Some(who), ..kept } } else { LastVote { granted_to: Some(who), ..kept } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{MemberId, MemberKind};

    fn member(incarnation: u64) -> QuorumMember {
        QuorumMember {
            incarnation: Incarnation(incarnation),
            id: MemberId::new(&format!("m{incarnation}")).expect("legal"),
            kind: MemberKind::Data,
            address: format!("host-{incarnation}:1"),
        }
    }

    fn vote_of(term: u64, granted: Option<u64>, following: Option<u64>) -> LastVote {
        LastVote { term: Term(term), granted_to: granted.map(Incarnation), following: following.map(Incarnation) }
    }

    #[test]
    fn votes_are_read_as_the_engine_needs_them() {
        let me = Incarnation(9);
        assert_eq!(vote(LastVote::default(), me), None);
        assert_eq!(vote(vote_of(3, Some(1), None), me), Some(Vote::new(3, 1)));
        assert_eq!(vote(vote_of(3, Some(1), Some(2)), me), Some(Vote::new_committed(3, 2)));
        assert_eq!(vote(vote_of(3, None, None), me), Some(Vote::new(3, 9)));
    }

    /// CP-S3: following a leader does not take back what was granted to another.
    #[test]
    fn a_followed_leader_leaves_the_grant() {
        let granted = last_vote(vote_of(2, Some(5), Some(5)), &Vote::new(3, 1));
        assert_eq!(granted, vote_of(3, Some(1), None));
        let following = last_vote(granted, &Vote::new_committed(3, 2));
        assert_eq!(following, vote_of(3, Some(1), Some(2)));
        assert!(granted.may_become(&following));
    }

    /// CP-S3: a second grant in a term is passed on as it is, for the store to refuse.
    #[test]
    fn a_second_grant_is_not_papered_over() {
        let granted = vote_of(3, Some(1), None);
        assert!(!granted.may_become(&last_vote(granted, &Vote::new(3, 2))));
    }

    #[test]
    fn a_joint_configuration_keeps_all_members_in_view() {
        let configuration = Configuration {
            voters: vec![member(1), member(4)],
            outgoing: vec![member(1), member(2), member(3)],
            learners: vec![member(2), member(5)],
        };
        let view = membership(&configuration);
        assert_eq!(view.get_joint_config(), &vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 4])]);
        assert_eq!(view.nodes().map(|(id, ())| *id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(view.learner_ids().collect::<Vec<_>>(), [5], "an outgoing voter still votes");
    }

    #[test]
    fn records_come_back_whole() {
        let configuration = Configuration { voters: vec![member(1)], ..Configuration::default() };
        let at = LogPosition::new(Term(2), ControlPlaneLogIndex(7));
        for body in [RecordBody::Blank, RecordBody::Configuration(configuration)] {
            let whole = LogRecord { position: at, body };
            assert_eq!(record(entry(whole.clone())), Some(whole));
        }
    }
}
