//! Which copies count: none of who is gone, none that was seen before it was made, none that
//! another owner has written past.

use crate::access::grant;
use crate::common::*;
use crate::worlds::*;
use cp_catalog::plan::*;
use cp_catalog::*;

const FOUR: [(&str, Option<&str>, u32); 4] = [("a", None, 1), ("b", None, 1), ("c", None, 1), ("d", None, 1)];

/// Range 1 of books.
fn one(owner: &str, replicas: &[&str], archives: &[&str], factor: u32) -> (Node, RangeKey) {
    let (mut node, key) = (placed(&FOUR), rk("books", 1));
    let placement = Placement { replication_factor: factor, ..Placement::default() };
    let new = new_range(&key, Bounds::ALL, owner, replicas, archives);
    node.done(OwnershipCommand::CreateRange(NewRange { placement, ..new }));
    (node, key)
}

fn seen(key: &RangeKey, applied: &[(&str, DataPosition)]) -> Observed {
    let applied = applied.iter().map(|(name, position)| (id(name), *position)).collect();
    let seen = RangeObserved { applied, watermark: Some(at(3, 10)), ..RangeObserved::default() };
    Observed { ranges: [(key.clone(), seen)].into(), ..Observed::default() }
}

fn lost(mut observed: Observed, names: &[&str]) -> Observed {
    for name in names {
        observed.members.insert(id(name), MemberObserved { lost: true, ..MemberObserved::default() });
    }
    observed
}

fn draining(node: &mut Node, name: &str) {
    node.done(MembershipCommand::Drain { member: node.life(name) });
}

/// `name` is expelled with all that it has.
fn expelled(node: &mut Node, name: &str) {
    raise(node, &["a", "b", "c", "d", "w"], 2);
    node.done(grant("fay", Privileges { read: true, operate: true, force: true }));
    let member = node.life(name);
    let mut reachable = node.everyone();
    reachable.remove(&member.incarnation);
    let command = MembershipCommand::ForceRemove { member, reason: "it burnt".to_owned(), reachable };
    assert!(node.run_of("fay", command).is_done());
}

fn words(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

#[test]
fn the_last_living_copy_is_not_drained() {
    for (replicas, archives) in [(&["a"][..], &[][..]), (&[][..], &["a"][..])] {
        let (mut node, key) = one("b", replicas, archives, 1);
        draining(&mut node, "a");
        let observed = lost(seen(&key, &[("a", at(3, 10))]), &["b"]);
        let plan = drain(&node.catalog(), &observed, &id("a"));
        let gone = Blocker::OwnerGone { range: key.clone(), owner: id("b") };
        assert_eq!((words(&plan), plan.blockers), (vec![], vec![gone]));
        expelled(&mut node, "b");
        let plan = drain(&node.catalog(), &seen(&key, &[("a", at(3, 10))]), &id("a"));
        assert_eq!((plan.steps.len(), plan.blockers.len()), (0, 1), "nor if the owner is expelled");
    }
}

#[test]
fn who_is_gone_is_no_copy_that_is_left() {
    let (mut node, key) = one("b", &["a", "c"], &[], 2);
    draining(&mut node, "a");
    let everything = [("a", at(3, 10)), ("c", at(3, 10)), ("d", at(3, 10))];
    let steps = |node: &Node, observed: &Observed| {
        let plan = drain(&node.catalog(), observed, &id("a"));
        plan.steps.iter().map(|step| step.action().to_string()).collect::<Vec<_>>()
    };
    let dropped = "drop a as replica of range books/1";
    assert_eq!(steps(&node, &seen(&key, &everything)), [dropped]);
    let replaced = ["add d as replica of range books/1", dropped];
    assert_eq!(steps(&node, &lost(seen(&key, &everything), &["c"])), replaced);
    let repair = rebalance(&node.catalog(), &lost(seen(&key, &everything), &["c"]), MOVES_MAX);
    assert_eq!(repair.steps.len(), 0, "b and a are two");
    expelled(&mut node, "c");
    assert_eq!(steps(&node, &seen(&key, &everything)), replaced);
    // Nobody waits for the copy of who is gone.
    let plan = drain(&node.catalog(), &seen(&key, &everything), &id("a"));
    let waits = Awaits::Caught { range: key.clone(), members: vec![id("d")], watermark: Some(at(3, 10)) };
    assert_eq!(plan.steps[1].awaits, Some(waits));
}

#[test]
fn what_is_seen_of_an_older_copy_says_nothing_of_a_new_one() {
    let (mut node, key) = one("b", &["a"], &[], 2);
    draining(&mut node, "a");
    let plan = drain(&node.catalog(), &seen(&key, &[("a", at(3, 10)), ("c", at(3, 10))]), &id("a"));
    let waits = Awaits::Caught { range: key.clone(), members: vec![id("c")], watermark: Some(at(3, 10)) };
    assert_eq!(plan.steps.iter().map(|step| step.awaits.clone()).collect::<Vec<_>>(), [None, Some(waits)]);
}

#[test]
fn an_archive_goes_only_once_the_hot_copies_are_there() {
    let (mut node, key) = one("b", &["c"], &["a", "d"], 3);
    draining(&mut node, "a");
    let awaits = |applied: &[(&str, DataPosition)]| {
        let plan = drain(&node.catalog(), &seen(&key, applied), &id("a"));
        plan.steps.last().and_then(|step| step.awaits.clone())
    };
    assert_eq!(awaits(&[("c", at(3, 10)), ("d", at(1, 1))]), None, "an archive need only be there");
    let waits = |names: &[&str]| {
        let members = names.iter().map(|name| id(name)).collect();
        Some(Awaits::Caught { range: key.clone(), members, watermark: Some(at(3, 10)) })
    };
    assert_eq!(awaits(&[("d", at(1, 1))]), waits(&["c"]));
    assert_eq!(awaits(&[("c", at(3, 9))]), waits(&["c", "d"]));
}

/// c has all that was acknowledged, and not what passed a's gate after that.
#[test]
fn after_a_handoff_every_copy_is_brought_up_to_the_last_write() {
    let (mut node, key) = one("a", &["b", "c"], &[], 2);
    draining(&mut node, "a");
    let mut observed = seen(&key, &[("b", at(3, 12)), ("c", at(3, 10))]);
    let gate = closed(&key, node.range(&key).epoch, at(3, 12));
    observed.ranges.get_mut(&key).unwrap().closed_gate = Some(gate);
    let plan = drain(&node.catalog(), &observed, &id("a"));
    let waits = Awaits::Caught { range: key.clone(), members: vec![id("c")], watermark: Some(at(3, 10)) };
    assert_eq!(plan.steps.iter().map(|step| step.awaits.clone()).collect::<Vec<_>>(), [None, Some(waits)]);
}

#[test]
fn what_was_seen_under_an_earlier_epoch_promotes_nobody() {
    let (node, key) = one("a", &["b"], &[], 2);
    let health = {
        let mut health = Health::new(HealthSettings::default());
        health.observe(&id("b"), 0, Heard::default());
        health
    };
    let plan = |epoch| {
        let mut observed = lost(seen(&key, &[("b", at(3, 10))]), &["a"]);
        observed.ranges.get_mut(&key).unwrap().epoch = epoch;
        failover(&node.catalog(), &observed, &health, 0)
    };
    assert_eq!((plan(None).steps.len(), plan(Some(Epoch(1))).steps.len()), (1, 1));
    let older = plan(Some(Epoch(0)));
    let unseen = Blocker::NoSafeCandidate { range: key.clone(), owner: id("a"), why: NoTarget::Unseen };
    assert_eq!((words(&older), older.blockers), (vec![], vec![unseen]));
}

#[test]
fn a_copy_behind_a_closed_gate_is_drained_once_another_owns_the_range() {
    let (mut node, key) = one("b", &["a", "c"], &[], 2);
    draining(&mut node, "a");
    let mut observed = seen(&key, &[("a", at(3, 10)), ("b", at(3, 10)), ("c", at(3, 10))]);
    observed.ranges.get_mut(&key).unwrap().closed_gate = Some(closed(&key, Epoch(1), at(3, 10)));
    let plan = drain(&node.catalog(), &observed, &id("a"));
    let done: Vec<_> = plan.steps.iter().map(|step| step.action().to_string()).collect();
    assert_eq!(done, ["hand range books/1 from b to c", "drop a as replica of range books/1"]);
    run(&mut node, &plan).unwrap();
    assert_eq!((node.range(&key).owner, node.range(&key).role(&id("a"))), (id("c"), None));
    // Whose owner is lost besides is somebody else's, and is said to be.
    let (node, key) = one("b", &["c"], &[], 2);
    let mut shut = lost(seen(&key, &[]), &["b"]);
    shut.ranges.get_mut(&key).unwrap().closed_gate = Some(closed(&key, Epoch(1), at(3, 10)));
    let plan = finish(&node.catalog(), &shut);
    assert_eq!(plan.blockers, [Blocker::OwnerGone { range: key.clone(), owner: id("b") }]);
    let said = plan.blockers[0].to_string();
    assert_eq!(said, "the owner of range books/1, b, is lost or expelled; fail it over or restore it first");
}

/// c is furthest, and could not be reached.
#[test]
fn behind_a_closed_gate_others_are_tried() {
    let shut = |key: &RangeKey, failed: &[&str], applied: &[(&str, DataPosition)]| {
        let mut observed = seen(key, applied);
        let range = observed.ranges.get_mut(key).unwrap();
        range.closed_gate = Some(closed(key, Epoch(1), at(3, 10)));
        range.failed = failed.iter().map(|name| id(name)).collect();
        observed
    };
    let done = |node: &Node, observed: &Observed| {
        let plan = finish(&node.catalog(), observed);
        plan.steps.iter().map(|step| step.action().to_string()).collect::<Vec<_>>()
    };
    let (node, key) = one("b", &["c", "d"], &[], 1);
    let both = [("c", at(3, 11)), ("d", at(3, 10))];
    assert_eq!(done(&node, &shut(&key, &[], &both)), ["hand range books/1 from b to c"]);
    assert_eq!(done(&node, &shut(&key, &["c"], &both)), ["hand range books/1 from b to d"]);
    assert_eq!(done(&node, &shut(&key, &["c", "d"], &both)), ["hand range books/1 from b to c"], "is it the source?");
    let (mut node, key) = one("b", &["c"], &[], 1);
    assert_eq!(done(&node, &shut(&key, &["c"], &[])), ["add a as replica of range books/1"]);
    // Nor is a move waited for whose target is not reached.
    let fence = node.fence(&key);
    node.done(OwnershipCommand::BeginMove { range: key.clone(), fence, target: id("d") });
    let moved = done(&node, &shut(&key, &[], &[]));
    assert_eq!(moved.last().unwrap(), "complete the move of range books/1");
    assert_eq!(done(&node, &shut(&key, &["d"], &[("c", at(3, 10))])), ["hand range books/1 from b to c"]);
    let mut open = shut(&key, &["d"], &[]);
    open.ranges.get_mut(&key).unwrap().closed_gate = None;
    assert_eq!(done(&node, &open), moved, "the owner may write, so that the move can wait");
}

#[test]
fn what_an_expelled_member_has_is_no_drain_and_its_moves_are_settled() {
    let (mut node, key) = one("b", &["c"], &["d"], 1);
    let fence = node.fence(&key);
    node.done(OwnershipCommand::BeginMove { range: key.clone(), fence, target: id("a") });
    expelled(&mut node, "b");
    let plan = drain(&node.catalog(), &Observed::default(), &id("b"));
    assert_eq!((words(&plan), plan.blockers), (vec![], vec![Blocker::Expelled { member: id("b") }]));
    let plan = finish(&node.catalog(), &seen(&key, &[("a", at(3, 10))]));
    assert_eq!(words(&plan), ["settle the interrupted move of range books/1: b is said to be lost"]);
    run(&mut node, &plan).unwrap();
    assert_eq!(node.range(&key).owner, id("a"));
}

#[test]
fn an_archive_that_may_not_own_the_range_recovers_nothing() {
    let (mut node, key) = one("b", &[], &["c", "d"], 1);
    draining(&mut node, "d");
    expelled(&mut node, "b");
    let plan = expel(&node.catalog(), &Observed::default(), &id("b"));
    let unrecoverable = Blocker::Unrecoverable { range: key, why: NoTarget::NoReplica, archives: vec![id("c")] };
    assert_eq!(plan.blockers, [unrecoverable]);
}
