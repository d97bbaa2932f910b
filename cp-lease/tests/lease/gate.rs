//! One gate: what it refuses, in which order, and what opens and shuts it.

use crate::common::*;
use cp_catalog::*;
use cp_lease::{GateRefusal, Lease, Monotonic, NeverInEffect, RangeGate};
use cp_seam::{ControlPlaneLogIndex, Incarnation, LastVote, LogPosition, Term};

fn standing(owner: &str, epoch: u64, version: u64) -> RangeStanding {
    RangeStanding { owner: id(owner), epoch: Epoch(epoch), version: Version(version) }
}

/// a's gate for range 1, of epoch 5 and version 7.
fn gate() -> RangeGate {
    RangeGate::new(rk(1), id("a"), standing("a", 5, 7), policy().margin())
}

fn lease(term: u64, epoch: u64, expires_at: u64) -> Lease {
    let (range, owner, epoch) = (rk(1), id("a"), Epoch(epoch));
    Lease { term: Term(term), range, owner, epoch, granted_at: at(0), expires_at: at(expires_at) }
}

fn leased(epoch: u64, expires_at: u64) -> RangeGate {
    let mut gate = gate();
    assert!(gate.install(lease(1, epoch, expires_at)));
    gate
}

fn admits(gate: &RangeGate, epoch: u64, now: u64) -> bool {
    gate.admit(Epoch(epoch), at(now)).is_ok()
}

fn refusal(gate: &RangeGate, epoch: u64, now: Monotonic) -> GateRefusal {
    gate.admit(Epoch(epoch), now).unwrap_err()
}

#[test]
fn the_first_refusal_is_revoked_then_unleased_then_superseded_then_expired() {
    let (range, member, late) = (rk(1), id("a"), at(99));
    let mut gate = gate();
    let (r, m, s) = (range.clone(), member.clone(), standing("a", 5, 7));
    assert_eq!(refusal(&gate, 4, late), GateRefusal::Unleased { range: r, member: m, standing: s });
    gate.install(lease(1, 5, 40));
    let (r, m, s) = (range.clone(), member.clone(), standing("a", 5, 7));
    assert_eq!(refusal(&gate, 5, late), GateRefusal::Expired { range: r, member: m, standing: s });
    let (r, m, s) = (range.clone(), member.clone(), standing("a", 5, 7));
    let superseded = GateRefusal::EpochSuperseded { range: r, member: m, epoch: Epoch(4), standing: s };
    assert_eq!(refusal(&gate, 4, late), superseded, "a writer that comes late, at a gate that is late too");
    gate.superseded(standing("b", 6, 8));
    let (r, m, s) = (range.clone(), member.clone(), standing("b", 6, 8));
    let superseded = GateRefusal::EpochSuperseded { range: r, member: m, epoch: Epoch(5), standing: s };
    assert_eq!(refusal(&gate, 5, at(1)), superseded, "it names the next owner, epoch and version");
    gate.close(LAST).unwrap();
    let revoked = GateRefusal::Revoked { range, member, standing: standing("b", 6, 8) };
    assert_eq!(refusal(&gate, 4, late), revoked);
    assert!(revoked.to_string().ends_with("the last known is owner b at epoch 0:6 version 8"), "{revoked}");
}

#[test]
fn a_writer_from_the_future_is_told_to_come_again() {
    let gate = leased(5, 40);
    let (range, member) = (rk(1), id("a"));
    let ahead = GateRefusal::EpochAhead { range, member, epoch: Epoch(6), standing: standing("a", 5, 7) };
    assert_eq!(refusal(&gate, 6, at(0)), ahead);
}

#[test]
fn defect_11_the_margin_is_applied_and_the_end_is_over() {
    let gate = leased(5, 40);
    assert_eq!([0, 29, 30, 40].map(|now| admits(&gate, 5, now)), [true, true, false, false]);
    assert!(matches!(refusal(&gate, 5, at(u64::MAX)), GateRefusal::Expired { .. }));
}

#[test]
fn an_older_lease_changes_nothing() {
    let mut gate = leased(5, 40);
    let before = gate.clone();
    for older in [lease(1, 5, 40), lease(9, 5, 39), lease(9, 4, 90)] {
        assert!(!gate.install(older));
    }
    let elsewhere = [Lease { range: rk(2), ..lease(1, 5, 90) }, Lease { owner: id("b"), ..lease(1, 5, 90) }];
    assert!(!elsewhere.map(|lease| gate.install(lease)).contains(&true));
    assert_eq!(gate, before);
    assert!(gate.install(lease(1, 5, 50)));
    assert!(admits(&gate, 5, 39));
    assert!(gate.install(lease(1, 6, 45)), "a higher epoch, though it ends sooner");
    assert!(!admits(&gate, 5, 1) && admits(&gate, 6, 34) && !admits(&gate, 6, 35));
}

#[test]
fn a_newer_term_alone_supersedes_nothing() {
    let mut gate = leased(5, 40);
    assert!(gate.install(lease(9, 5, 60)));
    assert!(!gate.install(lease(10, 5, 50)));
    assert!(gate.install(lease(2, 5, 70)), "an old leader's word is as good, while it lasts");
    assert!(admits(&gate, 5, 59));
}

#[test]
fn an_older_standing_is_ignored() {
    let mut gate = leased(5, 40);
    gate.superseded(standing("a", 5, 9));
    gate.superseded(standing("c", 4, 8));
    gate.superseded(standing("a", 5, 8));
    assert_eq!(*gate.standing(), standing("a", 5, 9));
    assert!(admits(&gate, 5, 1), "an edit that moves no authority ends nothing");
    assert!(gate.is_in_effect());
    gate.superseded(standing("b", 6, 10));
    assert!(!gate.install(lease(1, 5, 90)), "for what is over");
    assert!(!gate.is_in_effect());
}

#[test]
fn a_closed_gate_stays_closed_under_its_epoch() {
    let mut gate = leased(5, 40);
    let closed = ClosedGate { range: rk(1), epoch: Epoch(5), last: LAST };
    assert_eq!(gate.close(LAST), Ok(closed.clone()));
    assert_eq!(gate.close(DataPosition { term: 9, lsn: 9 }), Ok(closed), "the first answer is the answer");
    assert!(!gate.install(lease(9, 5, 90)));
    gate.superseded(standing("a", 5, 9));
    assert!(matches!(refusal(&gate, 5, at(0)), GateRefusal::Revoked { .. }));
    gate.superseded(standing("b", 6, 10));
    assert!(matches!(refusal(&gate, 6, at(0)), GateRefusal::Revoked { .. }));
    gate.superseded(standing("a", 7, 11));
    assert!(matches!(refusal(&gate, 7, at(0)), GateRefusal::Unleased { .. }));
    assert!(gate.install(lease(9, 7, 90)));
    assert!(admits(&gate, 7, 79) && !admits(&gate, 5, 0));
}

#[test]
fn a_gate_without_a_lease_vouches_for_nothing() {
    let mut gate = gate();
    assert_eq!(gate.close(LAST), Err(NeverInEffect { range: rk(1), member: id("a") }));
    let mut gate = leased(5, 40);
    gate.superseded(standing("a", 7, 9));
    assert!(gate.close(LAST).is_err(), "its lease was for another time");
    let mut gate = leased(5, 40);
    gate.superseded(standing("b", 6, 8));
    assert_eq!(
        gate.close(LAST),
        Ok(ClosedGate { range: rk(1), epoch: Epoch(5), last: LAST }),
        "so that nobody waits for it"
    );
}

#[test]
fn a_gate_that_was_closed_before_a_restart_is_closed() {
    let closed = |epoch| gate().closed(ClosedGate { range: rk(1), epoch: Epoch(epoch), last: LAST });
    assert!(!closed(5).install(lease(1, 5, 40)));
    assert!(closed(4).install(lease(1, 5, 40)), "closed under an epoch that is over");
    let another = ClosedGate { range: rk(2), epoch: Epoch(5), last: LAST };
    assert!(gate().closed(another).install(lease(1, 5, 40)), "another range's");
    for order in [[5, 7], [7, 5]] {
        let gate = order
            .iter()
            .fold(gate(), |gate, epoch| gate.closed(ClosedGate { range: rk(1), epoch: Epoch(*epoch), last: LAST }));
        let mut gate = gate;
        gate.superseded(standing("a", 7, 9));
        assert!(!gate.install(lease(1, 7, 40)), "an older closure that was kept late hides the newer: {order:?}");
    }
    let mut behind = closed(7);
    behind.superseded(standing("a", 7, 9));
    assert!(!behind.install(lease(1, 7, 40)), "closed under an epoch that it comes to know later");
}

/// A name in a vote is a name in the catalog and in a lease, and so are epochs, terms and lives:
/// this is compiled, and nothing is converted.
#[test]
fn defect_13_a_thing_has_one_type() {
    let RangeStanding { owner, epoch, .. } = standing("a", 5, 7);
    let vote = LastVote { term: Term(1), granted_to: Some(Incarnation(1)), following: None };
    let life = MemberLife { id: owner, incarnation: vote.granted_to.unwrap_or_default() };
    let lease = lease(vote.term.0, epoch.0, 40);
    let position = LogPosition::new(lease.term, ControlPlaneLogIndex(1));
    assert_eq!((life.id, life.incarnation, position.term), (id("a"), Incarnation(1), vote.term));
    assert_eq!(lease.epoch, epoch);
}
