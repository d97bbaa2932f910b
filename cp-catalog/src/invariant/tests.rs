//! Each check is shown a state, or a step, that breaks it and nothing else.

use super::*;
use crate::bounds::{Bound, Mode};
use crate::catalog::Meta;
use crate::edit::Edit;
use crate::genesis::FoundingMember;
use crate::hashed::HashedRange;
use crate::id::{Epoch, GroupName, RangeId, TokenHash, Version};
use crate::member::{Addresses, Features, Locality, Member, Service, Voting};
use crate::range::{Authority, CollectionSpec, Copies, Move, MovePhase};
use cp_seam::{ClusterId, Generation, Incarnation};
use std::sync::Arc;

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn books() -> CollectionName {
    CollectionName::new("books").unwrap()
}

fn range(number: u64, lower: &[u8], upper: &[u8]) -> Range {
    let upper = if upper.is_empty() { Bound::Max } else { Bound::at(upper).unwrap() };
    Range {
        id: RangeId(number),
        bounds: Bounds::new(Bound::at(lower).unwrap(), upper).unwrap(),
        owner: id("a"),
        replicas: [id("b")].into_iter().collect(),
        archives: [id("c")].into_iter().collect(),
        epoch: Epoch(4),
        version: Version(6),
        placement: Arc::default(),
        moving: None,
    }
}

fn put(catalog: &mut Catalog, range: Range) {
    catalog.put_range(&books(), range);
}

/// Data members a to d and the witness w, and the ranges 1 below "m", 2 above it; 3 is retired.
fn whole() -> Catalog {
    let founding = [("a", MemberKind::Data), ("b", MemberKind::Data), ("c", MemberKind::Data), ("d", MemberKind::Data)];
    let founder = |(name, kind)| FoundingMember {
        id: id(name),
        kind,
        addresses: Addresses { peer: format!("{name}:1"), ..Addresses::default() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let founding = founding.into_iter().chain([("w", MemberKind::Witness)]).map(founder).collect();
    let mut catalog = Catalog::genesis(ClusterId([1; 16]), Generation::default(), founding).unwrap();
    let group = GroupName::new("shelf").unwrap();
    catalog.put_collection(CollectionSpec { name: books(), group, mode: Mode::Ordered });
    put(&mut catalog, range(1, b"", b"m"));
    put(&mut catalog, range(2, b"m", b"t"));
    put(&mut catalog, range(3, b"t", b""));
    catalog.commit(vec![Edit::RetireRange(books(), RangeId(3), None)]);
    catalog
}

fn found(violations: Vec<Violation>) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}

/// What is wrong after `edit` is exactly one thing, and its text holds `what`.
fn one(what: &str, edit: impl FnOnce(&mut Catalog)) {
    let mut catalog = whole();
    edit(&mut catalog);
    let found = found(catalog.violations());
    assert!(found.len() == 1 && found.iter().all(|text| text.contains(what)), "{what}: {found:?}");
}

/// The same of the step from the whole state to what `edit` makes of it.
fn one_since(what: &str, edit: impl FnOnce(&mut Catalog)) {
    let before = whole();
    let mut after = before.clone();
    edit(&mut after);
    let found = found(after.violations_since(&before));
    assert!(found.len() == 1 && found.iter().all(|text| text.contains(what)), "{what}: {found:?}");
}

#[test]
fn a_state_that_is_whole_has_nothing_wrong() {
    assert_eq!(whole().violations(), vec![]);
    assert_eq!(whole().violations_since(&whole()), vec![]);
    assert_eq!(Catalog::vacant().violations(), vec![]);
}

#[test]
fn ranges_lie_apart_and_within_their_mode() {
    one("overlaps the range before it", |c| put(c, range(4, b"f", b"g")));
    one("has [", |c| {
        let name = CollectionName::new("hashed").unwrap();
        let group = GroupName::new("shelf").unwrap();
        c.put_collection(CollectionSpec { name: name.clone(), group, mode: Mode::Hash });
        c.put_range(&name, range(1, b"abc", b""));
    });
}

#[test]
fn a_range_is_with_members_that_may_have_it_in_one_role_each() {
    let copies = |names: &[&str]| names.iter().map(|name| id(name)).collect::<Copies>();
    one("is with w", |c| put(c, Range { owner: id("w"), ..range(1, b"", b"m") }));
    one("is with w", |c| put(c, Range { replicas: copies(&["w"]), ..range(1, b"", b"m") }));
    one("is with w", |c| put(c, Range { archives: copies(&["w"]), ..range(1, b"", b"m") }));
    one("is with nobody", |c| put(c, Range { archives: copies(&["nobody"]), ..range(1, b"", b"m") }));
    let doubled = |range: Range| {
        let mut catalog = whole();
        put(&mut catalog, range);
        found(catalog.violations())
    };
    // Each of both roles finds it.
    for twice in [
        Range { replicas: copies(&["a"]), ..range(1, b"", b"m") },
        Range { archives: copies(&["a"]), ..range(1, b"", b"m") },
        Range { archives: copies(&["b"]), ..range(1, b"", b"m") },
    ] {
        assert!(doubled(twice.clone()).iter().all(|text| text.contains("two roles")), "{twice:?}");
        assert_eq!(doubled(twice).len(), 2);
    }
    let moving = |target| Some(Box::new(Move { target: id(target), phase: MovePhase::Begun }));
    one("moves to d", |c| put(c, Range { moving: moving("d"), ..range(1, b"", b"m") }));
    let mut catalog = whole();
    put(&mut catalog, Range { moving: moving("b"), ..range(1, b"", b"m") });
    assert_eq!(catalog.violations(), vec![]);
}

#[test]
fn a_holder_has_joined_and_an_authority_has_one() {
    let group = GroupName::new("shelf").unwrap();
    let authority = |name| Authority { group: group.clone(), holder: id(name), epoch: Epoch(1), version: Version(1) };
    one("group shelf is with w", |c| c.put_authority(authority("w")));
    one("group shelf is with d", |c| {
        let d = c.member(&id("d")).unwrap().clone();
        let (join, addresses) = (Join::Awaited(TokenHash([1; 32])), Addresses::default());
        c.put_member(Member { join, addresses, voting: Voting::CatchingUp, ..d });
        c.put_authority(authority("d"));
    });
    let mut catalog = whole();
    catalog.put_authority(authority("d"));
    assert_eq!(catalog.violations(), vec![]);
}

/// A recovery excuses those whom it fenced, and nobody else.
#[test]
fn after_a_recovery_who_is_awaited_in_an_older_life_holds_nothing() {
    let asked = crate::recovery::Successor {
        cause: crate::recovery::Cause::Forced,
        generation_id: [9; 8],
        after_generation: 0,
        survivor: id("d"),
        addresses: None,
        operator: "ann".to_owned(),
        reason: "fire".to_owned(),
        at_unix_ms: 1,
        position: cp_seam::LogPosition::GENESIS,
        committed: cp_seam::ControlPlaneLogIndex(0),
    };
    let after = whole().succeed(&asked).unwrap();
    assert_eq!(after.violations(), vec![]);
    let awaited = |incarnation| {
        let mut catalog = after.clone();
        let member = catalog.member(&id("a")).unwrap().clone();
        catalog.put_member(Member { join: Join::Awaited(TokenHash([1; 32])), incarnation, ..member });
        found(catalog.violations())
    };
    let survivor = after.recoveries()[0].survivor.incarnation;
    let texts = awaited(Incarnation(1));
    assert!(!texts.is_empty() && texts.iter().all(|text| text.contains("is with a, which is no data member")));
    let mut anew = after.clone();
    let member = anew.member(&id("a")).unwrap().clone();
    let (join, incarnation) = (Join::Awaited(TokenHash([1; 32])), Incarnation(survivor.0 + 1));
    anew.commit(vec![Edit::Admit(Box::new(Member { join, incarnation, ..member }))]);
    assert_eq!(anew.violations(), vec![]);
}

#[test]
fn numbers_begin_at_one_and_belong_to_a_generation() {
    one("epoch 0:0", |c| put(c, Range { epoch: Epoch(0), ..range(1, b"", b"m") }));
    one("epoch 1:1", |c| put(c, Range { epoch: Epoch::first(1), ..range(1, b"", b"m") }));
    one("version 0", |c| put(c, Range { version: Version(0), ..range(1, b"", b"m") }));
    one("there and retired", |c| put(c, range(3, b"t", b"")));
    one("never allotted", |c| c.edit_meta(|meta| meta.next_incarnation = 5));
}

#[test]
fn what_is_derived_follows_from_the_records() {
    one("holds", |c| {
        c.holders.edit(&id("d"), |held| held.owned += 1);
    });
    one("quorum", |c| c.quorum = Arc::default());
    one("digest", |c| c.meta = Meta { clients_since: 9, ..c.meta });
}

#[test]
fn a_range_is_kept_with_the_hash_of_its_record() {
    // The sum is the records', so that nothing else can tell.
    let mistaken = |c: &mut Catalog| {
        let kept = HashedRange::written(&books(), range(1, b"", b"m"), b"another record");
        let owner = c.holders.number(&kept.owner);
        Arc::make_mut(c.collections.get_mut(&books()).unwrap()).put(kept, owner);
    };
    one("books/1 is kept with another record's hash", mistaken);
    // It is what a transition takes out of the sum: the record is not hashed again.
    one("digest", |c| {
        mistaken(c);
        put(c, Range { version: Version(7), ..range(1, b"", b"m") });
    });
    one("digest", |c| {
        mistaken(c);
        c.commit(vec![Edit::RetireRange(books(), RangeId(1), None)]);
    });
}

#[test]
fn a_range_that_changes_hands_is_counted_with_its_new_owner() {
    let mut catalog = whole();
    put(&mut catalog, Range { owner: id("d"), ..range(1, b"", b"m") });
    assert_eq!((catalog.holdings(&id("a")).owned, catalog.holdings(&id("d")).owned), (1, 1));
    assert_eq!(catalog.violations(), vec![]);
}

#[test]
fn a_step_keeps_collections_coverage_and_retired_ids() {
    one_since("collection books has changed", |c| {
        let books = c.collections.get_mut(&books()).unwrap();
        Arc::make_mut(books).spec.group = GroupName::new("other").unwrap();
    });
    one_since("covered", |c| put(c, Range { version: Version(7), ..range(2, b"m", b"s") }));
    one_since("was retired and is back", |c| put(c, range(3, b"t", b"")));
    // The same keys under other cuts are the same coverage.
    let before = whole();
    let mut after = before.clone();
    put(&mut after, Range { version: Version(7), ..range(1, b"", b"f") });
    put(&mut after, range(4, b"f", b"m"));
    assert_eq!(after.violations_since(&before), vec![]);
    // Retired is gone with a reason, if its keys are elsewhere.
    let mut merged = before.clone();
    merged.commit(vec![Edit::RetireRange(books(), RangeId(2), None)]);
    put(&mut merged, Range { version: Version(7), ..range(1, b"", b"t") });
    assert_eq!(merged.violations_since(&before), vec![]);
    let mut lost = before.clone();
    lost.collections = Default::default();
    let texts = found(lost.violations_since(&before));
    assert_eq!(texts.iter().filter(|text| text.contains("is gone without being retired")).count(), 2, "{texts:?}");
}

#[test]
fn keys_that_were_apart_are_not_taken_for_covered() {
    let mut before = whole();
    put(&mut before, range(5, b"x", b"z"));
    let mut after = before.clone();
    put(&mut after, Range { version: Version(7), ..range(2, b"n", b"t") });
    let texts = found(after.violations_since(&before));
    assert!(texts.len() == 1 && texts.iter().all(|text| text.contains("covered")), "{texts:?}");
    put(&mut after, Range { version: Version(8), ..range(2, b"m", b"t") });
    assert_eq!(after.violations_since(&before), vec![]);
}

#[test]
fn a_step_of_a_range_rises_and_is_counted() {
    let edit = |edit: fn(&mut Range)| {
        move |c: &mut Catalog| {
            let mut next = Range { version: Version(7), ..range(1, b"", b"m") };
            edit(&mut next);
            put(c, next);
        }
    };
    one_since("fell from epoch 0:4 to 0:3", edit(|r| r.epoch = Epoch(3)));
    one_since("was edited under version 6", edit(|r| (r.epoch, r.version) = (Epoch(5), Version(6))));
    one_since(
        "went from a to b under epoch",
        edit(|r| (r.owner, r.replicas) = (id("b"), [id("a")].into_iter().collect())),
    );
    let before = whole();
    let mut fallen = before.clone();
    put(&mut fallen, Range { version: Version(5), ..range(1, b"", b"m") });
    let texts = found(fallen.violations_since(&before));
    assert!(texts.iter().any(|text| text.contains("fell from version 6 to 5")), "{texts:?}");
    let mut promoted = before.clone();
    edit(|r| (r.owner, r.replicas, r.epoch) = (id("b"), [id("a")].into_iter().collect(), Epoch(5)))(&mut promoted);
    assert_eq!(promoted.violations_since(&before), vec![]);
}

#[test]
fn a_step_of_an_authority_fences_the_one_before() {
    let group = GroupName::new("shelf").unwrap();
    let with = |holder: &str, epoch: u64, version: u64| {
        let mut catalog = whole();
        let (epoch, version) = (Epoch(epoch), Version(version));
        catalog.put_authority(Authority { group: group.clone(), holder: id(holder), epoch, version });
        catalog
    };
    let before = with("a", 4, 6);
    assert_eq!(before.violations_since(&whole()), vec![], "it is assigned");
    assert_eq!(with("b", 5, 7).violations_since(&before), vec![]);
    for bad in [with("b", 4, 7), with("b", 5, 6), with("a", 3, 7)] {
        let texts = found(bad.violations_since(&before));
        assert!(texts.len() == 1 && texts.iter().all(|text| text.contains("group shelf went from a at")), "{texts:?}");
    }
    let texts = found(whole().violations_since(&before));
    assert!(texts.iter().any(|text| text.contains("nobody has authority over group shelf")), "{texts:?}");
}

#[test]
fn only_who_may_is_given_a_role_unless_it_comes_with_the_keys() {
    let with_draining = || {
        let mut catalog = whole();
        for name in ["b", "d"] {
            let member = catalog.member(&id(name)).unwrap().clone();
            catalog.put_member(Member { service: Service::Draining, ..member });
        }
        catalog
    };
    let given = |edit: fn(&mut Range), number, lower: &[u8], upper: &[u8]| {
        let before = with_draining();
        let mut after = before.clone();
        let mut next = Range { version: Version(7), ..range(number, lower, upper) };
        edit(&mut next);
        put(&mut after, next);
        found(after.violations_since(&before))
    };
    let both = |r: &mut Range| r.replicas = [id("b"), id("d")].into_iter().collect();
    let texts = given(both, 1, b"", b"m");
    assert!(texts.len() == 1 && texts.iter().all(|text| text.contains("was given to d")), "{texts:?}");
    let texts = given(|r| r.archives = [id("d")].into_iter().collect(), 1, b"", b"m");
    assert!(texts.len() == 1 && texts.iter().all(|text| text.contains("was given to d")), "{texts:?}");
    assert_eq!(given(|_| (), 1, b"", b"m"), Vec::<String>::new(), "b had it before");
    // A new range beside the others: nobody inherits.
    let texts = given(|_| (), 6, b"x", b"z");
    assert!(texts.len() == 1 && texts.iter().all(|text| text.contains("was given to b")), "{texts:?}");
    // The upper half of a cut: b inherits, d does not.
    let cut = |edit: fn(&mut Range)| {
        let before = with_draining();
        let mut after = before.clone();
        put(&mut after, Range { version: Version(7), ..range(1, b"", b"f") });
        let mut upper = range(6, b"f", b"m");
        edit(&mut upper);
        put(&mut after, upper);
        found(after.violations_since(&before))
    };
    assert_eq!(cut(|_| ()), Vec::<String>::new());
    let texts = cut(both);
    assert!(texts.len() == 1 && texts.iter().all(|text| text.contains("was given to d")), "{texts:?}");
}

#[test]
fn an_incarnation_is_used_once() {
    let again = |incarnation| {
        move |c: &mut Catalog| {
            let mut member = c.member(&id("d")).unwrap().clone();
            c.commit(vec![Edit::DropMember(id("d"))]);
            (member.id, member.incarnation) = (id("e"), Incarnation(incarnation));
            c.put_member(member);
        }
    };
    one_since("e#4 has an incarnation that was used before", again(4));
    let before = whole();
    let mut after = before.clone();
    again(6)(&mut after);
    assert_eq!(after.violations_since(&before), vec![]);
    // Below what was allotted, and not of a member there: of one that went.
    let mut after = before.clone();
    after.commit(vec![Edit::DropMember(id("d"))]);
    let mut later = after.clone();
    let mut ghost = before.member(&id("d")).unwrap().clone();
    ghost.id = id("e");
    later.put_member(ghost);
    assert_eq!(found(later.violations_since(&after)), ["e#4 has an incarnation that was used before"]);
}
