use super::*;
use crate::testing::{configuration, quorum_member};
use cp_seam::ControlPlaneEntry;
use proptest::collection::btree_set;
use proptest::prelude::*;
use raft::{Changer, MapChange, ProgressTracker};

fn record_at(term: u64, index: u64, body: RecordBody) -> LogRecord {
    LogRecord { position: LogPosition::new(Term(term), super::index(index)), body }
}

fn bodies() -> impl Strategy<Value = RecordBody> {
    let payload = proptest::collection::vec(any::<u8>(), 0..64);
    let entry = (any::<bool>(), payload).prop_map(|(ownership, bytes)| {
        let payload = ControlPlanePayload::new(bytes).expect("short");
        RecordBody::Entry(match ownership {
            true => ControlPlaneEntry::OwnershipTransition(payload),
            false => ControlPlaneEntry::MembershipChange(payload),
        })
    });
    prop_oneof![Just(RecordBody::Blank), entry, configurations().prop_map(RecordBody::Configuration),]
}

/// Legal configurations: uniform, or joint with learners that may still vote on the way out.
fn configurations() -> impl Strategy<Value = Configuration> {
    (btree_set(1_u64..9, 1..5), btree_set(1_u64..9, 0..5), btree_set(1_u64..9, 0..5)).prop_map(
        |(voters, outgoing, learners)| {
            let learners: Vec<_> = learners.difference(&voters).copied().collect();
            configuration(voters, outgoing, learners)
        },
    )
}

/// What the engine makes of a chain of changes, without an engine.
fn apply(tracker: &mut ProgressTracker, changes: &[ConfChangeV2]) {
    for change in changes {
        let mut changer = Changer::new(tracker);
        let (next, map): (_, MapChange) = match change.enter_joint() {
            _ if change.leave_joint() => changer.leave_joint(),
            Some(auto_leave) => changer.enter_joint(auto_leave, change.get_changes()),
            None => changer.simple(change.get_changes()),
        }
        .expect("the engine takes it");
        tracker.apply_conf(next, map, 1);
    }
}

fn normal(state: &ConfState) -> [Vec<u64>; 4] {
    let sorted = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    [
        sorted(state.get_voters()),
        sorted(state.get_voters_outgoing()),
        sorted(state.get_learners()),
        sorted(state.get_learners_next()),
    ]
}

/// A tracker that holds a uniform configuration.
fn tracker(uniform: &Configuration) -> ProgressTracker {
    let mut tracker = ProgressTracker::new(8);
    let empty = configuration([], [], []);
    let add = |kind, m: &QuorumMember| change(ConfChangeTransition::Auto, vec![single(kind, m.incarnation.0)]);
    let mut changes: Vec<_> = uniform.voters.iter().map(|m| add(ConfChangeType::AddNode, m)).collect();
    changes.extend(uniform.learners.iter().map(|m| add(ConfChangeType::AddLearnerNode, m)));
    assert!(empty.voters.is_empty());
    apply(&mut tracker, &changes);
    tracker
}

proptest! {
    /// CP-S2, CP-E1: a record survives the engine unchanged, also when the engine
    /// holds the bytes of a change that it proposed itself.
    #[test]
    fn records_survive_the_engine(term in 1_u64..9, index in 1_u64..99, body in bodies(), data in any::<[u8; 4]>()) {
        let record = record_at(term, index, body);
        let mut entry = entry(&record);
        prop_assert_eq!(super::record(&entry).expect("a record"), record.clone());
        if entry.get_entry_type() == EntryType::EntryConfChangeV2 {
            entry.data = Bytes::copy_from_slice(&data);
            prop_assert_eq!(super::record(&entry).expect("a record"), record);
        }
    }

    /// CP-M1: whatever the driver plans, the engine arrives at exactly that configuration.
    #[test]
    fn steps_lead_where_they_should(
        from in configurations(), voters in btree_set(1_u64..9, 1..5), learners in btree_set(1_u64..9, 0..5),
    ) {
        let from = Configuration { outgoing: Vec::new(), ..from };
        let learners: Vec<_> = learners.difference(&voters).copied().collect();
        let mut tracker = tracker(&from);

        let beside = Configuration {
            learners: configuration([], [], learners.iter().copied().filter(|l| !from.is_voter(Incarnation(*l)))).learners,
            ..from.clone()
        };
        let changes = steps(&conf_state(&from), &beside).expect("learners may change at any time");
        prop_assert!(!changes.is_empty(), "the engine declines an empty change");
        apply(&mut tracker, &changes);
        prop_assert_eq!(normal(&tracker.conf().to_conf_state()), normal(&conf_state(&beside)));

        let old: Vec<_> = from.voters.iter().map(|m| m.incarnation.0).collect();
        let joint = configuration(voters, old, learners);
        let uniform = Configuration { outgoing: Vec::new(), ..joint.clone() };
        if uniform.voters != from.voters {
            prop_assert!(steps(&conf_state(&beside), &uniform).is_err(), "voters change through a joint configuration");
            apply(&mut tracker, &steps(&conf_state(&beside), &joint).expect("a step"));
            prop_assert_eq!(normal(&tracker.conf().to_conf_state()), normal(&conf_state(&joint)));
            prop_assert_eq!(steps(&conf_state(&joint), &joint).expect("a repetition").len(), 0);
            prop_assert!(!tracker.conf().to_conf_state().auto_leave);
            prop_assert!(steps(&conf_state(&joint), &beside).is_err(), "a joint configuration leads to its own result only");
            apply(&mut tracker, &steps(&conf_state(&joint), &uniform).expect("a step"));
            prop_assert_eq!(normal(&tracker.conf().to_conf_state()), normal(&conf_state(&uniform)));
        }
    }
}

#[test]
fn foreign_entries_are_no_records() {
    let mut old = Entry::default();
    old.set_entry_type(EntryType::EntryConfChange);
    assert!(record(&old).is_err());
    let unknown = Entry { context: Bytes::from_static(&[9]), ..Entry::default() };
    assert!(record(&unknown).is_err());
    let anonymous = Entry { data: Bytes::from_static(b"x"), ..Entry::default() };
    assert!(record(&anonymous).is_err(), "data without a kind is not a blank");
    let mut garbled = Entry::default();
    garbled.set_entry_type(EntryType::EntryConfChangeV2);
    garbled.context = Bytes::from_static(&[0xff; 9]);
    assert!(record(&garbled).is_err());
}

/// CP-S3: a grant and a followed leader stay two facts across restarts.
#[test]
fn grants_and_leaders_are_kept_apart() {
    let (one, two) = (Some(Incarnation(1)), Some(Incarnation(2)));
    let vote = |term, granted_to, following| LastVote { term: Term(term), granted_to, following };
    let nothing = LastVote::default();
    // Granted, then the same candidate leads.
    assert_eq!(last_vote(nothing, Term(3), one, None, true), vote(3, one, None));
    assert_eq!(last_vote(vote(3, one, None), Term(3), one, one, false), vote(3, one, one));
    // Followed without a grant: the engine's vote after a restart is the leader, which is no grant.
    let followed = last_vote(nothing, Term(3), None, two, false);
    assert_eq!(followed, vote(3, None, two));
    assert_eq!(hard_state(&followed, index(7)).vote, 2);
    assert_eq!(last_vote(followed, Term(3), two, None, false), followed);
    // Unless it does grant it: then the grant must be on disk before it leaves.
    assert_eq!(last_vote(followed, Term(3), two, None, true), vote(3, two, two));
    // Granted to a candidate that lost.
    let lost = last_vote(vote(3, one, None), Term(3), one, two, false);
    assert_eq!(lost, vote(3, one, two));
    assert_eq!(hard_state(&lost, index(7)).vote, 1);
    // A leader forgotten is not a leader taken back; a new term forgets both.
    assert_eq!(last_vote(lost, Term(3), one, None, false), lost);
    assert_eq!(last_vote(lost, Term(4), None, None, false), vote(4, None, None));
    // Learnt and granted in one round, in a term that was not known before.
    assert_eq!(last_vote(lost, Term(4), one, one, false), vote(4, one, one));
}

#[test]
fn a_learner_that_still_votes_waits() {
    let state = conf_state(&configuration([1, 2], [2, 3], [3, 4]));
    assert_eq!(normal(&state), [vec![1, 2], vec![2, 3], vec![4], vec![3]]);
    assert_eq!(quorum_member(3).incarnation, Incarnation(3));
}

/// CP-M1: out of a joint configuration there is one way, to its own result.
#[test]
fn a_joint_configuration_does_not_lead_to_another() {
    let joint = conf_state(&configuration([1, 2, 3], [1, 2], []));
    for other in [
        configuration([1, 2, 4], [1, 2], []),
        configuration([1, 2, 3], [1, 3], []),
        configuration([1, 2, 3], [1, 2], [4]),
    ] {
        assert!(steps(&joint, &other).is_err(), "{other:?}");
    }
}
