//! A rebalance: it evens out, it ends, and it warns of what it cannot mend.

use crate::common::*;
use crate::worlds::*;
use cp_catalog::plan::*;
use cp_catalog::*;
use cp_seam::MemberId;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A node with a range of each load, owned as given.
fn loaded(members: &[(&str, Option<&str>, u32)], ranges: &[(&str, &[&str], u64)]) -> (Node, Observed) {
    let mut node = placed(members);
    let mut observed = Observed::default();
    for (number, (owner, replicas, load)) in (1..).zip(ranges) {
        let key = rk("books", number);
        let (lower, upper) = (format!("{number:03}"), format!("{:03}", number + 1));
        let placement = Placement { replication_factor: replicas.len() as u32 + 1, ..Placement::default() };
        let new = new_range(&key, bounds(&lower, &upper), owner, replicas, &[]);
        node.done(OwnershipCommand::CreateRange(NewRange { placement, ..new }));
        observed.ranges.insert(key, RangeObserved { load: Some(*load), ..RangeObserved::default() });
    }
    for (name, ..) in members {
        observed.members.insert(id(name), MemberObserved { disk_bytes: Some(100), lost: false });
    }
    (node, observed)
}

fn words(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.to_string().split(": ").next().unwrap().to_owned()).collect()
}

const THREE: [(&str, Option<&str>, u32); 3] = [("a", None, 1), ("b", None, 1), ("c", None, 1)];

#[test]
fn within_ten_per_cent_nothing_moves() {
    let plan = |heavy: u64| {
        let (node, observed) =
            loaded(&THREE, &[("a", &[], heavy - 5), ("a", &[], 5), ("b", &[], 100), ("c", &[], 100)]);
        words(&rebalance(&node.catalog(), &observed, MOVES_MAX))
    };
    assert_eq!(plan(115), [""; 0], "115 of 315 is 9.5 % over a third");
    assert_eq!(plan(117), ["begin to move range books/2 to b"], "117 of 317 is 10.7 % over");
}

#[test]
fn the_heaviest_gives_the_lightest_what_evens_them_best() {
    let ranges: [(&str, &[&str], u64); 5] =
        [("a", &[], 60), ("a", &[], 30), ("a", &[], 10), ("b", &[], 20), ("c", &[], 50)];
    let (node, observed) = loaded(&THREE, &ranges);
    let plan = rebalance(&node.catalog(), &observed, MOVES_MAX);
    assert_eq!(words(&plan), ["begin to move range books/2 to b", "begin to move range books/3 to b"]);
    assert_eq!(
        plan.steps[0].to_string(),
        "begin to move range books/2 to b: a has more than its share, and this is 30 of it"
    );
}

#[test]
fn a_share_goes_by_disk_times_weight() {
    let ranges: [(&str, &[&str], u64); 4] = [("a", &[], 10), ("a", &[], 10), ("a", &[], 10), ("b", &[], 10)];
    let weighted = [("a", None, 3), ("b", None, 1)];
    let (node, mut observed) = loaded(&weighted, &ranges);
    assert!(rebalance(&node.catalog(), &observed, MOVES_MAX).is_done());
    observed.members.get_mut(&id("b")).unwrap().disk_bytes = Some(300);
    assert_eq!(words(&rebalance(&node.catalog(), &observed, MOVES_MAX)), ["begin to move range books/1 to b"]);
    observed.members.get_mut(&id("b")).unwrap().disk_bytes = None;
    let plan = rebalance(&node.catalog(), &observed, MOVES_MAX);
    assert_eq!((plan.steps.len(), plan.warnings), (0, vec![Warning::DiskUnseen { member: id("b") }]));
}

#[test]
fn who_has_a_hot_copy_is_handed_the_range_though_it_is_behind() {
    let ranges: [(&str, &[&str], u64); 2] = [("a", &["b"], 10), ("a", &["b"], 10)];
    let (node, mut observed) = loaded(&THREE[..2], &ranges);
    let plan = rebalance(&node.catalog(), &observed, MOVES_MAX);
    assert_eq!(words(&plan), ["hand range books/1 from a to b"]);
    assert!(matches!(plan.steps[0].awaits, Some(Awaits::Cutover { .. })));
    for seen in observed.ranges.values_mut() {
        (seen.watermark, seen.applied) = (Some(at(3, 10)), [(id("b"), at(3, 9))].into());
    }
    // The cutover brings it up.
    let plan = rebalance(&node.catalog(), &observed, MOVES_MAX);
    assert_eq!((words(&plan), plan.warnings), (vec!["hand range books/1 from a to b".to_owned()], vec![]));
}

#[test]
fn a_copy_is_under_way_until_it_is_seen_to_be_whole() {
    let ranges: [(&str, &[&str], u64); 4] = [("a", &["b"], 10), ("a", &[], 10), ("a", &[], 10), ("a", &[], 10)];
    let (node, mut observed) = loaded(&THREE, &ranges);
    let key = rk("books", 1);
    let plan = |observed: &Observed| {
        let plan = rebalance(&node.catalog(), observed, 2);
        (plan.steps.len(), plan.warnings)
    };
    let capped = |in_flight| vec![Warning::Capped { moves_max: 2, in_flight }];
    assert_eq!(plan(&observed), (2, capped(0)), "nothing is known of any");
    observed.ranges.get_mut(&key).unwrap().watermark = Some(at(3, 10));
    assert_eq!(plan(&observed), (1, capped(1)), "it is not there");
    observed.ranges.get_mut(&key).unwrap().applied = [(id("b"), at(3, 9))].into();
    assert_eq!(plan(&observed), (1, capped(1)), "it is behind");
    observed.members.get_mut(&id("b")).unwrap().lost = true;
    assert_eq!(plan(&observed), (2, capped(0)), "nobody waits for who is lost");
    observed.members.get_mut(&id("b")).unwrap().lost = false;
    observed.ranges.get_mut(&key).unwrap().applied = [(id("b"), at(3, 10))].into();
    assert_eq!(plan(&observed), (2, capped(0)));
}

#[test]
fn a_move_never_puts_copies_together_that_were_apart() {
    let members = [("a", Some("x"), 1), ("b", Some("y"), 1), ("c", Some("y"), 1), ("d", Some("x"), 1)];
    let ranges: [(&str, &[&str], u64); 3] = [("a", &["b"], 10), ("a", &["b"], 10), ("b", &["a"], 10)];
    let (node, observed) = loaded(&members, &ranges);
    let plan = rebalance(&node.catalog(), &observed, MOVES_MAX);
    assert_eq!(words(&plan)[0], "begin to move range books/1 to d", "c would stand with b: {plan}");
}

#[test]
fn nothing_goes_to_who_drains_or_is_lost_and_nothing_of_theirs_counts() {
    let ranges: [(&str, &[&str], u64); 4] = [("a", &[], 10), ("a", &[], 10), ("b", &[], 90), ("c", &[], 90)];
    let (mut node, mut observed) = loaded(&[("a", None, 1), ("b", None, 1), ("c", None, 1), ("d", None, 1)], &ranges);
    node.done(MembershipCommand::Drain { member: node.life("b") });
    observed.members.get_mut(&id("c")).unwrap().lost = true;
    assert_eq!(words(&rebalance(&node.catalog(), &observed, MOVES_MAX)), ["begin to move range books/1 to d"]);
}

#[test]
fn no_more_is_under_way_than_may_be() {
    let ranges: [(&str, &[&str], u64); 6] = [("a", &[], 10); 6];
    let (mut node, observed) = loaded(&THREE, &ranges);
    let plan = rebalance(&node.catalog(), &observed, 2);
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.warnings, [Warning::Capped { moves_max: 2, in_flight: 0 }]);
    run(&mut node, &plan).unwrap();
    let plan = rebalance(&node.catalog(), &observed, 2);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.warnings, [Warning::Capped { moves_max: 2, in_flight: 2 }]);
}

#[test]
fn it_repairs_and_warns() {
    let members = [("a", Some("x"), 1), ("b", Some("x"), 1), ("c", Some("y"), 1)];
    let (mut node, observed) = loaded(&members, &[("a", &["b"], 70), ("b", &["a"], 10), ("c", &[], 10)]);
    let key = rk("books", 3);
    let placement = Placement { replication_factor: 4, ..Placement::default() };
    node.done(OwnershipCommand::SetPlacement { range: key.clone(), fence: node.fence(&key), placement });
    let plan = rebalance(&node.catalog(), &observed, 1);
    assert_eq!(plan.steps[0].to_string(), "add a as replica of range books/3: it has 1 of 4 copies");
    let spread = Several { count: 2, first: rk("books", 1) };
    assert!(plan.warnings.contains(&Warning::Spread(spread)), "{plan}");
    assert!(plan.warnings.contains(&Warning::Hotspot { range: rk("books", 1), load: 70, mean: 30 }), "{plan}");
    node.done(plan.steps[0].command.clone());
    let edit = CopyEdit { range: key.clone(), fence: node.fence(&key), member: id("b") };
    node.done(OwnershipCommand::AddReplica(edit));
    let plan = rebalance(&node.catalog(), &observed, 1);
    assert!(plan.warnings.contains(&Warning::TooFewCopies(Several { count: 1, first: key })), "{plan}");
}

/// What each member owns, moves being through: first what those have that should have
/// nothing, then the others in relation to their weight, the heaviest first. Planning lowers it.
fn heaviness(catalog: &Catalog, load: &BTreeMap<RangeKey, u64>, weight: &dyn Fn(&MemberId) -> f64) -> Vec<f64> {
    let mut owned: BTreeMap<&MemberId, f64> = BTreeMap::new();
    for range in catalog.ranges(&coll("books")) {
        let owner = range.moving.as_ref().map_or(&range.owner, |moving| &moving.target);
        *owned.entry(owner).or_default() += load[&RangeKey::new(coll("books"), range.id)] as f64;
    }
    let (mut misplaced, mut others) = (0.0, Vec::new());
    for member in catalog.members().filter(|member| member.eligibility().is_ok()) {
        let (load, weight) = (owned.get(&member.id).copied().unwrap_or_default(), weight(&member.id));
        if weight == 0.0 { misplaced += load } else { others.push(load / weight) }
    }
    others.sort_by(|a, b| b.partial_cmp(a).unwrap());
    [misplaced].into_iter().chain(others).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_round_is_more_even_and_there_is_a_last_one(world in world(), moves_max in 1..6_usize) {
        let (mut node, mut observed) = world.build();
        for seen in observed.ranges.values_mut() {
            seen.load = Some(seen.load.unwrap_or(7).min(1000));
            // Every copy is whole, as far as is known: moves alone are under way.
            seen.watermark = None;
        }
        // Beside the largest disk there can be, others are rounded.
        observed.members.values_mut().for_each(|seen| seen.disk_bytes = seen.disk_bytes.map(|disk| disk.min(9)));
        let load: BTreeMap<_, _> = observed.ranges.iter().map(|(key, seen)| (key.clone(), seen.load.unwrap())).collect();
        let mut rounds = 0;
        loop {
            let before = node.catalog();
            let plan = planned(&before, |catalog| rebalance(catalog, &observed, moves_max))?;
            let moving = before.ranges(&coll("books")).filter(|range| range.moving.is_some()).count();
            prop_assert!(plan.steps.len() <= moves_max.saturating_sub(moving));
            prop_assert!(plan.blockers.is_empty(), "{}", plan);
            run(&mut node, &plan)?;
            let known = observed.members.values().all(|member| member.disk_bytes.is_some());
            let weight = |member: &MemberId| {
                let disk = observed.members[member].disk_bytes.filter(|_| known).unwrap_or(1);
                disk as f64 * f64::from(before.member(member).unwrap().locality.weight)
            };
            let [was, is] = [&before, &node.catalog()].map(|catalog| heaviness(catalog, &load, &weight));
            let shifts = plan.steps.iter().filter(|step| matches!(step.reason, Reason::Share { .. })).count();
            if shifts > 0 {
                prop_assert!(is < was, "{was:?} became {is:?} by {plan}");
            } else {
                prop_assert_eq!(is, was);
            }
            // The moves come to their end, and copies catch up.
            let in_flight: Vec<_> = keys(&world).filter(|key| node.range(key).moving.is_some()).collect();
            for key in in_flight {
                while let Some(phase) = node.range(&key).moving.and_then(|moving| moving.phase.next()) {
                    node.done(OwnershipCommand::AdvanceMove { range: key.clone(), fence: node.fence(&key), phase });
                }
                let range = node.range(&key);
                let evidence = evidence(&key, range.moving.as_ref().unwrap().target.as_str(), range.epoch);
                let complete = OwnershipCommand::CompleteMove {
                    range: key.clone(),
                    fence: range.fence(),
                    evidence: Some(evidence.clone()),
                };
                if !node.run(complete).is_done() {
                    // The target drains.
                    node.done(OwnershipCommand::AbortMove { range: key.clone(), fence: range.fence() });
                }
            }
            if plan.steps.is_empty() && moving == 0 {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 200, "no end of it: {}", plan);
        }
    }

    /// Whatever the numbers, it plans, and what it plans is accepted.
    #[test]
    fn any_load_is_planned_for(world in world()) {
        let (mut node, observed) = world.build();
        let plan = planned(&node.catalog(), |catalog| rebalance(catalog, &observed, MOVES_MAX))?;
        let hottest: Vec<_> = plan.warnings.iter().filter_map(|warning| match warning {
            Warning::Hotspot { load, .. } => Some(Reverse(*load)),
            _ => None,
        }).collect();
        prop_assert!(hottest.is_sorted());
        run(&mut node, &plan)?;
    }
}
