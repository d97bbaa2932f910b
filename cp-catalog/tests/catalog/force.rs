//! Forced transitions and archive recovery: past fence and evidence, never past integrity.

use crate::access::grant;
use crate::common::*;
use cp_catalog::*;

const ALL: Privileges = Privileges { read: true, operate: true, force: true };

fn forcible() -> (Node, RangeKey) {
    let (mut node, range) = library_at(2);
    node.done(grant("fay", ALL));
    (node, range)
}

fn force(range: &RangeKey, to: &str) -> OwnershipCommand {
    OwnershipCommand::Force { range: range.clone(), to: id(to), reason: "the rack burnt".to_owned() }
}

fn names(copies: &Copies) -> Vec<String> {
    copies.iter().map(ToString::to_string).collect()
}

#[test]
fn force_goes_past_fence_evidence_and_role() {
    let (mut node, range) = forcible();
    let before = node.range(&range);
    assert!(node.run_of("fay", force(&range, "c")).is_done());
    let after = node.range(&range);
    assert_eq!((after.owner.as_str(), names(&after.replicas)), ("c", vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(names(&after.archives), ["d"]);
    assert!(after.epoch > before.epoch && after.version > before.version);
}

/// The order of refusals: privilege, reason, range, and then what the catalog must be.
#[test]
fn force_is_refused_in_order() {
    let (mut node, range) = forcible();
    let nowhere = rk("books", 9);
    let blank =
        |range: &RangeKey, to| OwnershipCommand::Force { range: range.clone(), to: id(to), reason: "  ".into() };
    assert!(matches!(
        node.refused_by("eve", blank(&nowhere, "w")),
        Refusal::Access(AccessRefusal::MissingPrivilege { .. })
    ));
    assert_eq!(node.refused_by("fay", blank(&nowhere, "w")), Refusal::Access(AccessRefusal::BlankReason));
    assert!(matches!(
        node.refused_by("fay", force(&nowhere, "w")),
        Refusal::Standing(StandingRefusal::UnknownRange { .. })
    ));
    let refused = node.refused_by("fay", force(&range, "w"));
    assert!(
        matches!(refused, Refusal::Holder(HolderRefusal::Ineligible { why: Ineligible::Witness, .. })),
        "{refused}"
    );
    assert!(matches!(node.refused_by("fay", force(&range, "x")), Refusal::Member(MemberRefusal::NotAMember { .. })));
    assert_eq!(
        node.run(force(&range, "b")),
        Verdict::Refused(Refusal::Access(AccessRefusal::NoOperator)),
        "nobody stands behind it"
    );
    assert_eq!(node.range(&range).owner, id("a"));
}

/// Defect 6: forcing onto an archive holder takes it out of the archives.
#[test]
fn defect_6_an_archive_holder_can_be_forced() {
    let (mut node, range) = forcible();
    assert!(node.run_of("fay", force(&range, "d")).is_done());
    let after = node.range(&range);
    assert_eq!((after.owner.as_str(), after.archives.len()), ("d", 0));
    assert_eq!(node.catalog().violations(), vec![]);
}

/// Defect 9: the model's forced transition and the handoff's gate agree on what an epoch is.
#[test]
fn defect_9_a_forced_transition_fences_like_a_handoff() {
    let (mut node, range) = forcible();
    let old = node.fence(&range);
    assert!(node.run_of("fay", force(&range, "b")).is_done());
    let transfer = Transfer {
        range: range.clone(),
        from: id("b"),
        fence: old,
        to: id("a"),
        evidence: Some(evidence(&range, "a", old.epoch)),
    };
    assert!(matches!(
        node.refused_by("fay", OwnershipCommand::Handoff(transfer)),
        Refusal::Standing(StandingRefusal::StaleEpoch { .. })
    ));
}

#[test]
fn force_ends_a_move_and_to_the_owner_raises_the_epoch_alone() {
    let (mut node, range) = forcible();
    node.done(OwnershipCommand::BeginMove { range: range.clone(), fence: node.fence(&range), target: id("c") });
    let before = node.range(&range);
    assert!(node.run_of("fay", force(&range, "a")).is_done());
    let after = node.range(&range);
    assert_eq!(
        (after.owner.as_str(), names(&after.replicas), after.moving.is_none()),
        ("a", vec!["b".to_owned()], true)
    );
    assert!(after.epoch > before.epoch);
}

/// An owner that may own nothing any more does not stay as a replica.
#[test]
fn a_draining_owner_leaves_when_forced_out() {
    let (mut node, range) = forcible();
    node.done(MembershipCommand::Drain { member: node.life("a") });
    assert!(node.run_of("fay", force(&range, "b")).is_done());
    assert_eq!(names(&node.range(&range).replicas), Vec::<String>::new());
}

fn restore(node: &Node, range: &RangeKey) -> Restore {
    let proof = RestoreProof {
        checksum: [1; 32],
        recorded: [1; 32],
        bounds: node.range(range).bounds,
        restored: at(3, 10),
        watermark: at(3, 10),
    };
    Restore { range: range.clone(), fence: node.fence(range), archive: id("d"), proof, forced: None }
}

#[test]
fn an_archive_that_has_everything_takes_over() {
    let (mut node, range) = forcible();
    let whole = restore(&node, &range);
    assert!(matches!(node.done(OwnershipCommand::RestoreArchive(whole)), Effect::RangeAt { .. }));
    let after = node.range(&range);
    assert_eq!((after.owner.as_str(), after.archives.len()), ("d", 0));
}

/// In this order: range, fence, archive, checksum, bounds, watermark.
#[test]
fn an_archive_is_refused_in_order() {
    let (mut node, range) = forcible();
    let mut bad = restore(&node, &range);
    bad.range = rk("books", 9);
    bad.fence.epoch = Epoch(77);
    bad.archive = id("b");
    bad.proof.checksum = [2; 32];
    bad.proof.bounds = bounds("a", "b");
    bad.proof.restored = at(3, 9);
    let mut refuse = |bad: &Restore| node.refused_by("fay", OwnershipCommand::RestoreArchive(bad.clone()));
    assert!(matches!(refuse(&bad), Refusal::Standing(StandingRefusal::UnknownRange { .. })));
    bad.range = range.clone();
    assert!(matches!(refuse(&bad), Refusal::Standing(StandingRefusal::StaleEpoch { .. })));
    bad.fence = restore(&library_at(2).0, &range).fence;
    assert!(matches!(refuse(&bad), Refusal::Holder(HolderRefusal::NotInRole { role: Role::Archive, .. })));
    bad.archive = id("d");
    assert!(matches!(refuse(&bad), Refusal::Evidence(EvidenceRefusal::ChecksumDiffers { .. })));
    bad.proof.checksum = [1; 32];
    assert!(matches!(refuse(&bad), Refusal::Evidence(EvidenceRefusal::BoundsDiffer { .. })));
    bad.proof.bounds = Bounds::ALL;
    assert!(matches!(refuse(&bad), Refusal::Evidence(EvidenceRefusal::Gap { .. })));
    bad.proof.restored = at(3, 10);
    assert!(node.run_of("fay", OwnershipCommand::RestoreArchive(bad)).is_done());
}

/// What a gap loses is part of what is answered, and of the audit; it takes the privilege to force.
#[test]
fn a_gap_is_passed_by_force_alone_and_named() {
    let (mut node, range) = forcible();
    node.done(grant("ann", Privileges { force: false, ..ALL }));
    let mut gap = restore(&node, &range);
    gap.proof.restored = at(2, 4);
    gap.forced = Some(" ".to_owned());
    assert!(matches!(
        node.refused_by("ann", OwnershipCommand::RestoreArchive(gap.clone())),
        Refusal::Access(AccessRefusal::MissingPrivilege { .. })
    ));
    assert_eq!(
        node.refused_by("fay", OwnershipCommand::RestoreArchive(gap.clone())),
        Refusal::Access(AccessRefusal::BlankReason)
    );
    let elsewhere = Restore { range: rk("books", 9), ..gap.clone() };
    let refused = node.refused_by("ann", OwnershipCommand::RestoreArchive(elsewhere));
    assert!(
        matches!(refused, Refusal::Access(AccessRefusal::MissingPrivilege { .. })),
        "who may not learns nothing: {refused}"
    );
    gap.forced = Some("all else is gone".to_owned());
    let effect = node.run_of("fay", OwnershipCommand::RestoreArchive(gap)).into_result().unwrap();
    let Effect::RestoredWithGap { restored, watermark, now, .. } = effect else { panic!("{effect}") };
    assert_eq!((restored, watermark, now.owner), (at(2, 4), at(3, 10), id("d")));
    let catalog = node.catalog();
    let last = catalog.audit_above(0).last().unwrap();
    assert_eq!((last.action, last.disposition), (Action::RestoreArchive, Disposition::Allowed));
    assert_eq!((last.reason.as_str(), last.target.as_str()), ("all else is gone", "books/1 to d, at 2.4 of 3.10"));
}
