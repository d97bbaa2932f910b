//! The leader's book: who waits for whom, and for how long.

use crate::common::*;
use crate::grants::*;
use cp_catalog::*;
use cp_seam::ControlPlaneLogIndex;

#[test]
fn a_promotion_waits_for_the_last_lease_of_the_old_owner() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    promote(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    renewed(&mut grants, &machine, "a", 1120);
    assert_eq!(waits(&grants, &machine, &rk(1), 1121), on("a", 29), "later ones do not cover it");
    assert_eq!(withheld(&renewed(&mut grants, &machine, "b", 1149)), [rk(1)]);
    assert_eq!(withheld(&renewed(&mut grants, &machine, "b", 1150)), []);
}

#[test]
fn nobody_waits_for_an_owner_that_is_long_gone() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1010);
    promote(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1060), None);
    assert_eq!(withheld(&renewed(&mut grants, &machine, "b", 1060)), []);
}

#[test]
fn nobody_waits_for_a_gate_that_was_closed() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    hand_over(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1101), None, "the evidence says so");
    renewed(&mut grants, &machine, "b", 1110);
    let closed = gate(&machine, &rk(1));
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1111), on("b", 49));
    let earlier = ClosedGate { epoch: Epoch(closed.epoch.0 - 1), ..closed.clone() };
    let mut told = |name, gate| self::closed(&mut grants, &machine, name, gate);
    assert!(!told("b", &earlier), "that is not the one it waits for");
    assert!(!told("a", &closed), "that is not for a to say");
    assert!(told("b", &closed));
    assert_eq!(waits(&grants, &machine, &rk(1), 1111), None);
}

#[test]
fn a_gate_that_was_in_effect_and_closed_speaks_for_all_before_it() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    promote(&machine, &rk(1), "b");
    let closed = gate(&machine, &rk(1));
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    assert!(self::closed(&mut grants, &machine, "b", &closed));
    assert_eq!(waits(&grants, &machine, &rk(1), 1101), None);
}

#[test]
fn what_was_followed_and_what_was_repeated_happens_once() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    let client = RequestId { client: ClientId([3; 16]), since: ControlPlaneLogIndex(0), sequence: 1 };
    let command = machine.read(|catalog| transfer(catalog, &rk(1), "b", None));
    let request = Request::new(Some(client), command).to_entry().unwrap();
    apply(&machine, &request);
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    ["a", "c"].iter().for_each(|name| drop(renewed(&mut grants, &machine, name, 1120)));
    apply(&machine, &request);
    let (index, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    grants.follow(index, catalog, &machine.changes_from(ControlPlaneLogIndex(3), usize::MAX)).unwrap();
    assert_eq!(waits(&grants, &machine, &rk(1), 1121), on("a", 29));
    assert_eq!(withheld(&renewed(&mut grants, &machine, "c", 1121)), [rk(1)]);
}

#[test]
fn all_earlier_owners_are_waited_for() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    promote(&machine, &rk(1), "b");
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1101), on("a", 49));
    assert_eq!(withheld(&renewed(&mut grants, &machine, "b", 1101)), [], "it is no longer b's");
    split(&machine, &rk(1), "m", 2);
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(2), 1101), on("a", 49), "by a part");
    assert_eq!(withheld(&renewed(&mut grants, &machine, "c", 1101)), [rk(1), rk(2)]);
    merge(&machine, &rk(1), &rk(2));
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1101), on("a", 49), "and by the union");
    assert_eq!(withheld(&renewed(&mut grants, &machine, "c", 1101)), [rk(1)]);
}

#[test]
fn a_union_waits_for_what_either_part_waited_for() {
    for (survivor, retired) in [(1, 2), (2, 1)] {
        let machine = library();
        split(&machine, &rk(1), "m", 2);
        promote(&machine, &rk(2), "b");
        hand_over(&machine, &rk(1), "b");
        let mut grants = begun(&machine);
        renewed(&mut grants, &machine, "b", 1060);
        promote(&machine, &rk(1), "a");
        promote(&machine, &rk(1), "b");
        follow(&mut grants, &machine);
        assert_eq!(
            (waits(&grants, &machine, &rk(1), 1061), waits(&grants, &machine, &rk(2), 1061)),
            (on("b", 49), None)
        );
        merge(&machine, &rk(survivor), &rk(retired));
        follow(&mut grants, &machine);
        assert_eq!(waits(&grants, &machine, &rk(survivor), 1061), on("b", 49));
    }
}

#[test]
fn an_owner_that_a_new_leader_never_granted_to_is_over_with_its_predecessors() {
    let machine = library();
    let mut grants = begun(&machine);
    hand_over(&machine, &rk(1), "b");
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1002), on("b", 48));
}

#[test]
fn a_union_is_open_though_a_part_was_closed() {
    let machine = library();
    split(&machine, &rk(1), "m", 2);
    let mut grants = begun(&machine);
    assert!(closed(&mut grants, &machine, "a", &gate(&machine, &rk(1))));
    merge(&machine, &rk(1), &rk(2));
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1060), None);
    assert_eq!(withheld(&renewed(&mut grants, &machine, "a", 1060)), []);
}

#[test]
fn a_closed_part_does_not_speak_for_the_union() {
    let machine = library();
    split(&machine, &rk(1), "m", 2);
    let mut grants = begun(&machine);
    for to in ["b", "a"] {
        hand_over(&machine, &rk(1), to);
    }
    promote(&machine, &rk(2), "b");
    follow(&mut grants, &machine);
    renewed(&mut grants, &machine, "b", 1100);
    promote(&machine, &rk(2), "a");
    let part = gate(&machine, &rk(1));
    assert!(part.epoch >= range(&machine, &rk(2)).epoch);
    merge(&machine, &rk(1), &rk(2));
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1101), on("b", 49));
    assert!(!closed(&mut grants, &machine, "a", &part));
    assert_eq!(waits(&grants, &machine, &rk(1), 1101), on("b", 49));
}

#[test]
fn an_old_confirmation_shortens_no_wait() {
    for (led_at, until) in [([990, 990], 1050), ([1100, 1090], 1150)] {
        let machine = library();
        let mut grants = begun(&machine);
        for led_at in led_at {
            grants.grant(&life(&machine, "a"), at(led_at), at(led_at + 20)).unwrap();
        }
        promote(&machine, &rk(1), "b");
        follow(&mut grants, &machine);
        assert_eq!(waits(&grants, &machine, &rk(1), until - 1), on("a", 1));
        assert_eq!(waits(&grants, &machine, &rk(1), until), None);
    }
}

#[test]
fn changes_beyond_the_catalog_wait_for_theirs() {
    let machine = library();
    let mut grants = begun(&machine);
    renewed(&mut grants, &machine, "a", 1100);
    promote(&machine, &rk(1), "b");
    let (index, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    promote(&machine, &rk(1), "c");
    grants.follow(index, catalog, &machine.changes_from(grants.next(), usize::MAX)).unwrap();
    assert_eq!(withheld(&renewed(&mut grants, &machine, "b", 1101)), [rk(1)]);
    follow(&mut grants, &machine);
    assert_eq!(withheld(&renewed(&mut grants, &machine, "c", 1101)), [rk(1)]);
}
