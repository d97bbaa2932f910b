#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use cp_seam::{Generation, Incarnation, StateDigest, Term};

fn life(number: u64) -> MemberLife {
    MemberLife { id: MemberId::new(&format!("n{number}")).unwrap(), incarnation: Incarnation(number) }
}

fn described(number: u64, term: u64, index: u64) -> Description {
    Description {
        cluster: ClusterId([7; 16]),
        generation: Generation { number: 2, id: [1; 8] },
        member: life(number),
        joined: true,
        kind: MemberKind::Data,
        engine: "openraft".to_owned(),
        vote_term: Term(term),
        last: LogPosition::new(Term(term), ControlPlaneLogIndex(index)),
        committed: ControlPlaneLogIndex(index - 1),
        snapshot: LogPosition::GENESIS,
        uncommitted: 1,
        digest: StateDigest::default(),
        voters: (1..=5).map(life).collect(),
        halves: vec![(1..=5).map(life).collect()],
        others: vec![life(6)],
        ranges: 0,
    }
}

#[test]
fn the_highest_term_goes_before_the_longest_log() {
    let found = [described(1, 3, 90), described(4, 4, 80), described(6, 4, 79)];
    let plan = plan(&found).unwrap();
    assert_eq!((plan.best, plan.survivor, plan.generation), (1, life(4), 3));
    assert_eq!(plan.lost, [2, 3, 5].map(life));
    assert_eq!(plan.rejoin, [1, 6].map(life));
    assert_eq!((plan.committed.0, plan.uncommitted, plan.quorum_survives), (79, 1, false));
}

#[test]
fn of_equals_a_voter_and_then_the_first_name() {
    let (a, b, learner) = (described(2, 3, 9), described(1, 3, 9), described(6, 3, 9));
    assert_eq!(plan(&[learner.clone(), a.clone(), b.clone()]).unwrap().survivor, life(1));
    assert_eq!(plan(&[b, learner, a]).unwrap().survivor, life(1));
}

/// As the only voter a witness would hold no ranges; only what it has beyond the others counts.
#[test]
fn of_equals_a_data_member_before_a_witness() {
    let witness = |index| Description { kind: MemberKind::Witness, ..described(1, 3, index) };
    let learner = described(6, 3, 9);
    assert_eq!(plan(&[witness(9), described(2, 3, 9)]).unwrap().survivor, life(2));
    assert_eq!(plan(&[witness(9), learner.clone()]).unwrap().survivor, life(6));
    assert_eq!(plan(&[learner, witness(10)]).unwrap().survivor, life(1));
}

#[test]
fn three_of_five_are_to_be_started_and_not_recovered() {
    let found = [1, 2, 3].map(|number| described(number, 3, 9));
    assert!(plan(&found).unwrap().quorum_survives);
    assert!(!plan(&found[..2]).unwrap().quorum_survives);
}

/// Of a joint configuration each half needs its majority, and one of the union is none (CP-M1).
#[test]
fn a_joint_configuration_has_two_quorums() {
    let joint = |number: u64, halves: [&[u64]; 2]| {
        let halves = halves.map(|half| half.iter().copied().map(life).collect::<Vec<_>>());
        let voters: std::collections::BTreeSet<MemberLife> = halves.iter().flatten().cloned().collect();
        Description { voters: voters.into_iter().collect(), halves: halves.into(), ..described(number, 3, 9) }
    };
    let exchanged = [1, 2, 3].map(|number| joint(number, [&[1, 4, 5], &[1, 2, 3]]));
    assert!(!plan(&exchanged).unwrap().quorum_survives, "three of five, and one of the new three");
    let one_for_another = [1, 2].map(|number| joint(number, [&[1, 2, 4], &[1, 2, 3]]));
    assert!(plan(&one_for_another).unwrap().quorum_survives, "two of four, and two of each half");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let one = described(1, 3, 9);
    let other = Description { cluster: ClusterId([8; 16]), ..described(2, 3, 9) };
    assert!(matches!(plan(&[one.clone(), other]), Err(PlanError::Clusters { .. })));
    let later = Description { generation: Generation { number: 3, id: [1; 8] }, ..described(2, 3, 9) };
    let said = plan(&[later.clone(), one.clone()]).unwrap_err();
    assert!(matches!(said, PlanError::Generations { older: 2, newer: 3, .. }), "{said:?}");
    let twin = Description { generation: Generation { number: 2, id: [9; 8] }, ..described(2, 3, 9) };
    assert!(matches!(plan(&[one.clone(), twin]), Err(PlanError::Generations { .. })));
    assert!(matches!(plan(&[one.clone(), one.clone()]), Err(PlanError::Twice { .. })));
    assert_eq!(plan(&[]), Err(PlanError::Nobody));
    assert_eq!(plan(&[Description { joined: false, ..one }]), Err(PlanError::NoMember));
}
