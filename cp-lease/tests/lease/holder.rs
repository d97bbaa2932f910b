//! One member's gates, as they follow the catalog.

use crate::common::*;
use cp_catalog::*;
use cp_lease::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, Term};
use std::time::Duration;

fn holder(machine: &CatalogMachine, name: &str) -> Holder {
    machine.read_at(|at, catalog| Holder::new(life(machine, name), policy().margin(), at, catalog, []))
}

fn follow(holder: &mut Holder, machine: &CatalogMachine) {
    holder.follow(&machine.changes_from(holder.next(), usize::MAX)).unwrap();
}

fn owned(machine: &CatalogMachine, name: &str, withheld: &[RangeKey]) -> Renewal {
    Renewal {
        term: Term(1),
        owner: life(machine, name),
        as_of: machine.applied(),
        length: policy().length(),
        coverage: Coverage::Owned { withheld: withheld.to_vec() },
        more_in: None,
    }
}

fn in_effect(machine: &CatalogMachine, name: &str, released: &[(RangeKey, Epoch)]) -> Renewal {
    Renewal { coverage: Coverage::InEffect { released: released.to_vec() }, ..owned(machine, name, &[]) }
}

fn admits(holder: &Holder, machine: &CatalogMachine, key: &RangeKey, now: u64) -> bool {
    holder.admit(key, range(machine, key).epoch, at(now)).is_ok()
}

#[test]
fn one_renewal_serves_all_ranges_from_when_it_was_asked_for() {
    let machine = library();
    (2..50).for_each(|n| drop(split(&machine, &rk(n - 1), &format!("k{n:03}"), n)));
    let mut holder = holder(&machine, "a");
    assert_eq!(holder.renew(&owned(&machine, "a", &[rk(7)]), at(100)), Ok(48));
    assert!(!admits(&holder, &machine, &rk(7), 100));
    assert!(admits(&holder, &machine, &rk(49), 129) && !admits(&holder, &machine, &rk(49), 130));
    assert_eq!(holder.renew(&owned(&machine, "a", &[]), at(90)), Ok(1), "what came late extends only what had none");
}

#[test]
fn what_the_leader_saw_is_followed_first() {
    let machine = library();
    let mut holder = holder(&machine, "a");
    promote(&machine, &rk(1), "b");
    let renewal = owned(&machine, "a", &[]);
    let (as_of, applied) = (renewal.as_of, ControlPlaneLogIndex(2));
    assert_eq!(holder.renew(&renewal, at(0)), Err(RenewError::Behind { as_of, applied }));
    follow(&mut holder, &machine);
    assert_eq!(holder.renew(&renewal, at(0)), Ok(0));
}

#[test]
fn a_renewal_from_before_a_range_came_does_not_cover_it() {
    let machine = library();
    let before = owned(&machine, "b", &[]);
    let mut holder = holder(&machine, "b");
    promote(&machine, &rk(1), "b");
    follow(&mut holder, &machine);
    assert_eq!(holder.renew(&before, at(0)), Ok(0));
    assert_eq!(holder.renew(&owned(&machine, "b", &[]), at(0)), Ok(1));
}

#[test]
fn a_part_does_not_take_what_was_withheld_from_the_whole() {
    let machine = library();
    promote(&machine, &rk(1), "b");
    let withheld = owned(&machine, "b", &[rk(1)]);
    let mut holder = holder(&machine, "b");
    split(&machine, &rk(1), "m", 2);
    follow(&mut holder, &machine);
    assert_eq!(holder.renew(&withheld, at(0)), Ok(0));
}

#[test]
fn a_union_does_not_take_what_was_withheld_from_a_part() {
    let machine = library();
    split(&machine, &rk(1), "m", 2);
    let mut holder = holder(&machine, "a");
    let withheld = owned(&machine, "a", &[rk(2)]);
    merge(&machine, &rk(1), &rk(2));
    follow(&mut holder, &machine);
    assert_eq!(holder.renew(&withheld, at(0)), Ok(0));
}

#[test]
fn a_new_leader_renews_what_is_in_effect() {
    let machine = library();
    split(&machine, &rk(1), "m", 2);
    let mut holder = holder(&machine, "a");
    assert_eq!(holder.renew(&in_effect(&machine, "a", &[]), at(0)), Ok(0));
    let released = [(rk(1), Epoch(9)), (rk(2), range(&machine, &rk(2)).epoch)];
    assert_eq!(holder.renew(&in_effect(&machine, "a", &released), at(0)), Ok(1), "released under its present epoch");
    assert_eq!(holder.renew(&in_effect(&machine, "a", &[]), at(200)), Ok(1), "also after it is over");
    assert!(admits(&holder, &machine, &rk(2), 229) && !admits(&holder, &machine, &rk(1), 200));
}

#[test]
fn parts_and_unions_go_on_with_the_lease() {
    let machine = library();
    let mut holder = holder(&machine, "a");
    holder.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    split(&machine, &rk(1), "m", 2);
    follow(&mut holder, &machine);
    assert!(admits(&holder, &machine, &rk(2), 29), "no write waits for a renewal because of a split");
    holder.renew(&owned(&machine, "a", &[rk(2)]), at(20)).unwrap();
    merge(&machine, &rk(1), &rk(2));
    follow(&mut holder, &machine);
    assert!(admits(&holder, &machine, &rk(1), 29) && !admits(&holder, &machine, &rk(1), 30), "as long as both");
    let gone = GateRefusal::NotOwned { range: rk(2), member: id("a") };
    assert_eq!(holder.admit(&rk(2), Epoch(1), at(0)), Err(gone));
    split(&machine, &rk(1), "m", 3);
    let mut fresh = self::holder(&machine, "a");
    fresh.renew(&owned(&machine, "a", &[rk(3)]), at(0)).unwrap();
    merge(&machine, &rk(1), &rk(3));
    follow(&mut fresh, &machine);
    assert!(!admits(&fresh, &machine, &rk(1), 0), "and only if both had one");
}

#[test]
fn a_range_that_left_names_its_next_owner() {
    let machine = library();
    let mut holder = holder(&machine, "a");
    holder.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    let epoch = range(&machine, &rk(1)).epoch;
    promote(&machine, &rk(1), "b");
    assert!(holder.admit(&rk(1), epoch, at(5)).is_ok(), "it has not heard of it");
    follow(&mut holder, &machine);
    let standing = range(&machine, &rk(1)).standing();
    let refusal = GateRefusal::EpochSuperseded { range: rk(1), member: id("a"), epoch, standing };
    assert_eq!(holder.admit(&rk(1), epoch, at(5)), Err(refusal));
}

#[test]
fn another_life_is_not_renewed() {
    let machine = library();
    let mut holder = holder(&machine, "a");
    let renewal = owned(&machine, "b", &[]);
    let (of, here) = (life(&machine, "b"), life(&machine, "a"));
    assert_eq!(holder.renew(&renewal, at(0)), Err(RenewError::OtherLife { of, here }));
    let mut renewal = owned(&machine, "a", &[]);
    renewal.owner.incarnation.0 += 1;
    assert!(matches!(holder.renew(&renewal, at(0)), Err(RenewError::OtherLife { .. })));
}

#[test]
fn a_restart_keeps_closed_gates_and_nothing_else() {
    let machine = library();
    split(&machine, &rk(1), "m", 2);
    let mut holder = holder(&machine, "a");
    assert!(holder.close(&rk(1), LAST).is_err(), "not in effect yet");
    holder.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    let closed = holder.close(&rk(1), LAST).unwrap();
    assert!(holder.close(&rk(9), LAST).is_err());
    let (life, margin) = (life(&machine, "a"), policy().margin());
    let mut again = machine.read_at(|at, catalog| Holder::new(life, margin, at, catalog, [closed.clone()]));
    assert!(!admits(&again, &machine, &rk(2), 0), "leases are of a process");
    assert_eq!(again.renew(&owned(&machine, "a", &[]), at(0)), Ok(1));
    assert!(matches!(again.admit(&rk(1), closed.epoch, at(0)), Err(GateRefusal::Revoked { .. })));
}

#[test]
fn after_a_snapshot_what_is_the_same_goes_on() {
    let machine = library();
    split(&machine, &rk(1), "m", 2);
    split(&machine, &rk(2), "t", 3);
    split(&machine, &rk(3), "x", 6);
    let mut holder = holder(&machine, "a");
    holder.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    promote(&machine, &rk(2), "b");
    let short = machine.read(|catalog| CatalogMachine::with_history(catalog.clone(), machine.applied(), 1));
    split(&short, &rk(1), "c", 4);
    merge(&short, &rk(3), &rk(6));
    let upto = short.applied();
    let changes = short.changes_from(holder.next(), usize::MAX);
    assert_eq!(holder.follow(&changes), Err(FollowError::Compacted { upto }));
    short.read_at(|at, catalog| holder.reset(at, catalog));
    assert_eq!([1, 2, 3, 4].map(|n| admits(&holder, &short, &rk(n), 9)), [true, false, false, false]);
    assert!(matches!(holder.admit(&rk(6), Epoch(1), at(9)), Err(GateRefusal::NotOwned { .. })));
    assert!(matches!(holder.admit(&rk(2), Epoch(1), at(9)), Err(GateRefusal::EpochSuperseded { .. })));
    assert_eq!(holder.renew(&owned(&short, "a", &[]), at(9)), Ok(3));
}

#[test]
fn lengths_that_a_leader_shortened_count() {
    let machine = library();
    let mut holder = holder(&machine, "a");
    let renewal = Renewal { length: Duration::from_nanos(15), ..owned(&machine, "a", &[]) };
    holder.renew(&renewal, at(0)).unwrap();
    assert!(admits(&holder, &machine, &rk(1), 4) && !admits(&holder, &machine, &rk(1), 5));
}

/// The gate of `key` that `name`'s process closed; the next one begins from `machine` as it
/// was before `what`, hears of the rest, and is renewed.
fn stays_closed(machine: &CatalogMachine, name: &str, key: &RangeKey, what: impl FnOnce(&CatalogMachine)) {
    let (applied, before) = machine.read_at(|at, catalog| (at, catalog.clone()));
    what(machine);
    let closed = ClosedGate { range: key.clone(), epoch: range(machine, key).epoch, last: LAST };
    let (life, margin) = (life(machine, name), policy().margin());
    let mut again = Holder::new(life, margin, applied, &before, [closed.clone()]);
    follow(&mut again, machine);
    again.renew(&owned(machine, name, &[]), at(0)).unwrap();
    assert!(matches!(again.admit(key, closed.epoch, at(0)), Err(GateRefusal::Revoked { .. })), "{key}");
}

#[test]
fn a_restart_that_is_behind_keeps_the_closed_gates_of_what_it_hears_later() {
    let machine = library();
    stays_closed(&machine, "a", &rk(2), |machine| drop(split(machine, &rk(1), "m", 2)));
    stays_closed(&machine, "a", &rk(1), |machine| drop(merge(machine, &rk(1), &rk(2))));
    stays_closed(&machine, "b", &rk(1), |machine| drop(promote(machine, &rk(1), "b")));
}

#[test]
fn a_closure_outlives_a_restart_from_a_state_that_is_older() {
    let machine = library();
    let older = machine.read_at(|at, catalog| (at, catalog.clone()));
    promote(&machine, &rk(1), "b");
    let mut first = holder(&machine, "b");
    first.renew(&owned(&machine, "b", &[]), at(0)).unwrap();
    let closed = first.close(&rk(1), LAST).unwrap();
    // Its next process begins where the range is not its own yet.
    let (life, margin) = (life(&machine, "b"), policy().margin());
    let mut again = Holder::new(life, margin, older.0, &older.1, [closed.clone()]);
    assert!(again.gate(&rk(1)).is_none());
    follow(&mut again, &machine);
    assert_eq!(again.renew(&owned(&machine, "b", &[]), at(0)), Ok(0));
    assert!(matches!(again.admit(&rk(1), closed.epoch, at(0)), Err(GateRefusal::Revoked { .. })));
}

#[test]
fn a_closure_of_a_part_outlives_a_restart_from_before_the_split() {
    let machine = library();
    let older = machine.read_at(|at, catalog| (at, catalog.clone()));
    split(&machine, &rk(1), "m", 2);
    let mut first = holder(&machine, "a");
    first.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    let closed = first.close(&rk(2), LAST).unwrap();
    let (life, margin) = (life(&machine, "a"), policy().margin());
    let mut again = Holder::new(life, margin, older.0, &older.1, [closed]);
    follow(&mut again, &machine);
    assert_eq!(again.renew(&owned(&machine, "a", &[]), at(0)), Ok(1));
    assert!(!admits(&again, &machine, &rk(2), 0) && admits(&again, &machine, &rk(1), 0));
}

#[test]
fn a_state_that_is_older_takes_nothing_back() {
    let machine = library();
    let older = machine.read_at(|at, catalog| (at, catalog.clone()));
    let mut holder = holder(&machine, "a");
    holder.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    let epoch = range(&machine, &rk(1)).epoch;
    promote(&machine, &rk(1), "b");
    split(&machine, &rk(1), "m", 2);
    follow(&mut holder, &machine);
    let next = holder.next();
    holder.reset(older.0, &older.1);
    assert_eq!(holder.next(), next);
    assert!(matches!(holder.admit(&rk(1), epoch, at(0)), Err(GateRefusal::EpochSuperseded { .. })));
    assert_eq!(holder.renew(&owned(&machine, "a", &[]), at(0)), Ok(0));
}

#[test]
fn each_part_of_a_closed_range_needs_a_closure_of_its_own() {
    let machine = library();
    let mut holder = holder(&machine, "a");
    holder.renew(&owned(&machine, "a", &[]), at(0)).unwrap();
    let whole = holder.close(&rk(1), LAST).unwrap();
    split(&machine, &rk(1), "m", 2);
    follow(&mut holder, &machine);
    assert!(!admits(&holder, &machine, &rk(2), 0), "it was closed for all its keys");
    let part = ClosedGate { range: rk(2), ..whole.clone() };
    assert_eq!(holder.close(&rk(2), LAST), Ok(part.clone()), "the evidence for the part is about the part");
    // What was kept for the whole says nothing of the part: only its own closure does.
    let (life, margin) = (life(&machine, "a"), policy().margin());
    for (kept, parts) in [(vec![whole.clone()], 1), (vec![whole, part], 0)] {
        let mut again = machine.read_at(|at, catalog| Holder::new(life.clone(), margin, at, catalog, kept));
        assert_eq!(again.renew(&owned(&machine, "a", &[]), at(0)), Ok(parts));
    }
}
