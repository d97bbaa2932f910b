//! Configurations, their quorums, and the history of terms.

use super::*;
use cp_seam::{ControlPlanePayload, MemberId, MemberKind};

fn members(numbers: &[u64]) -> Vec<QuorumMember> {
    let member = |n: &u64| QuorumMember {
        incarnation: Incarnation(*n),
        id: MemberId::new(&format!("n{n}")).unwrap(),
        kind: MemberKind::Data,
        address: format!("n{n}:7000"),
    };
    numbers.iter().map(member).collect()
}

/// Voters 1, 2, 3, from voters 3, 4, 5; 5 and 6 learn.
fn joint() -> Configuration {
    Configuration { voters: members(&[1, 2, 3]), outgoing: members(&[3, 4, 5]), learners: members(&[5, 6]) }
}

#[test]
fn a_member_of_any_part_is_a_member_once() {
    let joint = joint();
    let numbers: Vec<_> = joint.members().iter().map(|m| m.incarnation.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for n in 1..=6 {
        assert_eq!(joint.member(Incarnation(n)), members(&[n]).first());
    }
    assert_eq!(joint.member(Incarnation(7)), None);
    let voters: Vec<_> = (1..=7).filter(|n| joint.is_voter(Incarnation(*n))).collect();
    assert_eq!(voters, [1, 2, 3, 4, 5], "of either half");
}

/// CP-M1: while a change is under way, neither half decides alone.
#[test]
fn a_joint_configuration_needs_a_majority_of_both_halves() {
    let uniform = Configuration { outgoing: Vec::new(), ..joint() };
    let asked = |configuration: &Configuration, yes: &[u64]| configuration.has_quorum(|m| yes.contains(&m.0));
    for (yes, of_uniform, of_joint) in [
        (&[][..], false, false),
        (&[1], false, false),
        (&[1, 2], true, false),
        (&[4, 5], false, false),
        (&[5, 6], false, false),
        (&[1, 3, 4], true, true),
        (&[2, 3, 5], true, true),
        (&[1, 2, 3], true, false),
        (&[1, 2, 4, 5], true, true),
    ] {
        assert_eq!(asked(&uniform, yes), of_uniform, "{yes:?}");
        assert_eq!(asked(&joint(), yes), of_joint, "{yes:?}");
    }
    assert_eq!([uniform.is_joint(), joint().is_joint()], [false, true]);
}

#[test]
fn a_quorum_is_reached_with_the_uniform_configuration_of_it() {
    let quorum = Quorum { voters: members(&[1, 2, 3]), learners: members(&[5, 6]) };
    assert!(Configuration::from(quorum.clone()).is(&quorum));
    assert!(!joint().is(&quorum), "the old half still votes");
    let other = |voters: &[u64], learners: &[u64]| Quorum { voters: members(voters), learners: members(learners) };
    for other in [other(&[1, 2], &[5, 6]), other(&[1, 2, 3], &[5]), other(&[1, 2], &[5])] {
        assert!(!Configuration::from(quorum.clone()).is(&other), "{other:?}");
    }
}

#[test]
fn the_history_of_terms_is_cut_where_the_log_is() {
    let position = |term, index| LogPosition::new(Term(term), ControlPlaneLogIndex(index));
    let mut runs = TermRuns::default();
    let log = [position(1, 1), position(1, 2), position(3, 3), position(3, 4), position(4, 5)];
    log.into_iter().for_each(|at| runs.push(at));
    let terms =
        |runs: &TermRuns| (0..=6).map(|n| runs.term_at(ControlPlaneLogIndex(n)).map(|t| t.0)).collect::<Vec<_>>();
    assert_eq!(terms(&runs), [None, Some(1), Some(1), Some(3), Some(3), Some(4), Some(4)]);
    for (from, left) in [(6, 3), (5, 2), (4, 2), (3, 1), (2, 1), (1, 0)] {
        let mut cut = runs.clone();
        cut.truncate(ControlPlaneLogIndex(from));
        assert_eq!(cut.0.len(), left, "from {from}");
        assert_eq!(cut.0, runs.0.get(..left).unwrap());
    }
}

/// What is read at once is bounded by it, so it must not fall behind the payloads.
#[test]
fn a_record_is_about_as_long_as_what_is_in_it() {
    let len = |body| LogRecord { position: LogPosition::GENESIS, body }.len_bytes();
    let entry = |bytes: usize| {
        RecordBody::Entry(ControlPlaneEntry::MembershipChange(ControlPlanePayload::new(vec![0; bytes]).unwrap()))
    };
    assert_eq!([len(RecordBody::Blank), len(entry(0)), len(entry(5_000))], [32, 32, 5_032]);
    assert_eq!(len(RecordBody::Configuration(joint())), 32 + 8 * 64);
}
