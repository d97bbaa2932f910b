//! A drain's plan: what it proposes, what blocks it by name, and that it ends.

use crate::common::*;
use crate::worlds::*;
use cp_catalog::plan::*;
use cp_catalog::*;
use cp_seam::MemberId;
use proptest::prelude::*;

fn words(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

fn seen(watermark: Option<DataPosition>, applied: &[(&str, DataPosition)]) -> RangeObserved {
    let applied = applied.iter().map(|(name, position)| (id(name), *position)).collect();
    RangeObserved { applied, watermark, ..RangeObserved::default() }
}

fn of_books(seen: RangeObserved) -> Observed {
    Observed { ranges: [(rk("books", 1), seen)].into(), ..Observed::default() }
}

/// Range 1 of books with these copies, and authority of nobody.
fn one_range(members: &[(&str, Option<&str>, u32)], owner: &str, replicas: &[&str], factor: u32) -> Node {
    let mut node = placed(members);
    let new = new_range(&rk("books", 1), Bounds::ALL, owner, replicas, &[]);
    let placement = Placement { replication_factor: factor, ..Placement::default() };
    node.done(OwnershipCommand::CreateRange(NewRange { placement, ..new }));
    node.done(MembershipCommand::Drain { member: node.life("a") });
    node
}

const ALONE: [(&str, Option<&str>, u32); 4] = [("a", None, 1), ("b", None, 1), ("c", None, 1), ("d", None, 1)];

#[test]
fn a_range_goes_to_the_furthest_covering_replica_and_of_those_to_the_lowest_name() {
    let node = one_range(&ALONE, "a", &["b", "c", "d"], 3);
    let target = |applied: &[(&str, DataPosition)]| {
        let plan = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), applied)), &id("a"));
        match plan.steps.first().map(|step| step.command.clone()) {
            Some(OwnershipCommand::Handoff(transfer)) => transfer.to.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(target(&[("b", at(3, 10)), ("c", at(3, 12)), ("d", at(3, 11))]), "c");
    assert_eq!(target(&[("b", at(3, 10)), ("c", at(3, 12)), ("d", at(3, 12))]), "c", "the lowest name");
    assert_eq!(target(&[("b", at(3, 99)), ("c", at(3, 12)), ("d", at(4, 0))]), "d", "the higher term");
    assert_eq!(target(&[("b", at(3, 9)), ("c", at(2, 99)), ("d", at(3, 10))]), "d", "the others are behind");
    assert_eq!(target(&[("b", at(3, 9)), ("d", at(3, 10))]), "d", "who was seen comes before who was not");
    assert_eq!(target(&[("b", at(3, 9))]), "c", "who was not seen comes before who is behind");
}

#[test]
fn what_blocks_a_drain_is_said_by_name() {
    let node = one_range(&ALONE[..2], "a", &["b"], 2);
    let behind = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), &[("b", at(3, 9))])), &id("a"));
    let why = NoTarget::Behind { member: id("b"), applied: at(3, 9) };
    assert_eq!(behind.blockers, [Blocker::NoHandoffTarget { range: rk("books", 1), why }]);
    assert_eq!(
        behind.to_string(),
        "blocked: no safe handoff target for range books/1: the furthest replica, b, is at 3.9 and lacks acknowledged writes\n"
    );

    // Nobody is left to take a's copy, so it stays; but b may own the range.
    let short = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), &[("b", at(3, 10))])), &id("a"));
    assert_eq!(short.blockers, [Blocker::NoReplacement { range: rk("books", 1), role: Role::Replica }]);
    assert_eq!(
        words(&short),
        [
            "hand range books/1 from a to b: a leaves, and this is the furthest replica that may own it; first a closes its gate of epoch 0:1, and b (seen at 3.10) shows a position that covers its last write and the watermark 3.10"
        ]
    );
    assert_eq!(
        short.blockers[0].to_string(),
        "no replacement replica for range books/1: add a data member, or lower its replication factor"
    );

    let nobody = drain(&node.catalog(), &Observed::default(), &id("z"));
    assert_eq!(nobody.blockers, [Blocker::NotAMember { member: id("z") }]);
    let mut node = one_range(&ALONE[..1], "a", &[], 1);
    node.done(MembershipCommand::Undrain { member: node.life("a") });
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("a") });
    let plan = drain(&node.catalog(), &Observed::default(), &id("a"));
    let (range, role) = (rk("books", 1), Role::Replica);
    assert_eq!(
        plan.blockers,
        [
            Blocker::NoHandoffTarget { range: range.clone(), why: NoTarget::NoReplica },
            Blocker::NoReplacement { range, role },
            Blocker::NoAuthority { group: group("shelf") }
        ]
    );
    assert_eq!(plan.warnings, [Warning::NotDraining { member: id("a") }]);
}

#[test]
fn a_range_that_has_no_other_copy_is_given_one_and_then_handed_to_it() {
    let mut node = one_range(&ALONE, "a", &[], 1);
    let first = drain(&node.catalog(), &Observed::default(), &id("a"));
    assert_eq!(words(&first), ["add b as replica of range books/1: a leaves, and no other replica could take over"]);
    assert_eq!(first.blockers.len(), 1);
    run(&mut node, &first).unwrap();
    // While it copies, nobody else is enlisted.
    let copying = of_books(seen(Some(at(3, 10)), &[("b", at(0, 0))]));
    let meanwhile = drain(&node.catalog(), &copying, &id("a"));
    assert_eq!((meanwhile.steps.len(), meanwhile.blockers.len()), (0, 1));
    let rest = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), &[("b", at(3, 10))])), &id("a"));
    assert!(rest.blockers.is_empty(), "{rest}");
    run(&mut node, &rest).unwrap();
    assert_eq!(node.catalog().holdings(&id("a")), Holdings::default());
    assert!(drain(&node.catalog(), &Observed::default(), &id("a")).is_done());
}

#[test]
fn a_copy_is_dropped_only_once_the_others_are_whole() {
    let node = one_range(&ALONE[..3], "b", &["a"], 2);
    let plan = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), &[])), &id("a"));
    let awaits = Awaits::Caught { range: rk("books", 1), members: vec![id("c")], watermark: Some(at(3, 10)) };
    assert_eq!(plan.steps.iter().map(|step| step.awaits.clone()).collect::<Vec<_>>(), [None, Some(awaits)]);
    assert_eq!(words(&plan)[1], "drop a as replica of range books/1: a leaves; first c has a whole copy, up to 3.10");
    // Planned again when c is enlisted and still copies, it awaits the same.
    let mut node = node;
    node.done(plan.steps[0].command.clone());
    let again = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), &[("c", at(1, 1))])), &id("a"));
    assert_eq!(again.steps, [Step { reason: again.steps[0].reason.clone(), ..plan.steps[1].clone() }]);
    let whole = drain(&node.catalog(), &of_books(seen(Some(at(3, 10)), &[("c", at(3, 10))])), &id("a"));
    assert_eq!(whole.steps[0].awaits, None);
}

#[test]
fn a_replacement_is_spread_over_domains_then_has_fewest_holdings_for_its_weight() {
    let replacement = |members: &[(&str, Option<&str>, u32)], extra: &[&str]| {
        let mut node = one_range(members, "b", &["a"], 2);
        for (number, owner) in (2..).zip(extra) {
            let (lower, upper) = (format!("{number:03}"), format!("{:03}", number + 1));
            node.done(OwnershipCommand::CreateCollection {
                collection: coll("other"),
                group: group("shelf"),
                mode: Mode::Ordered,
            });
            node.done(OwnershipCommand::CreateRange(new_range(
                &rk("other", number),
                bounds(&lower, &upper),
                owner,
                &[],
                &[],
            )));
        }
        let plan = drain(&node.catalog(), &Observed::default(), &id("a"));
        match &plan.steps[0].command {
            OwnershipCommand::AddReplica(edit) => (edit.member.to_string(), plan.warnings.len()),
            other => panic!("{other:?}"),
        }
    };
    let of = |name: &str, warnings| (name.to_owned(), warnings);
    let apart = [("a", Some("x"), 1), ("b", Some("y"), 1), ("c", Some("y"), 9), ("d", Some("x"), 1)];
    assert_eq!(replacement(&apart, &["d", "d", "d"]), of("d", 0), "the domain comes first");
    let together = [("a", Some("x"), 1), ("b", Some("y"), 1), ("c", Some("y"), 1), ("d", Some("y"), 1)];
    assert_eq!(replacement(&together, &["c"]), of("d", 1), "the fewest holdings; it shares a domain");
    let heavy = [("a", None, 1), ("b", None, 1), ("c", None, 3), ("d", None, 1)];
    assert_eq!(replacement(&heavy, &["c"]), of("c", 0), "for its weight");
    assert_eq!(replacement(&ALONE, &[]), of("c", 0), "the lowest name");
    let weightless = [("a", None, 1), ("b", None, 1), ("c", None, 0), ("d", None, 1)];
    assert_eq!(replacement(&weightless, &["d", "d"]), of("d", 0), "no weight comes last");
}

/// Who takes the copy of a in each range of books that it has.
fn takers(node: &Node) -> Vec<String> {
    let plan = drain(&node.catalog(), &Observed::default(), &id("a"));
    let taker = |step: &Step| match &step.command {
        OwnershipCommand::AddReplica(edit) => Some(edit.member.to_string()),
        _ => None,
    };
    plan.steps.iter().filter_map(taker).collect()
}

#[test]
fn a_replacement_shares_its_domain_with_as_few_as_can_be() {
    let domains = ["x", "y", "y", "z", "y", "z"];
    let members: Vec<_> = DATA.into_iter().zip(domains).map(|(name, domain)| (name, Some(domain), 1)).collect();
    assert_eq!(takers(&one_range(&members, "b", &["a", "c", "d"], 4)), ["f"], "two are in e's domain, one in f's");
}

#[test]
fn replacements_are_spread_as_they_are_planned() {
    let mut node = placed(&ALONE);
    for number in 1..=4 {
        let bounds = bounds(&number.to_string(), &(number + 1).to_string());
        let placement = Placement { replication_factor: 2, ..Placement::default() };
        let new = new_range(&rk("books", number), bounds, "b", &["a"], &[]);
        node.done(OwnershipCommand::CreateRange(NewRange { placement, ..new }));
    }
    assert_eq!(takers(&node), ["c", "d", "c", "d"]);
}

#[test]
fn a_move_in_flight_will_have_taken_one_copy_away() {
    let begin = |node: &mut Node, target: &str| {
        let range = rk("books", 1);
        let fence = node.fence(&range);
        node.done(OwnershipCommand::BeginMove { range, fence, target: id(target) });
    };
    let mut node = one_range(&ALONE, "b", &["a"], 2);
    begin(&mut node, "c");
    assert_eq!(takers(&node), ["d"], "b or c goes when the move ends");
    // The copy that a move has enlisted was one too many: its end is enough.
    let mut node = one_range(&ALONE, "b", &[], 1);
    node.done(MembershipCommand::Undrain { member: node.life("a") });
    begin(&mut node, "a");
    let plan = drain(&node.catalog(), &Observed::default(), &id("a"));
    assert_eq!(words(&plan), ["abort the move of range books/1: a leaves"]);
}

#[test]
fn a_candidate_covers_what_passed_the_gate_after_the_watermark() {
    let node = one_range(&ALONE[..2], "a", &["b"], 1);
    let target = |epoch, last| {
        let closed_gate = Some(closed(&rk("books", 1), Epoch(epoch), last));
        let seen = RangeObserved { closed_gate, ..seen(Some(at(3, 10)), &[("b", at(3, 10))]) };
        let plan = drain(&node.catalog(), &of_books(seen), &id("a"));
        (plan.blockers.len(), plan.steps.first().map(|step| step.awaits.is_some()))
    };
    assert_eq!(target(1, at(3, 10)), (0, Some(false)), "all evidence is at hand");
    assert_eq!(target(1, at(3, 11)), (1, None));
    assert_eq!(target(2, at(3, 11)), (0, Some(true)), "the gate of another epoch says nothing");
}

#[test]
fn nothing_is_given_to_who_is_lost() {
    let node = one_range(&ALONE, "a", &["b", "c"], 3);
    let mut observed = of_books(seen(Some(at(3, 10)), &[("b", at(3, 11)), ("c", at(3, 10))]));
    for name in ["b", "d"] {
        observed.members.insert(id(name), MemberObserved { lost: true, ..MemberObserved::default() });
    }
    let plan = drain(&node.catalog(), &observed, &id("a"));
    assert!(words(&plan)[0].starts_with("hand range books/1 from a to c:"), "{plan}");
    assert_eq!(plan.blockers, [Blocker::NoReplacement { range: rk("books", 1), role: Role::Replica }]);
}

#[test]
fn placement_attributes_are_said_to_be_unmatched() {
    let mut node = one_range(&ALONE, "b", &["a"], 2);
    let placement = Placement { replication_factor: 2, attributes: [("disk".into(), "ssd".into())].into() };
    let range = rk("books", 1);
    node.done(OwnershipCommand::SetPlacement { fence: node.fence(&range), range: range.clone(), placement });
    let plan = drain(&node.catalog(), &Observed::default(), &id("a"));
    assert_eq!(plan.warnings, [Warning::AttributesUnmatched(Several { count: 1, first: range })]);
}

/// Hot copies that stay, were a move in flight to end.
fn hot(range: &Range) -> u32 {
    range.replicas.len() as u32 + 1 - u32::from(range.moving.is_some())
}

/// Each range lost the member, and got a copy for it only if it had to.
fn check_copies(before: &Catalog, after: &Catalog, member: &MemberId, key: &RangeKey) -> Result<(), TestCaseError> {
    let (was, is) = (before.range(key).unwrap(), after.range(key).unwrap());
    let Some(role) = was.role(member) else {
        prop_assert_eq!(was, is, "a range without the member is left alone");
        return Ok(());
    };
    if was.moving.is_some() {
        return Ok(());
    }
    let factor = was.placement.replication_factor;
    let copies = |range: &Range| hot(range) + range.archives.len() as u32;
    match role {
        Role::Archive => {
            let left = copies(was) - 1;
            prop_assert_eq!(copies(is), if left < factor { left + 1 } else { left });
            prop_assert_eq!(hot(is), hot(was));
        }
        Role::Owner | Role::Replica => {
            let left = hot(was) - 1;
            prop_assert_eq!(hot(is), if left < factor { left + 1 } else { left });
            prop_assert_eq!(&is.archives, &was.archives);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_drain_without_blockers_leaves_nothing(world in world(), who in 0..7_usize) {
        let (mut node, observed) = world.build();
        let member = id(DATA[who]);
        node.done(MembershipCommand::Drain { member: node.life(DATA[who]) });
        let before = node.catalog();
        let plan = planned(&before, |catalog| drain(catalog, &observed, &member))?;
        run(&mut node, &plan)?;
        let after = node.catalog();
        for blocker in &plan.blockers {
            let kept = match blocker {
                Blocker::NoHandoffTarget { range, .. } => after.range(range).unwrap().role(&member).is_some(),
                Blocker::NoReplacement { range, .. } => after.range(range).unwrap().role(&member).is_some(),
                Blocker::NoAuthority { group } => after.authority(group).unwrap().holder == member,
                other => panic!("{other}"),
            };
            prop_assert!(kept, "{} is no blocker", blocker);
        }
        if plan.blockers.is_empty() {
            for key in keys(&world) {
                check_copies(&before, &after, &member, &key)?;
            }
            prop_assert_eq!(after.holdings(&member), Holdings::default());
            prop_assert!(drain(&after, &observed, &member).is_done(), "a drain is idempotent");
            node.done(MembershipCommand::Remove { member: node.life(DATA[who]), reachable: node.everyone() });
            prop_assert_eq!(node.catalog().violations(), vec![]);
        }
    }

    #[test]
    fn a_drain_ends_where_there_is_somebody_to_take_over(world in world(), who in 0..7_usize) {
        let (mut node, mut observed) = world.build();
        let member = id(DATA[who]);
        node.done(MembershipCommand::Drain { member: node.life(DATA[who]) });
        for round in 0..3 {
            // What was enlisted has caught up.
            for key in keys(&world) {
                let seen = whole(&node.range(&key), &observed.ranges[&key]);
                observed.ranges.insert(key, seen);
            }
            let plan = drain(&node.catalog(), &observed, &member);
            run(&mut node, &plan)?;
            let now = node.catalog();
            let free = |range: Option<&Range>| {
                let takes = |name: &&&str| range.is_none_or(|range| range.role(&id(name)).is_none());
                DATA.iter().filter(takes).any(|name| eligible(&now, &id(name)))
            };
            // At first a range may have nobody to be handed to; after that, nobody is left who could hold a copy.
            for blocker in &plan.blockers {
                match blocker {
                    Blocker::NoHandoffTarget { range, .. } => prop_assert!(round == 0 || !free(now.range(range)), "{}", plan),
                    Blocker::NoReplacement { range, .. } => prop_assert!(!free(now.range(range)), "{}", plan),
                    Blocker::NoAuthority { .. } => prop_assert!(!free(None), "{}", plan),
                    other => panic!("{other}"),
                }
            }
            prop_assert!(round < 2 || plan.steps.is_empty(), "{}", plan);
        }
    }
}
