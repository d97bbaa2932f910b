//! Health, and who takes over from the lost.

use crate::common::*;
use crate::worlds::*;
use cp_catalog::plan::*;
use cp_catalog::*;
use proptest::prelude::*;

const QUIET: Heard = Heard { lag: 0, errors_per_mille: 0 };
const POOR: Heard = Heard { lag: 10_000, errors_per_mille: 1000 };

#[test]
fn a_score_is_70_of_liveness_20_of_lag_and_10_of_errors() {
    let mut health = Health::new(HealthSettings::default());
    let mut score = |heard, silent| {
        let start = 100_000 * (silent + 1) + heard_rank(&heard);
        health.forget(&id("a"));
        health.observe(&id("a"), start, heard);
        health.score(&id("a"), start + silent)
    };
    assert_eq!(score(QUIET, 0), 1000);
    assert_eq!(score(QUIET, 10_000), 300);
    assert_eq!(score(QUIET, 5_000), 650);
    assert_eq!(score(Heard { lag: 10_000, ..QUIET }, 0), 800);
    assert_eq!(score(Heard { errors_per_mille: 1000, ..QUIET }, 0), 900);
    assert_eq!(score(Heard { lag: 5_000, errors_per_mille: 500 }, 5_000), 500);
    assert_eq!(score(POOR, 10_000), 0);
    assert_eq!(score(Heard { lag: u64::MAX, errors_per_mille: u64::MAX }, u64::MAX / 200_000), 0);
}

fn heard_rank(heard: &Heard) -> u64 {
    heard.lag % 7
}

#[test]
fn a_member_fails_only_after_30_s_without_a_break() {
    let mut health = Health::new(HealthSettings::default());
    health.observe(&id("a"), 1_000, QUIET);
    // 71.5 % of the liveness is gone after 7.15 s of silence.
    let since_ms = (1_000..).find(|now| health.score(&id("a"), *now) < 500).unwrap();
    assert_eq!(health.condition(&id("a"), since_ms - 1), Condition::Healthy);
    assert_eq!(health.condition(&id("a"), since_ms), Condition::Failing { since_ms });
    assert_eq!(health.condition(&id("a"), since_ms + 29_999), Condition::Failing { since_ms });
    assert_eq!(health.condition(&id("a"), since_ms + 30_000), Condition::Failed { since_ms });
    // One word is a break.
    health.observe(&id("a"), since_ms + 29_999, QUIET);
    assert_eq!(health.condition(&id("a"), since_ms + 30_000), Condition::Healthy);
    health.observe(&id("a"), 0, POOR);
    assert_eq!(health.condition(&id("a"), since_ms + 30_000), Condition::Healthy, "an older word is ignored");
}

#[test]
fn a_word_that_does_not_mend_is_no_break() {
    let settings = HealthSettings { healthy_min: 800, ..HealthSettings::default() };
    let mut health = Health::new(settings);
    for now in (0..=30_000).step_by(1_000) {
        health.observe(&id("a"), now, POOR);
    }
    assert_eq!(health.condition(&id("a"), 30_000), Condition::Failed { since_ms: 0 });
    health.observe(&id("a"), 31_000, QUIET);
    assert_eq!(health.condition(&id("a"), 31_000), Condition::Healthy);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The condition is what looking at the score at every moment would say.
    #[test]
    fn a_condition_is_that_of_the_score(
        words in prop::collection::vec((1..60_u64, 0..150_u64, 0..1200_u64), 1..12),
        healthy_min in 0..1000_u64,
        silence_max_ms in 0..50_u64,
    ) {
        let settings = HealthSettings { silence_max_ms, lag_max: 100, healthy_min, fail_after_ms: 70 };
        let mut health = Health::new(settings);
        let (mut now, mut since): (u64, Option<u64>) = (0, Some(0));
        health.expect(&id("a"), 0);
        for (wait, lag, errors_per_mille) in words {
            for at in now..now + wait {
                let low = health.score(&id("a"), at) < healthy_min || health.condition(&id("a"), at) == Condition::Unheard;
                since = if low { since.or(Some(at)) } else { None };
                let heard = health.condition(&id("a"), at) != Condition::Unheard;
                let expected = match since {
                    Some(since_ms) if at - since_ms >= 70 => Condition::Failed { since_ms },
                    Some(since_ms) if heard => Condition::Failing { since_ms },
                    Some(_) => Condition::Unheard,
                    None => Condition::Healthy,
                };
                if at > 0 || heard {
                    prop_assert_eq!(health.condition(&id("a"), at), expected, "at {}", at);
                }
            }
            now += wait;
            health.observe(&id("a"), now, Heard { lag, errors_per_mille });
        }
    }
}

/// Everyone healthy at 100 s but those named.
fn book(failed: &[&str], failing: &[&str], unheard: &[&str]) -> Health {
    let mut health = Health::new(HealthSettings::default());
    for name in DATA {
        match name {
            name if unheard.contains(&name) => {}
            name if failed.contains(&name) => health.observe(&id(name), 10_000, QUIET),
            name if failing.contains(&name) => health.observe(&id(name), 90_000, QUIET),
            name => health.observe(&id(name), 100_000, QUIET),
        }
    }
    health
}

#[test]
fn a_lost_owner_is_followed_by_a_safe_candidate_or_nobody() {
    let mut node = placed(&["a", "b", "c", "d"].map(|name| (name, None, 1)));
    let range = rk("books", 1);
    node.done(OwnershipCommand::CreateRange(new_range(&range, Bounds::ALL, "a", &["b", "c"], &["d"])));
    let plan = |applied: &[(&str, DataPosition)], health: &Health| {
        let applied = applied.iter().map(|(name, position)| (id(name), *position)).collect();
        let seen = RangeObserved { applied, watermark: Some(at(3, 10)), ..RangeObserved::default() };
        let observed = Observed { ranges: [(range.clone(), seen)].into(), ..Observed::default() };
        failover(&node.catalog(), &observed, health, 100_000)
    };
    let both = [("b", at(3, 10)), ("c", at(3, 11))];
    let to = |plan: Plan| match plan.steps.as_slice() {
        [Step { command: OwnershipCommand::Promote(transfer), .. }] => transfer.to.to_string(),
        _ => plan.blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    assert_eq!(to(plan(&both, &book(&["a"], &[], &[]))), "c", "the furthest");
    assert_eq!(to(plan(&[("b", at(3, 11)), both[1]], &book(&["a"], &[], &[]))), "b", "the lowest name");
    assert_eq!(to(plan(&both, &book(&["a"], &["c"], &[]))), "b", "the healthy first");
    assert_eq!(to(plan(&both, &book(&["a"], &["b", "c"], &[]))), "c", "who fails has not failed yet");
    assert_eq!(to(plan(&both, &book(&["a", "c"], &[], &[]))), "b");
    assert_eq!(
        to(plan(&[("b", at(2, 99)), both[1]], &book(&["a", "c"], &[], &[]))).split(": ").last().unwrap(),
        "the furthest replica, b, is at 2.99 and lacks acknowledged writes"
    );
    let none = plan(&both, &book(&["a", "b", "c"], &[], &[]));
    assert_eq!(
        none.blockers,
        [Blocker::NoSafeCandidate { range: range.clone(), owner: id("a"), why: NoTarget::NoReplica }]
    );
    assert_eq!(none.warnings, [Warning::MostLost { lost: 3, members: 4 }]);
    let unseen = plan(&[], &book(&["a"], &[], &[]));
    assert_eq!(
        unseen.blockers,
        [Blocker::NoSafeCandidate { range: range.clone(), owner: id("a"), why: NoTarget::Unseen }]
    );
    let not_yet = plan(&both, &book(&[], &["a"], &[]));
    assert!(not_yet.is_done());
    assert!(matches!(not_yet.warnings.as_slice(), [Warning::Failing { .. }]), "{not_yet}");
}

#[test]
fn the_authorities_of_the_lost_go_to_the_healthy_that_hold_fewest() {
    let mut node = placed(&["a", "b", "c", "d"].map(|name| (name, None, 1)));
    for (number, holder) in ["a", "a", "b", "a"].into_iter().enumerate() {
        let (group, holder) = (group(&format!("g{number}")), id(holder));
        node.done(OwnershipCommand::AssignAuthority { group, holder });
    }
    let health = book(&["a"], &["d"], &[]);
    let plan = failover(&node.catalog(), &Observed::default(), &health, 100_000);
    let words: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    let said = |to: &str, group: &str| {
        format!("make {to} the placement authority of group {group}: a has failed for 82859 ms")
    };
    assert_eq!(words, [said("c", "g0"), said("b", "g1"), said("c", "g3")], "d is failing");
    run(&mut node, &plan).unwrap();
    assert!(node.catalog().authorities().all(|authority| authority.holder != id("a")));
    let nobody = book(&["a", "b", "c"], &[], &["d"]);
    let plan = failover(&node.catalog(), &Observed::default(), &nobody, 100_000);
    assert_eq!(plan.blockers.len(), 4, "{plan}");
    assert!(plan.blockers.contains(&Blocker::NoAuthority { group: group("g0") }));
}

#[test]
fn who_is_said_to_be_lost_counts_as_failed() {
    let mut node = placed(&["a", "b", "c"].map(|name| (name, None, 1)));
    let range = rk("books", 1);
    node.done(OwnershipCommand::CreateRange(new_range(&range, Bounds::ALL, "a", &["b"], &[])));
    let seen = RangeObserved {
        applied: [(id("b"), at(3, 10))].into(),
        watermark: Some(at(3, 10)),
        ..RangeObserved::default()
    };
    let mut observed = Observed { ranges: [(range, seen)].into(), ..Observed::default() };
    let healthy = book(&[], &[], &[]);
    assert!(failover(&node.catalog(), &observed, &healthy, 100_000).is_done());
    observed.members.insert(id("a"), MemberObserved { lost: true, ..MemberObserved::default() });
    let plan = failover(&node.catalog(), &observed, &healthy, 100_000);
    assert_eq!(
        plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["promote b to own range books/1 after a: a is said to be lost"]
    );
    observed.members.insert(id("b"), MemberObserved { lost: true, ..MemberObserved::default() });
    assert_eq!(failover(&node.catalog(), &observed, &healthy, 100_000).blockers.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_failover_leaves_no_range_with_the_lost_unless_it_must(
        world in world(),
        conditions in prop::array::uniform7(0..5_u8),
    ) {
        let (mut node, observed) = world.build();
        let of = |wanted: u8| (0..7).filter(move |n| conditions[*n] == wanted).map(|n| DATA[n]).collect::<Vec<_>>();
        let (failed, failing, unheard) = (of(0), of(1), of(2));
        let health = book(&failed, &failing, &unheard);
        let before = node.catalog();
        let plan = planned(&before, |catalog| failover(catalog, &observed, &health, 100_000))?;
        prop_assert!(plan.steps.iter().all(|step| step.awaits.is_none()), "all evidence is at hand");
        run(&mut node, &plan)?;
        for key in keys(&world) {
            let (was, is) = (before.range(&key).unwrap(), node.range(&key));
            let lost = |member: &cp_seam::MemberId| failed.contains(&member.as_str());
            if !lost(&was.owner) {
                prop_assert_eq!(was, &is);
                continue;
            }
            let seen = &observed.ranges[&key];
            let safe = |member: &&cp_seam::MemberId| {
                let covers = seen.applied.get(*member).is_some_and(|at| at.covers(WATERMARK));
                let alive = !lost(member) && !unheard.contains(&member.as_str());
                covers && seen.watermark.is_some() && alive && eligible(&before, member)
            };
            let blocked = |b: &Blocker| matches!(b, Blocker::NoSafeCandidate { range, .. } if *range == key);
            if was.replicas.iter().any(|member| safe(&member)) {
                prop_assert!(safe(&&is.owner) && was.replicas.contains(&is.owner), "{}", plan);
            } else {
                prop_assert!(plan.blockers.iter().any(blocked), "{}", plan);
                prop_assert_eq!(was, &is);
            }
        }
        prop_assert!(failover(&node.catalog(), &observed, &health, 100_000).steps.is_empty());
    }
}
