//! Ranges: every transition, and each of its refusals.

use crate::common::*;
use cp_catalog::*;
use cp_seam::MemberKind;

pub(crate) fn transfer(node: &Node, range: &RangeKey, from: &str, to: &str) -> Transfer {
    let fence = node.fence(range);
    let evidence = Some(evidence(range, to, fence.epoch));
    Transfer { range: range.clone(), from: id(from), fence, to: id(to), evidence }
}

#[test]
fn the_gate_refuses_in_its_order() {
    let (mut node, key) = library();
    let mut wrong = Transfer {
        range: rk("books", 9),
        from: id("b"),
        fence: Fence { epoch: Epoch(9), version: Version(9) },
        to: id("a"),
        evidence: None,
    };
    assert!(matches!(
        node.refused(OwnershipCommand::Promote(wrong.clone())),
        Refusal::Standing(StandingRefusal::UnknownRange { .. })
    ));
    // Everything is wrong; each repair reveals the next refusal.
    wrong.range = key.clone();
    let now = node.range(&key).standing();
    let expect = |node: &mut Node, transfer: &Transfer| node.refused(OwnershipCommand::Promote(transfer.clone()));
    assert_eq!(
        expect(&mut node, &wrong),
        Refusal::Standing(StandingRefusal::OwnerMismatch { range: key.clone(), current: now.clone() })
    );
    wrong.from = id("a");
    assert!(
        matches!(expect(&mut node, &wrong), Refusal::Standing(StandingRefusal::StaleEpoch { current, .. }) if current == now)
    );
    wrong.fence.epoch = now.epoch;
    assert!(
        matches!(expect(&mut node, &wrong), Refusal::Standing(StandingRefusal::StaleVersion { current, .. }) if current == now)
    );
    wrong.fence.version = now.version;
    assert!(matches!(expect(&mut node, &wrong), Refusal::Holder(HolderRefusal::AlreadyOwner { .. })));
    wrong.to = id("d");
    assert!(matches!(expect(&mut node, &wrong), Refusal::Holder(HolderRefusal::NeedsRestore { .. })));
    wrong.to = id("c");
    assert!(matches!(expect(&mut node, &wrong), Refusal::Holder(HolderRefusal::NotInRole { role: Role::Replica, .. })));
    wrong.to = id("b");
    assert!(matches!(expect(&mut node, &wrong), Refusal::Evidence(EvidenceRefusal::MissingEvidence { .. })));
    wrong.evidence = Some(Evidence { applied: at(3, 9), closed_gate: None, ..evidence(&key, "c", now.epoch) });
    assert!(matches!(expect(&mut node, &wrong), Refusal::Evidence(EvidenceRefusal::OtherEvidence { .. })));
    wrong.evidence = Some(Evidence { applied: at(3, 9), closed_gate: None, ..evidence(&key, "b", now.epoch) });
    assert!(matches!(expect(&mut node, &wrong), Refusal::Evidence(EvidenceRefusal::NotCovered { .. })));
    wrong.evidence = Some(Evidence { closed_gate: None, ..evidence(&key, "b", now.epoch) });
    let effect = node.done(OwnershipCommand::Promote(wrong));
    assert_eq!(effect, Effect::RangeAt { range: key.clone(), now: node.range(&key).standing() });
    let range = node.range(&key);
    assert_eq!((range.owner, range.epoch, range.version), (id("b"), Epoch(2), Version(2)));
    assert_eq!(range.replicas.iter().collect::<Vec<_>>(), [&id("a")]);
    assert_eq!(range.archives.iter().collect::<Vec<_>>(), [&id("d")]);
}

#[test]
fn a_candidate_that_drains_is_refused() {
    let (mut node, key) = library();
    node.done(MembershipCommand::Drain { member: node.life("b") });
    let promote = OwnershipCommand::Promote(transfer(&node, &key, "a", "b"));
    assert_eq!(
        node.refused(promote),
        Refusal::Holder(HolderRefusal::Ineligible { member: id("b"), why: Ineligible::Draining })
    );
}

/// CP-S5: what is decided under a stale fence changes nothing, in every command that has one.
#[test]
fn every_command_on_a_range_is_fenced() {
    let (mut node, range) = library();
    node.done(OwnershipCommand::Split {
        range: range.clone(),
        fence: node.fence(&range),
        at: key("m"),
        new_id: RangeId(2),
    });
    let good = node.fence(&range);
    let edit = |fence, member: &str| CopyEdit { range: range.clone(), fence, member: id(member) };
    let other = node.fence(&rk("books", 2));
    let commands = |fence: Fence| {
        let (range, evidence) = (range.clone(), Some(evidence(&range, "b", fence.epoch)));
        let transfer = Transfer { range: range.clone(), from: id("a"), fence, to: id("b"), evidence: evidence.clone() };
        [
            OwnershipCommand::Handoff(transfer.clone()),
            OwnershipCommand::Promote(transfer),
            OwnershipCommand::BeginMove { range: range.clone(), fence, target: id("c") },
            OwnershipCommand::AdvanceMove { range: range.clone(), fence, phase: MovePhase::Copying },
            OwnershipCommand::CompleteMove { range: range.clone(), fence, evidence: evidence.clone() },
            OwnershipCommand::ResolveMove { range: range.clone(), fence, evidence },
            OwnershipCommand::AbortMove { range: range.clone(), fence },
            OwnershipCommand::Split { range: range.clone(), fence, at: key("c"), new_id: RangeId(3) },
            OwnershipCommand::Merge { survivor: range.clone(), fence, retired: RangeId(2), retired_fence: other },
            OwnershipCommand::Merge {
                survivor: rk("books", 2),
                fence: other,
                retired: RangeId(1),
                retired_fence: fence,
            },
            OwnershipCommand::AddReplica(edit(fence, "c")),
            OwnershipCommand::RemoveReplica(edit(fence, "b")),
            OwnershipCommand::AddArchive(edit(fence, "c")),
            OwnershipCommand::RemoveArchive(edit(fence, "d")),
            OwnershipCommand::SetPlacement { range, fence, placement: Placement::default() },
        ]
    };
    let current = node.range(&range).standing();
    for (up, down) in [(Epoch(good.epoch.0 + 1), Version(good.version.0 + 1)), (Epoch(0), Version(0))] {
        for command in commands(Fence { epoch: up, ..good }) {
            let refusal = node.refused(command.clone());
            let expected = Fence { epoch: up, ..good };
            assert_eq!(
                refusal,
                Refusal::Standing(StandingRefusal::StaleEpoch {
                    range: range.clone(),
                    expected,
                    current: current.clone()
                }),
                "{command:?}"
            );
        }
        for command in commands(Fence { version: down, ..good }) {
            let refusal = node.refused(command.clone());
            let expected = Fence { version: down, ..good };
            assert_eq!(
                refusal,
                Refusal::Standing(StandingRefusal::StaleVersion {
                    range: range.clone(),
                    expected,
                    current: current.clone()
                }),
                "{command:?}"
            );
        }
    }
}

#[test]
fn a_handoff_needs_the_closed_gate_and_all_that_passed_it() {
    let (mut node, key) = library();
    let mut handoff = transfer(&node, &key, "a", "b");
    let epoch = handoff.fence.epoch;
    handoff.evidence = Some(Evidence { closed_gate: None, ..evidence(&key, "b", epoch) });
    assert!(matches!(
        node.refused(OwnershipCommand::Handoff(handoff.clone())),
        Refusal::Evidence(EvidenceRefusal::MissingEvidence { .. })
    ));
    let gate = closed(&key, Epoch(epoch.0 + 1), at(3, 10));
    handoff.evidence = Some(Evidence { closed_gate: Some(gate), ..evidence(&key, "b", epoch) });
    assert!(matches!(
        node.refused(OwnershipCommand::Handoff(handoff.clone())),
        Refusal::Evidence(EvidenceRefusal::OtherEvidence { .. })
    ));
    // Of the same epoch, and of another range: a caller has mixed them up.
    let gate = closed(&rk("books", 2), epoch, at(3, 10));
    handoff.evidence = Some(Evidence { closed_gate: Some(gate), ..evidence(&key, "b", epoch) });
    assert!(matches!(
        node.refused(OwnershipCommand::Handoff(handoff.clone())),
        Refusal::Evidence(EvidenceRefusal::OtherEvidence { .. })
    ));
    let gate = closed(&key, epoch, at(3, 11));
    handoff.evidence = Some(Evidence { closed_gate: Some(gate), ..evidence(&key, "b", epoch) });
    let refusal = node.refused(OwnershipCommand::Handoff(handoff.clone()));
    assert!(
        matches!(refusal, Refusal::Evidence(EvidenceRefusal::NotCovered { watermark, .. }) if watermark == at(3, 11))
    );
    handoff.evidence = Some(evidence(&key, "b", epoch));
    node.done(OwnershipCommand::Handoff(handoff));
    assert_eq!(node.range(&key).owner, id("b"));
}

/// Defect 8 in its data-plane form: positions compare by term first, never by lsn alone.
#[test]
fn a_longer_copy_of_an_older_term_does_not_cover() {
    let (mut node, key) = library();
    let mut promote = transfer(&node, &key, "a", "b");
    let claim =
        |applied| Some(Evidence { applied, watermark: at(3, 10), closed_gate: None, ..evidence(&key, "b", Epoch(1)) });
    promote.evidence = claim(at(2, 99));
    assert!(matches!(
        node.refused(OwnershipCommand::Promote(promote.clone())),
        Refusal::Evidence(EvidenceRefusal::NotCovered { .. })
    ));
    promote.evidence = claim(at(4, 0));
    node.done(OwnershipCommand::Promote(promote));
}

#[test]
fn a_move_goes_through_its_phases() {
    let (mut node, key) = library();
    let begin = |node: &Node, target: &str| OwnershipCommand::BeginMove {
        range: key.clone(),
        fence: node.fence(&key),
        target: id(target),
    };
    let advance =
        |node: &Node, phase| OwnershipCommand::AdvanceMove { range: key.clone(), fence: node.fence(&key), phase };
    let complete = |node: &Node, evidence| OwnershipCommand::CompleteMove {
        range: key.clone(),
        fence: node.fence(&key),
        evidence,
    };
    assert!(matches!(node.refused(complete(&node, None)), Refusal::Standing(StandingRefusal::NotMoving { .. })));
    assert!(matches!(node.refused(begin(&node, "a")), Refusal::Holder(HolderRefusal::AlreadyOwner { .. })));
    assert!(matches!(
        node.refused(begin(&node, "b")),
        Refusal::Holder(HolderRefusal::RoleTaken { role: Role::Replica, .. })
    ));
    assert!(matches!(
        node.refused(begin(&node, "d")),
        Refusal::Holder(HolderRefusal::RoleTaken { role: Role::Archive, .. })
    ));
    assert!(matches!(
        node.refused(begin(&node, "w")),
        Refusal::Holder(HolderRefusal::Ineligible { why: Ineligible::Witness, .. })
    ));
    assert!(matches!(node.refused(begin(&node, "z")), Refusal::Member(MemberRefusal::NotAMember { .. })));
    node.done(begin(&node, "c"));
    assert!(node.range(&key).replicas.contains(&id("c")), "the target is enlisted");
    assert!(matches!(node.refused(begin(&node, "c")), Refusal::Standing(StandingRefusal::MoveInFlight { .. })));
    let drop_target = CopyEdit { range: key.clone(), fence: node.fence(&key), member: id("c") };
    assert!(matches!(
        node.refused(OwnershipCommand::RemoveReplica(drop_target)),
        Refusal::Standing(StandingRefusal::MoveInFlight { .. })
    ));
    let split = OwnershipCommand::Split {
        range: key.clone(),
        fence: node.fence(&key),
        at: crate::common::key("m"),
        new_id: RangeId(2),
    };
    assert!(matches!(node.refused(split), Refusal::Standing(StandingRefusal::MoveInFlight { .. })));
    assert!(matches!(
        node.refused(advance(&node, MovePhase::CatchingUp)),
        Refusal::Standing(StandingRefusal::WrongPhase { .. })
    ));
    node.done(advance(&node, MovePhase::Copying));
    assert!(matches!(
        node.refused(complete(&node, Some(evidence(&key, "c", Epoch(1))))),
        Refusal::Standing(StandingRefusal::WrongPhase { .. })
    ));
    node.done(advance(&node, MovePhase::CatchingUp));
    assert!(matches!(
        node.refused(advance(&node, MovePhase::CatchingUp)),
        Refusal::Standing(StandingRefusal::WrongPhase { .. })
    ));
    assert!(matches!(node.refused(complete(&node, None)), Refusal::Evidence(EvidenceRefusal::MissingEvidence { .. })));
    assert_eq!(node.range(&key).epoch, Epoch(1), "only the cutover moves write authority");
    node.done(complete(&node, Some(evidence(&key, "c", Epoch(1)))));
    let range = node.range(&key);
    assert_eq!((range.owner.clone(), range.epoch, range.version), (id("c"), Epoch(2), Version(5)));
    assert_eq!(range.role(&id("a")), None, "the source has left");
    assert_eq!(range.moving, None);
}

#[test]
fn an_interrupted_move_ends_with_the_target_only_if_it_is_covered() {
    for (given, owner) in [
        (None, "a"),
        (Some(Evidence { applied: at(3, 9), closed_gate: None, ..evidence(&rk("books", 1), "c", Epoch(1)) }), "a"),
        (Some(Evidence { closed_gate: None, ..evidence(&rk("books", 1), "c", Epoch(1)) }), "c"),
    ] {
        let (mut node, key) = library();
        node.done(OwnershipCommand::BeginMove { range: key.clone(), fence: node.fence(&key), target: id("c") });
        let other = OwnershipCommand::ResolveMove {
            range: key.clone(),
            fence: node.fence(&key),
            evidence: Some(evidence(&key, "b", Epoch(1))),
        };
        assert!(matches!(node.refused(other), Refusal::Evidence(EvidenceRefusal::OtherEvidence { .. })));
        let resolve = OwnershipCommand::ResolveMove { range: key.clone(), fence: node.fence(&key), evidence: given };
        let effect = node.done(resolve);
        let range = node.range(&key);
        assert_eq!(range.owner, id(owner));
        assert_eq!(matches!(effect, Effect::SourceKept { .. }), owner == "a");
        assert_eq!(range.epoch.0, if owner == "a" { 1 } else { 2 });
        assert_eq!(
            range.replicas.iter().collect::<Vec<_>>(),
            [&id("b")],
            "the other replica stays, the target does not"
        );
        assert_eq!(range.moving, None);
    }
}

#[test]
fn a_promotion_that_overtakes_a_move_ends_it() {
    let (mut node, key) = library();
    node.done(OwnershipCommand::BeginMove { range: key.clone(), fence: node.fence(&key), target: id("c") });
    node.done(OwnershipCommand::Promote(transfer(&node, &key, "a", "b")));
    let range = node.range(&key);
    assert_eq!((range.owner.clone(), range.moving.clone(), range.role(&id("c"))), (id("b"), None, None));
}

#[test]
fn copies_are_edited_one_role_each() {
    let (mut node, key) = library();
    let edit = |node: &Node, member: &str| CopyEdit { range: key.clone(), fence: node.fence(&key), member: id(member) };
    assert!(matches!(
        node.refused(OwnershipCommand::AddReplica(edit(&node, "a"))),
        Refusal::Holder(HolderRefusal::RoleTaken { .. })
    ));
    assert!(matches!(
        node.refused(OwnershipCommand::AddReplica(edit(&node, "d"))),
        Refusal::Holder(HolderRefusal::RoleTaken { .. })
    ));
    assert!(matches!(
        node.refused(OwnershipCommand::AddArchive(edit(&node, "b"))),
        Refusal::Holder(HolderRefusal::RoleTaken { .. })
    ));
    assert!(matches!(
        node.refused(OwnershipCommand::RemoveReplica(edit(&node, "d"))),
        Refusal::Holder(HolderRefusal::NotInRole { .. })
    ));
    assert!(matches!(
        node.refused(OwnershipCommand::RemoveArchive(edit(&node, "b"))),
        Refusal::Holder(HolderRefusal::NotInRole { .. })
    ));
    assert!(matches!(
        node.refused(OwnershipCommand::AddArchive(edit(&node, "w"))),
        Refusal::Holder(HolderRefusal::Ineligible { .. })
    ));
    node.done(OwnershipCommand::RemoveArchive(edit(&node, "d")));
    node.done(OwnershipCommand::AddReplica(edit(&node, "d")));
    node.done(OwnershipCommand::RemoveReplica(edit(&node, "b")));
    node.done(OwnershipCommand::AddArchive(edit(&node, "b")));
    let range = node.range(&key);
    assert_eq!((range.version, range.epoch), (Version(5), Epoch(1)), "copies move no write authority");
}

#[test]
fn one_authority_per_group_under_its_fence() {
    let mut node = Node::new(founded());
    let assign = |holder: &str| OwnershipCommand::AssignAuthority { group: group("g"), holder: id(holder) };
    let reassign =
        |fence, holder: &str| OwnershipCommand::ReassignAuthority { group: group("g"), fence, holder: id(holder) };
    assert!(matches!(
        node.refused(reassign(Fence::default(), "b")),
        Refusal::Group(GroupRefusal::UnknownAuthority { .. })
    ));
    assert!(matches!(node.refused(assign("w")), Refusal::Holder(HolderRefusal::Ineligible { .. })));
    let Effect::AuthorityHeld { fence, .. } = node.done(assign("a")) else { panic!("assigned") };
    assert!(matches!(node.refused(assign("b")), Refusal::Group(GroupRefusal::AuthorityExists { .. })));
    let Effect::AuthorityHeld { fence: next, .. } = node.done(reassign(fence, "b")) else { panic!("reassigned") };
    assert!(next.epoch > fence.epoch && next.version > fence.version);
    assert_eq!(
        node.refused(reassign(fence, "c")),
        Refusal::Group(GroupRefusal::StaleAuthority { group: group("g"), holder: id("b"), fence: next })
    );
}

#[test]
fn epochs_start_in_their_generation_and_end_with_it() {
    assert_eq!(Epoch::first(0), Epoch(1));
    assert_eq!(Epoch::first(2), Epoch((2 << 48) | 1));
    assert_eq!(Epoch(7).next(0), Some(Epoch(8)));
    assert_eq!(Epoch(7).next(1), Some(Epoch::first(1)), "a new generation starts above the old one");
    assert_eq!(Epoch((1 << 48) - 1).next(0), None);
    let generation = cp_seam::Generation { number: 5, id: [0; 8] };
    let catalog = Catalog::genesis(CLUSTER, generation, vec![founder("a", MemberKind::Data)]).unwrap();
    let mut node = Node::new(catalog);
    node.done(OwnershipCommand::CreateCollection { collection: coll("c"), group: group("g"), mode: Mode::Ordered });
    node.done(OwnershipCommand::CreateRange(new_range(&rk("c", 1), Bounds::ALL, "a", &[], &[])));
    assert_eq!(node.range(&rk("c", 1)).epoch, Epoch::first(5));
}
