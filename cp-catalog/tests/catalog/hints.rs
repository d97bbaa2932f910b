//! What refusals say from feature level 2 on, so that the caller need not ask; and that below it
//! they say what they always said.

use crate::common::*;
use cp_catalog::*;
use cp_seam::{ControlPlaneStateMachine, Generation, MemberKind};

fn split(node: &mut Node, range: &RangeKey, at: &str, new_id: u64) {
    let (fence, new_id) = (node.fence(range), RangeId(new_id));
    node.done(OwnershipCommand::Split { range: range.clone(), fence, at: key(at), new_id });
}

fn merge(node: &Node, survivor: &RangeKey, retired: &RangeKey) -> OwnershipCommand {
    OwnershipCommand::Merge {
        survivor: survivor.clone(),
        fence: node.fence(survivor),
        retired: retired.id,
        retired_fence: node.fence(retired),
    }
}

fn abort(range: &RangeKey) -> OwnershipCommand {
    OwnershipCommand::AbortMove { range: range.clone(), fence: Fence { epoch: Epoch(1), version: Version(1) } }
}

fn place(node: &Node, range: &RangeKey) -> StandingRange {
    StandingRange { range: range.clone(), current: node.range(range).standing() }
}

/// Ranges 1, 2 and 3 side by side, 4 retired into 1; and what each refusal with a hint is refused for.
fn refused_at(level: u32) -> (Node, Vec<Refusal>) {
    let (mut node, one) = library_at(level);
    let [two, three, four] = [2, 3, 4].map(|number| rk("books", number));
    split(&mut node, &one, "t", 3);
    split(&mut node, &one, "m", 2);
    split(&mut node, &one, "g", 4);
    let joined = merge(&node, &one, &four);
    node.done(joined);
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("c") });
    node.done(MembershipCommand::Drain { member: node.life("c") });
    let new = |range: &RangeKey| new_range(range, bounds("a", "b"), "a", &[], &[]);
    let edit = CopyEdit { range: one.clone(), fence: node.fence(&one), member: id("d") };
    let commands: Vec<Command> = vec![
        abort(&four).into(),
        abort(&rk("books", 9)).into(),
        MembershipCommand::Remove { member: node.life("c"), reachable: node.everyone() }.into(),
        OwnershipCommand::CreateCollection { collection: coll("books"), group: group("g"), mode: Mode::Hash }.into(),
        OwnershipCommand::AddReplica(edit).into(),
        OwnershipCommand::CreateRange(new(&two)).into(),
        OwnershipCommand::CreateRange(new(&four)).into(),
        OwnershipCommand::CreateRange(NewRange { mode: Mode::Hash, ..new(&four) }).into(),
        merge(&node, &one, &three).into(),
    ];
    let refusals = commands.into_iter().map(|command| node.run(command).into_result().unwrap_err());
    let refusals = refusals.collect();
    (node, refusals)
}

#[test]
fn refusals_carry_what_the_caller_needs_next() {
    let (node, refusals) = refused_at(2);
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| rk("books", number));
    let authority = node.catalog().authority(&group("shelf")).unwrap().fence();
    let current = node.range(&one).standing();
    let exists = node.catalog().collection(&coll("books")).cloned();
    let merged = Some(Merged { into: Some(place(&node, &one)) });
    let expected: Vec<Refusal> = vec![
        StandingRefusal::UnknownRange { range: four.clone(), merged }.into(),
        StandingRefusal::UnknownRange { range: rk("books", 9), merged: None }.into(),
        MemberRefusal::HoldsAuthority { member: id("c"), group: group("shelf"), fence: Some(authority) }.into(),
        GroupRefusal::CollectionDiffers { collection: coll("books"), exists }.into(),
        HolderRefusal::RoleTaken {
            range: one.clone(),
            member: id("d"),
            role: Role::Archive,
            current: Some(current.clone()),
        }
        .into(),
        ShapeRefusal::RangeExists { range: two.clone(), current: node.range(&two).standing(), free: Some(RangeId(5)) }
            .into(),
        ShapeRefusal::RetiredId { range: four.clone(), free: Some(RangeId(5)) }.into(),
        ShapeRefusal::ModeDiffers { range: four, mode: Some(Mode::Ordered) }.into(),
        ShapeRefusal::NotAdjacent { range: one, other: three, below: None, above: Some(Box::new(place(&node, &two))) }
            .into(),
    ];
    assert_eq!(refusals, expected);
    for refusal in &refusals {
        let verdict = Verdict::Refused(refusal.clone());
        assert_eq!(decode_verdict(&encode_verdict(&verdict)), Ok(verdict));
    }
    let said = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "was merged into books/1 (owner a at epoch",
        "books/9 does not exist",
        "group shelf at epoch 0:1 version 1;",
        "in group shelf and mode ordered",
        "archive replica of range books/1 already (owner a",
        "another id, such as 5",
        "of the other mode, ordered;",
        "beside it lies books/2 (owner a at epoch 0:1 version 1) alone",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

/// The bytes that are remembered below feature level 2 are those of a release without hints:
/// they are hashed into the state.
#[test]
fn below_level_2_a_refusal_is_what_it_was() {
    for level in [0, 1] {
        let (node, refusals) = refused_at(level);
        let bytes: Vec<String> = refusals
            .iter()
            .map(|refusal| {
                let bytes = encode_verdict(&Verdict::Refused(refusal.clone()));
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            })
            .collect();
        assert_eq!(
            bytes,
            [
                "120d083c2a090a05626f6f6b731004",
                "120d083c2a090a05626f6f6b731009",
                "120c082112016352057368656c66",
                "120908295205626f6f6b73",
                "121208491201642a090a05626f6f6b7310015803",
                "1216083d2a090a05626f6f6b7310023a070a016110011801",
                "120d083e2a090a05626f6f6b731004",
                "120d083f2a090a05626f6f6b731004",
                "121808522a090a05626f6f6b73100132090a05626f6f6b731003",
            ]
        );
        assert_eq!(rebuilt(&node.machine).digest(), node.machine.digest());
    }
}

/// From feature level 2 on, a merge leaves a trace which leads on through later ones, and which snapshots have.
#[test]
fn a_merge_can_be_followed() {
    let (mut node, one) = library_at(2);
    for (at, new_id) in [("t", 2), ("m", 3), ("g", 4)] {
        split(&mut node, &one, at, new_id);
    }
    let [two, three, four] = [2, 3, 4].map(|number| rk("books", number));
    for (survivor, retired) in [(&three, &two), (&four, &three), (&one, &four)] {
        let joined = merge(&node, survivor, retired);
        node.done(joined);
    }
    let merged = Some(Merged { into: Some(place(&node, &one)) });
    let gone: Refusal = StandingRefusal::UnknownRange { range: two.clone(), merged }.into();
    assert_eq!(node.refused(abort(&two)), gone);
    let restored = rebuilt(&node.machine);
    assert_eq!(restored.digest(), node.machine.digest());
    assert_eq!(restored.judge(&abort(&two).into()), Verdict::Refused(gone));
    assert_eq!(node.catalog().violations(), vec![]);
}

/// What was merged away below feature level 2 is told from what never was, and no more.
#[test]
fn a_merge_before_level_2_left_no_trace() {
    let (mut node, one) = library_at(1);
    split(&mut node, &one, "m", 2);
    let two = rk("books", 2);
    let joined = merge(&node, &one, &two);
    node.done(joined);
    raise(&mut node, &["a", "b", "c", "d", "w"], 2);
    let refused = node.refused(abort(&two));
    assert_eq!(refused, StandingRefusal::UnknownRange { range: two, merged: Some(Merged { into: None }) }.into());
    assert_eq!(rebuilt(&node.machine).digest(), node.machine.digest());
}

/// A member that says again that it has come, in the same life, is told that it has.
#[test]
fn joining_twice_changes_nothing() {
    let mut node = Node::new(founded_at(2));
    let (token_hash, kind) = (TokenHash([9; 32]), MemberKind::Data);
    let (locality, standby) = (Locality::default(), false);
    node.done(MembershipCommand::Admit(Admission { member: id("e"), kind, token_hash, locality, standby }));
    let joining = Joining {
        cluster: CLUSTER,
        member: node.life("e"),
        token_hash,
        kind,
        addresses: addresses("e"),
        features: Features { level: 2, ..Features::default() },
    };
    node.done(MembershipCommand::Joined(joining.clone()));
    let before = node.machine.read(Catalog::digest);
    let elsewhere = Joining { addresses: addresses("f"), ..joining.clone() };
    let again = node.done(MembershipCommand::Joined(elsewhere));
    assert_eq!(again, Effect::AlreadyMember { member: id("e"), incarnation: joining.member.incarnation });
    assert_eq!(node.machine.read(Catalog::digest), before);
    let refused = node.refused(MembershipCommand::Joined(Joining { kind: MemberKind::Witness, ..joining }));
    assert_eq!(refused, MemberRefusal::KindMismatch { member: id("e"), admitted: MemberKind::Data }.into());
}

/// With as many replicas as can be, an owner that is forced out has no place left, and is not dropped in silence.
#[test]
fn nobody_is_dropped_for_want_of_room() {
    let names: Vec<String> = (0..66).map(|number| format!("m{number:02}")).collect();
    let founding = names.iter().map(|name| FoundingMember {
        features: Features { level: 2, ..Features::default() },
        ..founder(name, MemberKind::Data)
    });
    let catalog = Catalog::genesis(CLUSTER, Generation { number: 0, id: [1; 8] }, founding.collect()).unwrap();
    let mut node = Node::new(catalog);
    let (mode, books) = (Mode::Ordered, coll("books"));
    node.done(OwnershipCommand::CreateCollection { collection: books, group: group("shelf"), mode });
    let range = rk("books", 1);
    let replicas: Vec<&str> = names[1..65].iter().map(String::as_str).collect();
    node.done(OwnershipCommand::CreateRange(new_range(&range, Bounds::ALL, "m00", &replicas, &[])));
    let all = Privileges { read: true, operate: true, force: true };
    node.done(crate::access::grant("fay", all));
    let force = |to: &str| OwnershipCommand::Force { range: range.clone(), to: id(to), reason: "why".to_owned() };
    let limit = CopyLimit { role: Role::Replica, max: 64, current: node.range(&range).standing() };
    let full = HolderRefusal::TooManyCopies { range: range.clone(), count: 64, limit: Some(Box::new(limit.clone())) };
    let edit = CopyEdit { range: range.clone(), fence: node.fence(&range), member: id("m65") };
    assert_eq!(node.refused(OwnershipCommand::AddReplica(edit)), full.clone().into());
    let refused = node.run_of("fay", force("m65")).into_result().unwrap_err();
    let Refusal::Holder(HolderRefusal::TooManyCopies { limit: Some(told), .. }) = &refused else { panic!("{refused}") };
    assert_eq!(told.current, limit.current);
    assert!(refused.to_string().contains("64 copies as replica, of at most 64 (owner m00"), "{refused}");
    assert!(node.run_of("fay", force("m64")).is_done(), "a replica that takes over makes room");
    assert_eq!(node.range(&range).replicas.len(), 64);
    // A handoff to a replica makes the room that its old owner takes.
    let fence = node.fence(&range);
    let evidence = Some(evidence(&range, "m01", fence.epoch));
    node.done(OwnershipCommand::Handoff(Transfer {
        range: range.clone(),
        from: id("m64"),
        fence,
        to: id("m01"),
        evidence,
    }));
    assert_eq!(node.range(&range).replicas.len(), 64);
}
