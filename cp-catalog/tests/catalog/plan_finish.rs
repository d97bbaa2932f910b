//! What an interrupted run has left is brought to an end.

use crate::common::*;
use crate::worlds::*;
use cp_catalog::plan::*;
use cp_catalog::*;
use proptest::prelude::*;

const THREE: [(&str, Option<&str>, u32); 3] = [("a", None, 1), ("b", None, 1), ("c", None, 1)];

fn words(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

/// Range 1 of books, of a, with these replicas; moving to c if it is to.
fn one(replicas: &[&str], moving: bool) -> (Node, RangeKey) {
    let (mut node, key) = (placed(&THREE), rk("books", 1));
    node.done(OwnershipCommand::CreateRange(new_range(&key, Bounds::ALL, "a", replicas, &[])));
    if moving {
        let fence = node.fence(&key);
        node.done(OwnershipCommand::BeginMove { range: key.clone(), fence, target: id("c") });
    }
    (node, key)
}

fn seen(key: &RangeKey, gate: Option<u64>, applied: &[(&str, DataPosition)]) -> Observed {
    let closed_gate = gate.map(|epoch| closed(key, Epoch(epoch), at(3, 12)));
    let applied = applied.iter().map(|(name, position)| (id(name), *position)).collect();
    let seen = RangeObserved { applied, watermark: Some(at(3, 10)), closed_gate, ..RangeObserved::default() };
    Observed { ranges: [(key.clone(), seen)].into(), ..Observed::default() }
}

#[test]
fn a_move_in_flight_goes_through_its_phases() {
    let (mut node, key) = one(&["b"], true);
    let plan = finish(&node.catalog(), &seen(&key, None, &[]));
    assert_eq!(
        words(&plan),
        [
            "note that the move of range books/1 is copying: its move to c is in flight",
            "note that the move of range books/1 is catching up: its move to c is in flight; first c has a whole copy, up to 3.10",
            "complete the move of range books/1: its move to c is in flight; first a closes its gate of epoch 0:1, and c shows a position that covers its last write and the watermark 3.10"
        ]
    );
    run(&mut node, &plan).unwrap();
    let range = node.range(&key);
    assert_eq!((range.owner, range.moving), (id("c"), None));
    assert!(finish(&node.catalog(), &seen(&key, Some(1), &[])).is_done(), "that gate is of an epoch that is over");
}

#[test]
fn a_target_that_may_not_take_the_range_leaves_it_or_another_does() {
    let (mut node, key) = one(&["b"], true);
    node.done(MembershipCommand::Drain { member: node.life("c") });
    let open = finish(&node.catalog(), &seen(&key, None, &[]));
    assert_eq!(words(&open), ["abort the move of range books/1: its move to c is in flight"]);
    // The owner may not write any more, so to abort would help nobody.
    let closed = seen(&key, Some(1), &[("b", at(3, 12))]);
    let plan = finish(&node.catalog(), &closed);
    assert_eq!(
        words(&plan),
        ["hand range books/1 from a to b: a has closed its gate, and nobody may write until another owns it"]
    );
    let of_drain = drain(&node.catalog(), &closed, &id("c"));
    assert_eq!(words(&of_drain), words(&plan), "nor may the drain of the target abort it");
    run(&mut node, &plan).unwrap();
    assert_eq!(node.range(&key).role(&id("c")), None);
    assert!(drain(&node.catalog(), &Observed::default(), &id("c")).is_done());
}

#[test]
fn a_range_behind_a_closed_gate_goes_to_who_has_its_last_write() {
    let (node, key) = one(&["b", "c"], false);
    let plan = |observed: &Observed| {
        let plan = finish(&node.catalog(), observed);
        let to = plan.steps.iter().map(|step| match &step.command {
            OwnershipCommand::Handoff(transfer) => transfer.to.to_string(),
            other => panic!("{other:?}"),
        });
        (to.collect::<Vec<_>>(), plan.blockers)
    };
    assert_eq!(plan(&seen(&key, None, &[])), (vec![], vec![]), "an open gate is nobody's business");
    assert_eq!(plan(&seen(&key, Some(2), &[])), (vec![], vec![]), "of another epoch");
    assert_eq!(plan(&seen(&key, Some(1), &[("b", at(3, 11)), ("c", at(3, 12))])), (vec!["c".to_owned()], vec![]));
    let why = NoTarget::Behind { member: id("b"), applied: at(3, 11) };
    let behind = seen(&key, Some(1), &[("b", at(3, 11)), ("c", at(3, 10))]);
    assert_eq!(plan(&behind), (vec![], vec![Blocker::NoHandoffTarget { range: key.clone(), why }]));
    let (alone, key) = one(&[], false);
    let plan = finish(&alone.catalog(), &seen(&key, Some(1), &[]));
    assert_eq!(
        words(&plan),
        ["add b as replica of range books/1: a has closed its gate, and nobody may write until another owns it"]
    );
}

#[test]
fn a_move_whose_source_is_lost_is_resolved_only_if_its_target_has_everything() {
    let (mut node, key) = one(&["b"], true);
    let plan = |node: &Node, applied: &[(&str, DataPosition)]| {
        let mut observed = seen(&key, None, applied);
        observed.members.insert(id("a"), MemberObserved { lost: true, ..MemberObserved::default() });
        finish(&node.catalog(), &observed)
    };
    let short = plan(&node, &[("c", at(3, 9))]);
    let why = NoTarget::Behind { member: id("c"), applied: at(3, 9) };
    assert_eq!(
        (short.steps.len(), short.blockers),
        (0, vec![Blocker::NoSafeCandidate { range: key.clone(), owner: id("a"), why }])
    );
    let whole = plan(&node, &[("c", at(3, 10))]);
    assert_eq!(words(&whole), ["settle the interrupted move of range books/1: a is said to be lost"]);
    run(&mut node, &whole).unwrap();
    assert_eq!(node.range(&key).owner, id("c"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stays_half_done_where_there_is_somebody_to_take_it(world in world()) {
        let (mut node, mut observed) = world.build();
        for round in 0..3 {
            // What was enlisted has caught up; the gates that were closed are those of the first epoch.
            for key in keys(&world) {
                let was = observed.ranges[&key].clone();
                let seen = RangeObserved { closed_gate: was.closed_gate.clone(), ..whole(&node.range(&key), &was) };
                observed.ranges.insert(key, seen);
            }
            let plan = planned(&node.catalog(), |catalog| finish(catalog, &observed))?;
            run(&mut node, &plan)?;
            let now = node.catalog();
            let free = |range: &Range| DATA.iter().any(|name| range.role(&id(name)).is_none() && eligible(&now, &id(name)));
            for key in keys(&world) {
                let range = now.range(&key).unwrap();
                let half = range.moving.is_some() || observed.is_closed(&key, range);
                prop_assert!(!half || round == 0 || !free(range), "{key} is half done after {plan}");
            }
            prop_assert!(round < 2 || plan.steps.is_empty(), "{}", plan);
        }
    }
}
