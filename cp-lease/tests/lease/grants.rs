//! The leader's book: what it grants, and to whom.

use crate::common::*;
use cp_catalog::*;
use cp_lease::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, Incarnation, Term};
use std::time::Duration;

/// A lease of 40 and the margin of 10: what a leader waits.
const WAIT: u64 = 50;

/// The book of a leader elected at 1000.
pub(crate) fn begun(machine: &CatalogMachine) -> Grants {
    let (index, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    Grants::begin(Term(3), index, catalog, policy(), at(1000))
}

pub(crate) fn follow(grants: &mut Grants, machine: &CatalogMachine) {
    let (index, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    grants.follow(index, catalog, &machine.changes_from(grants.next(), usize::MAX)).unwrap();
}

pub(crate) fn renewed(grants: &mut Grants, machine: &CatalogMachine, name: &str, now: u64) -> Renewal {
    grants.grant(&life(machine, name), at(now), at(now)).unwrap()
}

pub(crate) fn withheld(renewal: &Renewal) -> &[RangeKey] {
    match &renewal.coverage {
        Coverage::Owned { withheld } => withheld,
        Coverage::InEffect { .. } => panic!("{renewal:?}"),
    }
}

pub(crate) fn released(renewal: &Renewal) -> &[(RangeKey, Epoch)] {
    match &renewal.coverage {
        Coverage::InEffect { released } => released,
        Coverage::Owned { .. } => panic!("{renewal:?}"),
    }
}

/// How long the owner of `key` has to wait at `now`, and for whom.
pub(crate) fn waits(grants: &Grants, machine: &CatalogMachine, key: &RangeKey, now: u64) -> Option<(String, u64)> {
    match grants.may_take_effect(key, range(machine, key).epoch, at(now)) {
        Ok(()) => None,
        Err(Withheld::Wait { earlier, remaining, .. }) => Some((earlier.to_string(), remaining.as_nanos() as u64)),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn on(name: &str, remaining: u64) -> Option<(String, u64)> {
    Some((name.to_owned(), remaining))
}

pub(crate) fn gate(machine: &CatalogMachine, key: &RangeKey) -> ClosedGate {
    ClosedGate { range: key.clone(), epoch: range(machine, key).epoch, last: LAST }
}

/// Whether the word of `name` that it closed `gate` matters.
pub(crate) fn closed(grants: &mut Grants, machine: &CatalogMachine, name: &str, gate: &ClosedGate) -> bool {
    grants.closed(&life(machine, name), gate)
}

pub(crate) fn hand_over(machine: &CatalogMachine, key: &RangeKey, to: &str) {
    let command = machine.read(|catalog| transfer(catalog, key, to, Some(gate(machine, key))));
    done(machine, command);
}

#[test]
fn a_new_leader_renews_at_once_and_moves_nothing_for_a_lease_and_a_margin() {
    let machine = library();
    let mut grants = begun(&machine);
    let first = renewed(&mut grants, &machine, "a", 1000);
    assert_eq!(released(&first), []);
    let expected = (Term(3), ControlPlaneLogIndex(2), policy().length());
    assert_eq!((first.term, first.as_of, first.length), expected);
    assert_eq!(grants.settles_at(), at(1050));
    assert_eq!(waits(&grants, &machine, &rk(1), 1000), on("a", WAIT));
    assert_eq!(waits(&grants, &machine, &rk(1), 1049), on("a", 1));
    assert_eq!(released(&renewed(&mut grants, &machine, "a", 1049)), []);
    assert_eq!(waits(&grants, &machine, &rk(1), 1050), None);
    assert_eq!(withheld(&renewed(&mut grants, &machine, "a", 1050)), []);
}

#[test]
fn a_handoff_takes_effect_under_a_new_leader_too() {
    let machine = library();
    let mut grants = begun(&machine);
    hand_over(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    let pair = (rk(1), range(&machine, &rk(1)).epoch);
    assert_eq!(released(&renewed(&mut grants, &machine, "b", 1001)), [pair]);
    assert!(closed(&mut grants, &machine, "b", &gate(&machine, &rk(1))));
    assert_eq!(released(&renewed(&mut grants, &machine, "b", 1001)), []);
    let mut grants = begun(&machine);
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    renewed(&mut grants, &machine, "b", 1002);
    assert_eq!(released(&renewed(&mut grants, &machine, "c", 1002)), []);
    assert_eq!(waits(&grants, &machine, &rk(1), 1002), on("b", 48));
}

#[test]
fn a_closed_gate_gets_no_lease_until_the_range_has_moved() {
    let machine = library();
    let mut grants = begun(&machine);
    let (closed, epoch) = (gate(&machine, &rk(1)), range(&machine, &rk(1)).epoch);
    let mut told = |name, gate: &ClosedGate| self::closed(&mut grants, &machine, name, gate);
    assert!(!told("b", &closed), "it is not b's to close");
    assert!(!told("a", &ClosedGate { range: rk(9), ..closed.clone() }), "there is no such range");
    assert!(!told("a", &ClosedGate { epoch: Epoch(9), ..closed.clone() }));
    assert!(told("a", &closed));
    assert_eq!(withheld(&renewed(&mut grants, &machine, "a", 1060)), [rk(1)]);
    assert_eq!(withheld(&renewed(&mut grants, &machine, "b", 1060)), []);
    let refused = grants.may_take_effect(&rk(1), epoch, at(1060));
    assert_eq!(refused, Err(Withheld::Closed { range: rk(1), epoch }));
    promote(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1061), None, "its word was enough");
}

#[test]
fn a_new_range_waits_for_nobody() {
    let machine = library();
    let mut grants = begun(&machine);
    let name = CollectionName::new("maps").unwrap();
    let group = GroupName::new("shelf").unwrap();
    done(&machine, OwnershipCommand::CreateCollection { collection: name.clone(), group, mode: Mode::Ordered });
    let key = RangeKey::new(name, RangeId(1));
    done(&machine, OwnershipCommand::CreateRange(NewRange { range: key.clone(), ..new_range(1, Bounds::ALL) }));
    follow(&mut grants, &machine);
    let epoch = range(&machine, &key).epoch;
    assert_eq!(released(&renewed(&mut grants, &machine, "a", 1001)), [(key, epoch)]);
}

#[test]
fn a_lease_counts_from_when_leadership_was_last_known() {
    let machine = library();
    let mut grants = begun(&machine);
    let life = life(&machine, "a");
    let renewal = grants.grant(&life, at(1100), at(1130)).unwrap();
    assert_eq!(renewal.length, Duration::from_nanos(10));
    let (age, length) = (Duration::from_nanos(40), policy().length());
    assert_eq!(grants.grant(&life, at(1100), at(1140)), Err(GrantRefusal::Unconfirmed { age, length }));
    promote(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1140), on("a", 10));
}

#[test]
fn a_stranger_and_an_earlier_life_get_nothing() {
    let machine = library();
    let mut grants = begun(&machine);
    let mut stranger = life(&machine, "a");
    stranger.incarnation = Incarnation(99);
    let refused = grants.grant(&stranger, at(1100), at(1100));
    assert_eq!(refused, Err(GrantRefusal::NotAMember { life: stranger }));
    let old = life(&machine, "a");
    let word = gate(&machine, &rk(1));
    assert!(!grants.closed(&MemberLife { incarnation: Incarnation(99), ..old.clone() }, &word));
    grants.grant(&old, at(1100), at(1100)).unwrap();
    let token_hash = TokenHash([3; 32]);
    let reachable = machine.read(|catalog| catalog.members().map(|member| member.incarnation).collect());
    done(&machine, MembershipCommand::Replace { member: old.clone(), token_hash, reachable });
    follow(&mut grants, &machine);
    let new = life(&machine, "a");
    assert!(matches!(grants.grant(&new, at(1110), at(1110)), Err(GrantRefusal::NotAMember { .. })), "not joined yet");
    done(
        &machine,
        MembershipCommand::Joined(Joining {
            cluster: machine.read(|catalog| catalog.cluster().unwrap()),
            member: new.clone(),
            token_hash,
            kind: cp_seam::MemberKind::Data,
            addresses: Addresses { peer: "a:1".to_owned(), client: "a:2".to_owned(), http: String::new() },
            features: Features::default(),
        }),
    );
    follow(&mut grants, &machine);
    assert!(matches!(grants.grant(&old, at(1120), at(1120)), Err(GrantRefusal::NotAMember { .. })));
    let remaining = Duration::from_nanos(30);
    let refused = grants.grant(&new, at(1120), at(1120));
    assert_eq!(refused, Err(GrantRefusal::EarlierLife { member: id("a"), remaining }));
    assert!(grants.grant(&new, at(1149), at(1149)).is_err());
    assert_eq!(withheld(&grants.grant(&new, at(1150), at(1150)).unwrap()), []);
}

#[test]
fn what_cannot_be_followed_is_said_and_changes_nothing() {
    let machine = library();
    let mut grants = begun(&machine);
    promote(&machine, &rk(1), "b");
    let (index, catalog) = machine.read_at(|at, catalog| (at, catalog.clone()));
    let none = Changes::Items { items: Vec::new(), next: index };
    let short = Err(FollowError::Short { reached: ControlPlaneLogIndex(2), at: index });
    assert_eq!(grants.follow(index, catalog.clone(), &none), short);
    let compacted = Changes::Compacted { snapshot_index: index };
    assert_eq!(grants.follow(index, catalog.clone(), &compacted), Err(FollowError::Compacted { upto: index }));
    assert_eq!(grants.next(), ControlPlaneLogIndex(3));
    let epoch = range(&machine, &rk(1)).epoch;
    assert!(matches!(grants.may_take_effect(&rk(1), epoch, at(1060)), Err(Withheld::OtherEpoch { .. })));
    assert!(matches!(grants.may_take_effect(&rk(9), epoch, at(1060)), Err(Withheld::Unknown { .. })));
    follow(&mut grants, &machine);
    grants.follow(ControlPlaneLogIndex(2), catalog, &none).unwrap();
    assert_eq!(grants.next(), ControlPlaneLogIndex(4), "an older catalog is ignored");
    assert_eq!(machine.applied(), ControlPlaneLogIndex(3));
}

#[test]
fn a_renewal_says_when_another_will_cover_more() {
    let machine = library();
    let mut grants = begun(&machine);
    let nanos = |renewal: Renewal| renewal.more_in.map(|wait| wait.as_nanos());
    assert_eq!(nanos(renewed(&mut grants, &machine, "a", 1020)), Some(30), "until the leader has settled");
    assert_eq!(nanos(renewed(&mut grants, &machine, "a", 1100)), None);
    promote(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    assert_eq!(nanos(renewed(&mut grants, &machine, "b", 1110)), Some(40), "until a has stopped");
    let expected = Awaiting {
        range: rk(1),
        owner: id("b"),
        epoch: range(&machine, &rk(1)).epoch,
        earlier: id("a"),
        remaining: Duration::from_nanos(40),
    };
    assert_eq!(grants.awaiting(at(1110)).collect::<Vec<_>>(), [expected]);
    assert_eq!(grants.awaiting(at(1150)).count(), 0);
    assert_eq!(nanos(renewed(&mut grants, &machine, "a", 1110)), None, "it has nothing to come");
    assert_eq!(nanos(renewed(&mut grants, &machine, "b", 1150)), None);
}

#[test]
fn a_new_leader_waits_for_the_longest_lease_that_any_other_may_have_granted() {
    let machine = library_with(Duration::from_nanos(100));
    let mut grants = begun(&machine);
    let first = renewed(&mut grants, &machine, "a", 1001);
    assert_eq!((first.length, grants.settles_at()), (Duration::from_nanos(40), at(1110)));
    promote(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1060), on("a", 50), "its own lease is over, another's may not be");
    // Noted as handed over by this leader, and yet a predecessor may have granted it before it noticed.
    let machine = library_with(Duration::from_nanos(100));
    let mut grants = begun(&machine);
    hand_over(&machine, &rk(1), "b");
    follow(&mut grants, &machine);
    renewed(&mut grants, &machine, "b", 1001);
    promote(&machine, &rk(1), "c");
    follow(&mut grants, &machine);
    assert_eq!(waits(&grants, &machine, &rk(1), 1060), on("b", 50));
}

/// A node that was set up otherwise than the rest grants nothing that its successor would not wait for.
#[test]
fn a_leader_grants_no_longer_lease_than_the_cluster_has() {
    let machine = library_with(Duration::from_nanos(20));
    let mut grants = begun(&machine);
    let renewal = renewed(&mut grants, &machine, "a", 1000);
    assert_eq!((policy().length().as_nanos(), renewal.length.as_nanos()), (40, 20));
    assert_eq!(grants.settles_at(), at(1030));
    let (life, length) = (life(&machine, "a"), Duration::from_nanos(20));
    let refused = grants.grant(&life, at(1000), at(1020));
    assert_eq!(refused, Err(GrantRefusal::Unconfirmed { age: length, length }));
}
