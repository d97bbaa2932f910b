//! The defects of the system whose rules these are, each shown to be absent.
//!
//! | | where |
//! |---|---|
//! | 1 to 5, 9, 10 | here |
//! | 8 | `ranges::a_longer_copy_of_an_older_term_does_not_cover` (votes: the engines') |
//! | 12 | `machine::entries_come_one_after_the_other_from_1` |
//! | 6, 11 | force and leases come later |
//! | 7 | the store and the engines |
//! | 13 | no test: names, kinds and incarnations are the seam's own types |

use crate::common::*;
use cp_catalog::plan::*;
use cp_catalog::*;

fn promote(node: &mut Node, range: &RangeKey, from: &str, to: &str) {
    let fence = node.fence(range);
    let evidence = Some(evidence(range, to, fence.epoch));
    node.done(OwnershipCommand::Promote(Transfer {
        range: range.clone(),
        from: id(from),
        fence,
        to: id(to),
        evidence,
    }));
}

/// Defect 1: a move's cutover drops the other replicas.
#[test]
fn defect_1_a_cutover_keeps_the_other_replicas() {
    let (mut node, key) = library();
    let fenced = |node: &Node| (key.clone(), node.fence(&key));
    let (range, fence) = fenced(&node);
    node.done(OwnershipCommand::BeginMove { range, fence, target: id("c") });
    for phase in [MovePhase::Copying, MovePhase::CatchingUp] {
        let (range, fence) = fenced(&node);
        node.done(OwnershipCommand::AdvanceMove { range, fence, phase });
    }
    let (range, fence) = fenced(&node);
    node.done(OwnershipCommand::CompleteMove { evidence: Some(evidence(&range, "c", fence.epoch)), range, fence });
    let range = node.range(&key);
    assert_eq!(range.replicas.iter().collect::<Vec<_>>(), [&id("b")]);
    assert_eq!(range.archives.iter().collect::<Vec<_>>(), [&id("d")]);
}

/// Defect 2: a split resets the child's epoch and loses its group, authority and archive copies.
#[test]
fn defect_2_a_split_child_has_all_that_its_parent_had() {
    let (mut node, key) = library();
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("c") });
    promote(&mut node, &key, "a", "b");
    let parent = node.range(&key);
    assert_eq!(parent.epoch, Epoch(2));
    let split = OwnershipCommand::Split {
        range: key.clone(),
        fence: parent.fence(),
        at: crate::common::key("m"),
        new_id: RangeId(2),
    };
    node.done(split);
    let (lower, upper) = (node.range(&key), node.range(&rk("books", 2)));
    let expected = Range { bounds: bounds("", "m"), version: Version(parent.version.0 + 1), ..parent.clone() };
    assert_eq!(lower, expected);
    let expected = Range { id: RangeId(2), bounds: bounds("m", ""), version: Version::FIRST, ..parent };
    assert_eq!(upper, expected);
    let catalog = node.catalog();
    let group = &catalog.collection(&coll("books")).unwrap().group;
    assert_eq!(catalog.authority(group).unwrap().holder, id("c"));
}

/// Defect 3: epochs not required to be monotonic.
#[test]
fn defect_3_epochs_only_rise() {
    let (mut node, key) = library();
    let mut last = node.range(&key).epoch;
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "b")] {
        promote(&mut node, &key, from, to);
        let epoch = node.range(&key).epoch;
        assert!(epoch > last);
        last = epoch;
    }
    let split = OwnershipCommand::Split {
        range: key.clone(),
        fence: node.fence(&key),
        at: crate::common::key("m"),
        new_id: RangeId(2),
    };
    node.done(split);
    promote(&mut node, &rk("books", 2), "b", "a");
    promote(&mut node, &rk("books", 2), "a", "b");
    let (survivor, retired) = (node.range(&key), node.range(&rk("books", 2)));
    assert!(retired.epoch > survivor.epoch);
    node.done(OwnershipCommand::Merge {
        survivor: key.clone(),
        fence: survivor.fence(),
        retired: RangeId(2),
        retired_fence: retired.fence(),
    });
    assert!(node.range(&key).epoch > retired.epoch);
}

/// Defect 4: owner or replicas not checked to be members, Data, Active.
#[test]
fn defect_4_only_active_data_members_own_or_hold() {
    let (mut node, key) = library();
    let admission = Admission {
        member: id("e"),
        kind: cp_seam::MemberKind::Data,
        token_hash: TokenHash([1; 32]),
        locality: Locality::default(),
        standby: false,
    };
    node.done(MembershipCommand::Admit(admission));
    node.done(MembershipCommand::Drain { member: node.life("c") });
    node.done(OwnershipCommand::CreateCollection { collection: coll("new"), group: group("g"), mode: Mode::Ordered });
    let fresh = rk("new", 1);
    for (member, expected) in [
        ("z", Refusal::Member(MemberRefusal::NotAMember { member: id("z") })),
        ("w", Refusal::Holder(HolderRefusal::Ineligible { member: id("w"), why: Ineligible::Witness })),
        ("c", Refusal::Holder(HolderRefusal::Ineligible { member: id("c"), why: Ineligible::Draining })),
        ("e", Refusal::Holder(HolderRefusal::Ineligible { member: id("e"), why: Ineligible::NotJoined })),
    ] {
        let edit = CopyEdit { range: key.clone(), fence: node.fence(&key), member: id(member) };
        for command in [
            OwnershipCommand::CreateRange(new_range(&fresh, Bounds::ALL, member, &[], &[])),
            OwnershipCommand::CreateRange(new_range(&fresh, Bounds::ALL, "a", &[member], &[])),
            OwnershipCommand::CreateRange(new_range(&fresh, Bounds::ALL, "a", &[], &[member])),
            OwnershipCommand::BeginMove { range: key.clone(), fence: node.fence(&key), target: id(member) },
            OwnershipCommand::AddReplica(edit.clone()),
            OwnershipCommand::AddArchive(edit),
            OwnershipCommand::AssignAuthority { group: group("g"), holder: id(member) },
        ] {
            assert_eq!(node.refused(command.clone()), expected, "{command:?}");
        }
    }
}

/// Defect 4 again: a member that starts to drain while a range moves to it does not get it.
#[test]
fn defect_4_a_target_that_drains_meanwhile_does_not_get_the_range() {
    let (mut node, key) = library();
    node.done(OwnershipCommand::BeginMove { range: key.clone(), fence: node.fence(&key), target: id("c") });
    for phase in [MovePhase::Copying, MovePhase::CatchingUp] {
        node.done(OwnershipCommand::AdvanceMove { range: key.clone(), fence: node.fence(&key), phase });
    }
    node.done(MembershipCommand::Drain { member: node.life("c") });
    let (range, fence, evidence) = (key.clone(), node.fence(&key), Some(evidence(&key, "c", Epoch(1))));
    let complete = OwnershipCommand::CompleteMove { range: range.clone(), fence, evidence: evidence.clone() };
    assert_eq!(
        node.refused(complete),
        Refusal::Holder(HolderRefusal::Ineligible { member: id("c"), why: Ineligible::Draining })
    );
    assert!(matches!(node.done(OwnershipCommand::ResolveMove { range, fence, evidence }), Effect::SourceKept { .. }));
}

/// Defect 5: archive copies ignored when a member goes.
#[test]
fn defect_5_a_member_with_an_archive_copy_is_not_removed() {
    let (mut node, key) = library();
    node.done(MembershipCommand::Drain { member: node.life("d") });
    let remove = MembershipCommand::Remove { member: node.life("d"), reachable: node.everyone() };
    let still = Refusal::Member(MemberRefusal::StillHolds {
        member: id("d"),
        role: Role::Archive,
        count: 1,
        first: key.clone(),
    });
    assert_eq!(node.refused(remove.clone()), still);
    node.done(OwnershipCommand::RemoveArchive(CopyEdit {
        range: key.clone(),
        fence: node.fence(&key),
        member: id("d"),
    }));
    node.done(remove);
}

/// Defect 5 again: a drain's plan takes archive copies away too, and replaces them where too few would be left.
#[test]
fn defect_5_a_drain_takes_archive_copies_away() {
    let (mut node, key) = library();
    node.done(MembershipCommand::Drain { member: node.life("d") });
    let plan = drain(&node.catalog(), &Observed::default(), &id("d"));
    assert!(plan.blockers.is_empty(), "{plan}");
    plan.steps.iter().for_each(|step| drop(node.done(step.command.clone())));
    assert_eq!(node.range(&key).archives.iter().collect::<Vec<_>>(), [&id("c")], "2 of 3 copies would be left");
    node.done(MembershipCommand::Remove { member: node.life("d"), reachable: node.everyone() });
}

/// Defect 10: members never heard from score healthy.
#[test]
fn defect_10_a_member_never_heard_from_is_not_healthy() {
    let (node, key) = library();
    let mut health = Health::new(HealthSettings::default());
    assert_eq!(health.score(&id("a"), 0), 0);
    assert_eq!(health.condition(&id("a"), 1_000_000), Condition::Unheard, "nobody awaited it");
    ["a", "b"].iter().for_each(|name| health.expect(&id(name), 5));
    assert_eq!(health.condition(&id("a"), 5), Condition::Unheard);
    assert_eq!(health.condition(&id("a"), 30_005), Condition::Failed { since_ms: 5 });
    // Nor is it a candidate, before or after its time is up.
    let seen = RangeObserved {
        applied: [(id("b"), at(3, 10))].into(),
        watermark: Some(at(3, 10)),
        ..RangeObserved::default()
    };
    let observed = Observed { ranges: [(key.clone(), seen)].into(), ..Observed::default() };
    let plan = failover(&node.catalog(), &observed, &health, 30_005);
    let blocker = Blocker::NoSafeCandidate { range: key, owner: id("a"), why: NoTarget::NoReplica };
    assert_eq!((plan.steps.len(), &plan.blockers), (0, &vec![blocker.clone()]));
    health.forget(&id("b"));
    assert_eq!(failover(&node.catalog(), &observed, &health, 30_005).blockers, [blocker]);
    health.observe(&id("b"), 30_000, Heard::default());
    assert_eq!(failover(&node.catalog(), &observed, &health, 30_005).steps.len(), 1);
}

/// Defect 9: handoff and promotion disagree on the gate. (That the model and the
/// code agree is `steps`.)
#[test]
fn defect_9_handoff_and_promotion_refuse_alike() {
    let (node, key) = library();
    let catalog = node.catalog();
    let good = Transfer {
        range: key.clone(),
        from: id("a"),
        fence: node.fence(&key),
        to: id("b"),
        evidence: Some(evidence(&key, "b", Epoch(1))),
    };
    let short = Evidence { applied: at(3, 9), ..evidence(&key, "b", Epoch(1)) };
    let stale = |epoch, version| Fence { epoch: Epoch(epoch), version: Version(version) };
    let wrong = [
        Transfer { range: rk("books", 5), ..good.clone() },
        Transfer { from: id("b"), ..good.clone() },
        Transfer { fence: stale(2, 1), ..good.clone() },
        Transfer { fence: stale(1, 2), ..good.clone() },
        Transfer { to: id("a"), ..good.clone() },
        Transfer { to: id("c"), ..good.clone() },
        Transfer { to: id("d"), ..good.clone() },
        Transfer { evidence: None, ..good.clone() },
        Transfer { evidence: Some(evidence(&key, "c", Epoch(1))), ..good.clone() },
        Transfer { evidence: Some(evidence(&key, "b", Epoch(2))), ..good.clone() },
        Transfer { evidence: Some(short), ..good.clone() },
    ];
    for transfer in wrong {
        let handoff = catalog.judge(&OwnershipCommand::Handoff(transfer.clone()).into());
        let promote = catalog.judge(&OwnershipCommand::Promote(transfer.clone()).into());
        assert!(!handoff.is_done(), "{transfer:?}");
        assert_eq!(handoff, promote);
    }
    assert!(catalog.judge(&OwnershipCommand::Handoff(good.clone()).into()).is_done());
    assert!(catalog.judge(&OwnershipCommand::Promote(good).into()).is_done());
}
