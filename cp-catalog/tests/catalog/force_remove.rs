//! Members that are gone for good: out of the quorum at once, out of every range in bounded steps.

use crate::access::grant;
use crate::common::*;
use crate::worlds::{self, DATA, World, world};
use cp_catalog::plan::{Awaits, Blocker, NoTarget, Observed, RangeObserved, expel};
use cp_catalog::*;
use cp_seam::{Incarnation, MemberKind};
use proptest::prelude::*;
use std::collections::BTreeSet;

const ALL: Privileges = Privileges { read: true, operate: true, force: true };

fn forcible() -> (Node, RangeKey) {
    let (mut node, range) = library_at(2);
    node.done(grant("fay", ALL));
    (node, range)
}

/// Everybody but `name` is within reach.
fn gone(node: &Node, name: &str) -> MembershipCommand {
    let member = node.life(name);
    let mut reachable = node.everyone();
    reachable.remove(&member.incarnation);
    MembershipCommand::ForceRemove { member, reason: "the rack burnt".to_owned(), reachable }
}

fn expelled(node: &mut Node, name: &str) -> Effect {
    node.run_of("fay", gone(node, name)).into_result().unwrap()
}

fn create(node: &mut Node, number: u64, owner: &str, replicas: &[&str], archives: &[&str]) -> RangeKey {
    let (lower, upper) = (format!("{number}"), format!("{}", number + 1));
    let range = rk("papers", number);
    node.done(OwnershipCommand::CreateRange(new_range(&range, bounds(&lower, &upper), owner, replicas, archives)));
    range
}

/// The order of refusals: privilege, reason, who it is, whether it answers, and the quorum.
#[test]
fn it_is_refused_in_order() {
    let (mut node, _) = forcible();
    let stranger = MemberLife { id: id("z"), incarnation: Incarnation(9) };
    let with = |member: &MemberLife, reason: &str, reachable: &BTreeSet<Incarnation>| MembershipCommand::ForceRemove {
        member: member.clone(),
        reason: reason.to_owned(),
        reachable: reachable.clone(),
    };
    let nobody = BTreeSet::new();
    assert!(matches!(
        node.refused_by("eve", with(&stranger, " ", &nobody)),
        Refusal::Access(AccessRefusal::MissingPrivilege { privilege: Privilege::Force, .. })
    ));
    assert_eq!(node.refused_by("fay", with(&stranger, " ", &nobody)), AccessRefusal::BlankReason.into());
    let unsigned = node.run(with(&node.life("a"), "why", &nobody));
    assert_eq!(unsigned, Verdict::Refused(AccessRefusal::NoOperator.into()), "nobody stands behind it");
    let refused = node.refused_by("fay", with(&stranger, "why", &nobody));
    assert_eq!(refused, MemberRefusal::NotAMember { member: id("z") }.into());
    let a = node.life("a");
    let older = MemberLife { incarnation: Incarnation(77), ..a.clone() };
    let refused = node.refused_by("fay", with(&older, "why", &nobody));
    assert_eq!(refused, MemberRefusal::OtherIncarnation { member: id("a"), current: a.incarnation }.into());
    let refused = node.refused_by("fay", with(&a, "why", &[a.incarnation].into()));
    assert_eq!(refused, MemberRefusal::StillReachable { member: id("a") }.into());
    let refused = node.refused_by("fay", with(&a, "why", &[node.life("b").incarnation].into()));
    assert_eq!(refused, MemberRefusal::WouldLoseQuorum { member: id("a"), voters: 4, reachable: 1 }.into());
    assert_eq!(node.catalog().quorum().voters.len(), 5);
}

/// The vote of a member that is lost is taken only while the others are a quorum without it.
#[test]
fn the_last_voter_stays() {
    let (mut node, _) = forcible();
    for name in ["b", "c", "d"] {
        let reachable = node.everyone();
        node.done(MembershipCommand::Demote { member: node.life(name), reachable });
    }
    let refused = node.refused_by("fay", gone(&node, "a"));
    assert_eq!(refused, MemberRefusal::LastVoter { member: id("a") }.into());
    // One without a vote costs the quorum nothing, and who owns nothing goes at once.
    let incarnation = node.life("c").incarnation;
    let MembershipCommand::ForceRemove { member, reason, .. } = gone(&node, "c") else { panic!() };
    let unseen = MembershipCommand::ForceRemove { member, reason, reachable: BTreeSet::new() };
    let effect = node.run_of("fay", unseen).into_result().unwrap();
    assert_eq!(effect, Effect::Removed { member: id("c"), incarnation });
    assert_eq!(node.catalog().member(&id("c")), None);
}

/// Nothing of the member stays: what a replica covers is promoted through the gate, copies hot
/// and archived are dropped (defect 5), what has no survivor is named and forced.
#[test]
fn nothing_of_the_member_stays() {
    let (mut node, books) = forcible();
    let papers = coll("papers");
    node.done(OwnershipCommand::CreateCollection { collection: papers, group: group("desk"), mode: Mode::Ordered });
    let replica = create(&mut node, 1, "b", &["a", "c"], &[]);
    let archive = create(&mut node, 2, "b", &["c"], &["a"]);
    let alone = create(&mut node, 3, "a", &[], &["d"]);
    let target = create(&mut node, 4, "b", &["c"], &[]);
    node.done(OwnershipCommand::BeginMove { range: target.clone(), fence: node.fence(&target), target: id("a") });
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("a") });
    let before = node.catalog();

    let incarnation = node.life("a").incarnation;
    let effect = Effect::Expelled { member: id("a"), incarnation, owned: 2, held: 3 };
    assert_eq!(expelled(&mut node, "a"), effect);
    let catalog = node.catalog();
    assert!(!catalog.quorum().voters.iter().chain(&catalog.quorum().learners).any(|m| m.id == id("a")));
    assert_eq!(catalog.member(&id("a")).unwrap().eligibility(), Err(Ineligible::Expelled));
    assert_eq!((catalog.violations(), catalog.violations_since(&before)), (vec![], vec![]));
    assert_eq!(rebuilt(&node.machine).digest(), catalog.digest());

    // Its life is over, and no other begins before it is gone (CP-M3).
    let over: Refusal = MemberRefusal::Expelled { member: id("a"), incarnation }.into();
    let (token_hash, kind) = (TokenHash([5; 32]), MemberKind::Data);
    let (locality, standby) = (Locality::default(), false);
    let admission = Admission { member: id("a"), kind, token_hash, locality, standby };
    let joining = Joining {
        cluster: CLUSTER,
        member: node.life("a"),
        token_hash,
        kind,
        addresses: addresses("a"),
        features: Features { level: 2, ..Features::default() },
    };
    let member = node.life("a");
    let replace = MembershipCommand::Replace { member: member.clone(), token_hash, reachable: node.everyone() };
    for command in [
        MembershipCommand::Admit(admission.clone()),
        MembershipCommand::Joined(joining),
        replace.clone(),
        MembershipCommand::Undrain { member: member.clone() },
        MembershipCommand::SetVoting { member: member.clone() },
        MembershipCommand::SetAddresses { member: member.clone(), addresses: addresses("a") },
    ] {
        assert_eq!(node.run_of("fay", command.clone()), Verdict::Refused(over.clone()), "{command:?}");
    }
    let as_itself = Origin { principal: Principal::Member(id("a")), at_unix_ms: 1 };
    let judged = node.catalog().judge_of(&as_itself, &replace.into());
    assert!(matches!(judged, Verdict::Refused(Refusal::Access(AccessRefusal::MissingPrivilege { .. }))), "{judged}");

    // Without having seen anything, the plan says what each promotion awaits.
    let blind = expel(&node.catalog(), &Observed::default(), &id("a"));
    let awaits: Vec<_> = blind.steps.iter().filter_map(|step| step.awaits.clone()).collect();
    assert!(
        matches!(&awaits[..], [Awaits::Shown { range, candidate, .. }] if *range == books && *candidate == id("b"))
    );
    let seen = RangeObserved {
        applied: [(id("b"), at(3, 10))].into(),
        watermark: Some(at(3, 10)),
        ..RangeObserved::default()
    };
    let observed = Observed { ranges: [(books.clone(), seen)].into(), ..Observed::default() };
    let plan = expel(&node.catalog(), &observed, &id("a"));
    let archives = vec![id("d")];
    let lost = Blocker::Unrecoverable { range: alone.clone(), why: NoTarget::NoReplica, archives };
    assert_eq!(plan.blockers, [lost]);
    let said = plan.blockers[0].to_string();
    assert!(
        said.contains("papers/3 is unrecoverable") && said.contains("`range restore` from the archive of d"),
        "{said}"
    );
    assert_eq!(plan.steps.len(), 5, "{plan}");
    worlds::run(&mut node, &plan).unwrap();
    assert_eq!((node.range(&books).owner, node.range(&books).replicas.len()), (id("b"), 0));
    for range in [&replica, &archive, &target] {
        assert_eq!(node.range(range).role(&id("a")), None, "{range}");
    }
    assert!(node.range(&target).moving.is_none());

    let left = Effect::Expelled { member: id("a"), incarnation, owned: 1, held: 0 };
    assert_eq!(expelled(&mut node, "a"), left, "asked again, it says what is left");
    let remove = MembershipCommand::Remove { member, reachable: node.everyone() };
    let still = MemberRefusal::StillOwns { member: id("a"), count: 1, first: alone.clone() };
    assert_eq!(node.refused_by("fay", remove), still.into());
    let force = OwnershipCommand::Force { range: alone.clone(), to: id("c"), reason: "its rack burnt".to_owned() };
    assert!(node.run_of("fay", force).is_done());
    assert_eq!(node.range(&alone).replicas.len(), 0, "the expelled owner is no replica");
    assert_eq!(expelled(&mut node, "a"), Effect::Removed { member: id("a"), incarnation });
    let catalog = node.catalog();
    assert_eq!((catalog.member(&id("a")), catalog.held_by(&id("a")).count()), (None, 0));
    assert_eq!(catalog.authority(&group("shelf")).unwrap().holder, id("b"));
    assert_eq!(catalog.violations(), vec![]);
    let again = node.run_of("fay", MembershipCommand::Admit(admission)).into_result().unwrap();
    assert_eq!(again, Effect::Admitted { member: id("a"), incarnation: Incarnation(6) });
}

/// Allowed, denied and failed are on record with their reason, also when there was nothing left to change.
#[test]
fn every_attempt_is_on_record() {
    let (mut node, _) = forcible();
    let a = node.life("a").to_string();
    node.refused_by("eve", gone(&node, "a"));
    let everyone = node.everyone();
    let MembershipCommand::ForceRemove { member, reason, .. } = gone(&node, "a") else { panic!() };
    node.refused_by("fay", MembershipCommand::ForceRemove { member, reason, reachable: everyone });
    expelled(&mut node, "a");
    expelled(&mut node, "a");
    let catalog = node.catalog();
    let of = |record: &AuditRecord| (record.action, record.disposition, record.target.clone(), record.reason.clone());
    let records: Vec<_> = catalog.audit_above(1).map(of).collect();
    use Disposition::{Allowed, Denied, Failed};
    let expected =
        [Denied, Failed, Allowed, Allowed].map(|d| (Action::ForceRemove, d, a.clone(), "the rack burnt".to_owned()));
    assert_eq!(records, expected);
}

/// Below feature level 2 nobody knows it.
#[test]
fn it_needs_level_2() {
    let (mut node, _) = library_at(1);
    let unknown = RequestRefusal::UnknownCommand.into();
    assert_eq!(node.run_of("fay", gone(&node, "a")), Verdict::Refused(unknown));
}

/// A forced recovery lets nobody back in who was expelled.
#[test]
fn a_recovery_keeps_it_expelled() {
    let (mut node, _) = forcible();
    expelled(&mut node, "a");
    let asked = crate::recovery::asked("b", 9);
    let next = node.catalog().succeed(&asked).unwrap();
    assert_eq!(next.member(&id("a")).unwrap().join, Join::Expelled);
    assert_eq!(next.member(&id("c")).unwrap().join, Join::Fenced);
    assert_eq!(next.violations(), vec![]);
}

/// Not even as the one that goes on: what it owned was given up, and a new life under its name would own it again.
#[test]
fn nobody_goes_on_as_a_member_that_was_expelled() {
    let (mut node, range) = forcible();
    expelled(&mut node, "a");
    assert_eq!(node.range(&range).owner, id("a"));
    let state = node.catalog();
    for addresses in [None, Some(addresses("a"))] {
        for cause in [Cause::Forced, Cause::Restored] {
            let asked = Successor { cause, addresses: addresses.clone(), ..crate::recovery::asked("a", 9) };
            let refused = state.succeed(&asked).unwrap_err();
            assert_eq!(refused, BadRecovery::Expelled { member: id("a") });
            assert!(refused.to_string().contains("restore under another name"), "{refused}");
        }
    }
    let other = Successor { addresses: Some(addresses("z")), ..crate::recovery::asked("z", 9) };
    assert_eq!(state.succeed(&other).unwrap().member(&id("a")).unwrap().join, Join::Expelled);
}

fn released(world: &World, who: usize) -> Result<(), TestCaseError> {
    let (mut node, observed) = world.build();
    raise(&mut node, &[&DATA[..], &["w"]].concat(), 2);
    node.done(grant("fay", ALL));
    let member = id(DATA[who]);
    expelled(&mut node, DATA[who]);
    prop_assert_eq!(node.catalog().violations(), vec![]);
    if node.catalog().member(&member).is_none() {
        return Ok(());
    }
    let plan = worlds::planned(&node.catalog(), |catalog| expel(catalog, &observed, &member))?;
    worlds::run(&mut node, &plan)?;
    let heir = node.catalog().members().find(|m| m.eligibility().is_ok()).map(|m| m.id.clone());
    let Some(heir) = heir else { return Ok(()) };
    for blocker in &plan.blockers {
        let Blocker::Unrecoverable { range, why, .. } = blocker else { panic!("{blocker}") };
        let range_now = node.range(range);
        let living = range_now.replicas.iter().filter(|replica| worlds::eligible(&node.catalog(), replica)).count();
        prop_assert_eq!(living == 0, *why == NoTarget::NoReplica, "{}", blocker);
        let force = OwnershipCommand::Force { range: range.clone(), to: heir.clone(), reason: "it is lost".to_owned() };
        let verdict = node.run_of("fay", force);
        prop_assert!(verdict.is_done(), "{verdict}");
    }
    let catalog = node.catalog();
    prop_assert_eq!(catalog.held_by(&member).count(), 0);
    let verdict =
        node.run_of("fay", MembershipCommand::Remove { member: node.life(DATA[who]), reachable: node.everyone() });
    prop_assert!(verdict.is_done(), "{verdict}");
    prop_assert_eq!(node.catalog().violations(), vec![]);
    prop_assert_eq!(node.catalog().violations_since(&catalog), vec![]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_it_had_is_released(world in world(), who in 0..7_usize) {
        released(&world, who)?;
    }
}
