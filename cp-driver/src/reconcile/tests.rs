use super::*;
use cp_seam::{MemberId, MemberKind, Term, quorum_threshold};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn member(incarnation: u64) -> QuorumMember {
    QuorumMember {
        incarnation: Incarnation(incarnation),
        id: MemberId::new(&format!("m{incarnation}")).expect("legal"),
        kind: if incarnation.is_multiple_of(5) { MemberKind::Witness } else { MemberKind::Data },
        address: format!("10.0.0.{incarnation}:7000"),
    }
}

fn members(numbers: &[u64]) -> Vec<QuorumMember> {
    numbers.iter().map(|n| member(*n)).collect()
}

fn uniform(voters: &[u64], learners: &[u64]) -> Configuration {
    Configuration { voters: members(voters), outgoing: Vec::new(), learners: members(learners) }
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(Term(1), ControlPlaneLogIndex(index))
}

/// Plans at a leader `me` of which every member is caught up.
fn plan(newest: &Configuration, wanted: &Quorum, me: u64) -> Step {
    let matched: Vec<_> = newest.members().iter().map(|m| (m.incarnation, ControlPlaneLogIndex(100))).collect();
    let newest = (at(9), newest.clone());
    let committed = ControlPlaneLogIndex(100);
    Situation { newest: &newest, committed, wanted, me: Incarnation(me), matched: &matched }.plan()
}

/// CP-M1: a step is planned only from a committed configuration.
#[test]
fn an_uncommitted_step_is_waited_for() {
    let newest = (at(9), uniform(&[1, 2, 3], &[]));
    let wanted = Quorum { voters: members(&[1, 2]), learners: Vec::new() };
    let plan = |committed| {
        let committed = ControlPlaneLogIndex(committed);
        Situation { newest: &newest, committed, wanted: &wanted, me: Incarnation(1), matched: &[] }.plan()
    };
    assert_eq!(plan(8), Step::Rest);
    assert_ne!(plan(9), Step::Rest);
}

/// CP-M1: a joint configuration that somebody else entered is left first, whatever is wanted by now.
#[test]
fn an_interrupted_change_is_finished_first() {
    let joint = Configuration { outgoing: members(&[1, 2, 3]), ..uniform(&[1, 2, 4], &[3]) };
    let wanted = Quorum { voters: members(&[1, 2, 3]), learners: Vec::new() };
    assert_eq!(plan(&joint, &wanted, 2), Step::Reconfigure(uniform(&[1, 2, 4], &[3])));
}

/// A leader that is leaving hands over before it is out.
#[test]
fn a_leaving_leader_hands_over() {
    let wanted = Quorum { voters: members(&[2, 3]), learners: Vec::new() };
    assert_eq!(plan(&uniform(&[1, 2, 3], &[]), &wanted, 1), Step::HandOver(Incarnation(2)));
    let joint = Configuration { outgoing: members(&[1, 2, 3]), ..uniform(&[2, 3], &[]) };
    assert_eq!(plan(&joint, &wanted, 1), Step::HandOver(Incarnation(2)));
}

/// A member that is behind gets no vote: it could stop all progress.
#[test]
fn a_member_that_is_behind_gets_no_vote() {
    let newest = (at(9), uniform(&[1], &[2]));
    let wanted = Quorum { voters: members(&[1, 2]), learners: Vec::new() };
    let plan = |matched| {
        let matched = [(Incarnation(1), ControlPlaneLogIndex(1000)), (Incarnation(2), ControlPlaneLogIndex(matched))];
        let committed = ControlPlaneLogIndex(1000);
        Situation { newest: &newest, committed, wanted: &wanted, me: Incarnation(1), matched: &matched }.plan()
    };
    assert_eq!(plan(100), Step::Rest);
    assert!(matches!(plan(990), Step::Reconfigure(joint) if joint.is_joint()));
}

/// A data member takes over before a witness that is as far (CP-M2).
#[test]
fn a_witness_takes_over_last() {
    let wanted = Quorum { voters: members(&[2, 5]), learners: Vec::new() };
    assert_eq!(plan(&uniform(&[1, 2, 5], &[]), &wanted, 1), Step::HandOver(Incarnation(2)));
}

/// A witness that leads lets a data member lead, whatever else is wanted; one that is behind does not count.
#[test]
fn a_witness_hands_over_to_a_data_member() {
    let three = uniform(&[1, 2, 5], &[]);
    let wanted = Quorum { voters: members(&[1, 2, 5]), learners: Vec::new() };
    assert_eq!(plan(&three, &wanted, 5), Step::HandOver(Incarnation(1)));
    assert_eq!(plan(&three, &wanted, 1), Step::Rest);
    let alone = Quorum { voters: members(&[5]), learners: Vec::new() };
    assert!(matches!(plan(&three, &alone, 5), Step::Reconfigure(_)), "not to one that would hand it back");
    let newest = (at(9), three);
    let heirs = |matched: &[(Incarnation, ControlPlaneLogIndex)], me| {
        let (committed, wanted) = (ControlPlaneLogIndex(1000), Quorum { voters: members(&[2, 5]), ..wanted.clone() });
        Situation { newest: &newest, committed, wanted: &wanted, me: Incarnation(me), matched }.plan()
    };
    let matched = [(Incarnation(2), ControlPlaneLogIndex(10)), (Incarnation(5), ControlPlaneLogIndex(990))];
    assert_eq!(heirs(&matched, 1), Step::HandOver(Incarnation(5)), "a witness before a member that is behind");
    assert!(matches!(heirs(&matched, 5), Step::Reconfigure(_)), "and it leads on until one has caught up");
}

/// Who is to learn is let in along with who is to vote: one that never catches up must not keep the other out.
#[test]
fn learners_do_not_wait_for_voters() {
    let wanted = Quorum { voters: members(&[1, 2]), learners: members(&[3]) };
    assert_eq!(plan(&uniform(&[1], &[]), &wanted, 1), Step::Reconfigure(uniform(&[1], &[2, 3])));
}

/// CP-M1: what was planned from another configuration than the newest is no step.
#[test]
fn a_step_from_elsewhere_is_none() {
    let (abc, abd) = (uniform(&[1, 2, 3], &[]), uniform(&[1, 2, 4], &[]));
    let joint = Configuration { outgoing: members(&[1, 2, 3]), ..abd.clone() };
    assert!(is_step(&abc, &joint) && is_step(&joint, &abd) && is_step(&abc, &uniform(&[1, 2, 3], &[4])));
    assert!(!is_step(&abc, &abd) && !is_step(&abd, &joint) && !is_step(&joint, &abc) && !is_step(&joint, &joint));
    let other = Configuration { outgoing: members(&[1, 2, 3]), ..uniform(&[1, 2, 5], &[]) };
    assert!(!is_step(&joint, &other) && !is_step(&other, &abd));
}

fn majorities(half: &[QuorumMember]) -> Vec<BTreeSet<u64>> {
    let all: Vec<u64> = half.iter().map(|m| m.incarnation.0).collect();
    (0_u32..1 << all.len())
        .filter(|bits| bits.count_ones() as usize == quorum_threshold(all.len()))
        .map(|bits| all.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, n)| *n).collect())
        .collect()
}

/// Whether some quorum of `a` and some quorum of `b` have nobody in common.
fn can_split(a: &Configuration, b: &Configuration) -> bool {
    let quorums = |c: &Configuration| -> Vec<BTreeSet<u64>> {
        if !c.is_joint() {
            return majorities(&c.voters);
        }
        let outgoing = majorities(&c.outgoing);
        majorities(&c.voters).iter().flat_map(|v| outgoing.iter().map(|o| v | o).collect::<Vec<_>>()).collect()
    };
    let (a, b) = (quorums(a), quorums(b));
    a.iter().any(|x| b.iter().any(|y| x.is_disjoint(y)))
}

proptest! {
    /// CP-M1: from any configuration to any wanted quorum, with the leader changing hands at every step and
    /// the wish changing midway, the steps end at the wish, and no two consecutive configurations (nor any
    /// two that a crash could leave in force together) have disjoint quorums.
    #[test]
    fn every_path_is_safe_and_ends(
        voters in prop::collection::btree_set(1_u64..8, 1..6),
        first in prop::collection::btree_set(1_u64..8, 1..6),
        wish in prop::collection::btree_set(1_u64..8, 1..6),
        learners in prop::collection::btree_set(8_u64..10, 0..2),
        turn in 0_usize..4,
        leaders in prop::collection::vec(any::<prop::sample::Index>(), 32),
    ) {
        let list = |set: &BTreeSet<u64>| set.iter().copied().collect::<Vec<_>>();
        let first = Quorum { voters: members(&list(&first)), learners: Vec::new() };
        let wish = Quorum { voters: members(&list(&wish)), learners: members(&list(&learners)) };
        let mut now = uniform(&list(&voters), &[]);
        let mut leader = list(&voters)[0];
        for (count, pick) in leaders.iter().enumerate() {
            let wanted = if count < turn { &first } else { &wish };
            match plan(&now, wanted, leader) {
                Step::Rest if count >= turn => {
                    prop_assert!(now.is(&wish), "rested at {now:?}");
                    return Ok(());
                }
                Step::Rest => {}
                Step::HandOver(heir) => {
                    prop_assert!(now.is_voter(heir));
                    leader = heir.0;
                }
                Step::Reconfigure(next) => {
                    prop_assert!(!can_split(&now, &next), "{now:?} -> {next:?}");
                    prop_assert!(is_step(&now, &next), "{now:?} -> {next:?}");
                    now = next;
                    if !now.is_voter(Incarnation(leader)) || count % 3 == 0 {
                        let half = if now.is_joint() { &now.outgoing } else { &now.voters };
                        leader = half[pick.index(half.len())].incarnation.0;
                    }
                }
            }
        }
        prop_assert!(false, "no end at {now:?}");
    }
}
