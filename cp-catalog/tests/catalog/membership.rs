//! Members: every change, and each of its refusals.

use crate::common::*;
use cp_catalog::*;
use cp_seam::{ClusterId, ControlPlaneStateMachine, Incarnation, MemberKind};

fn admission(name: &str) -> Admission {
    Admission {
        member: id(name),
        kind: MemberKind::Data,
        token_hash: TokenHash([9; 32]),
        locality: Locality::default(),
        standby: false,
    }
}

fn joining(node: &Node, name: &str) -> Joining {
    Joining {
        cluster: CLUSTER,
        member: node.life(name),
        token_hash: TokenHash([9; 32]),
        kind: MemberKind::Data,
        addresses: addresses(name),
        features: Features { level: 1, ..Features::default() },
    }
}

fn quorum(node: &Node) -> (Vec<u64>, Vec<u64>) {
    let quorum = node.machine.wanted_quorum();
    let of = |members: Vec<cp_seam::QuorumMember>| members.iter().map(|m| m.incarnation.0).collect();
    (of(quorum.voters), of(quorum.learners))
}

#[test]
fn a_member_lives_from_admission_to_removal() {
    let mut node = Node::new(founded());
    let effect = node.done(MembershipCommand::Admit(admission("e")));
    assert_eq!(effect, Effect::Admitted { member: id("e"), incarnation: Incarnation(6) });
    assert_eq!(quorum(&node), (vec![1, 2, 3, 4, 5], vec![]), "a member that has not joined is no learner yet");
    let again = node.done(MembershipCommand::Admit(admission("e")));
    assert_eq!(again, Effect::AlreadyMember { member: id("e"), incarnation: Incarnation(6) });
    assert!(matches!(
        node.refused(MembershipCommand::SetVoting { member: node.life("e") }),
        Refusal::Member(MemberRefusal::NotJoined { .. })
    ));
    node.done(MembershipCommand::Joined(joining(&node, "e")));
    assert_eq!(quorum(&node), (vec![1, 2, 3, 4, 5], vec![6]));
    assert_eq!(node.machine.wanted_quorum().learners[0].address, "e:7001");
    node.done(MembershipCommand::SetVoting { member: node.life("e") });
    assert_eq!(quorum(&node), (vec![1, 2, 3, 4, 5, 6], vec![]));
    node.done(MembershipCommand::Demote { member: node.life("e"), reachable: node.everyone() });
    assert_eq!(quorum(&node), (vec![1, 2, 3, 4, 5], vec![6]));
    let remove = MembershipCommand::Remove { member: node.life("e"), reachable: node.everyone() };
    assert_eq!(node.refused(remove.clone()), Refusal::Member(MemberRefusal::NotDraining { member: id("e") }));
    node.done(MembershipCommand::Drain { member: node.life("e") });
    assert!(matches!(
        node.refused(MembershipCommand::SetVoting { member: node.life("e") }),
        Refusal::Member(MemberRefusal::Draining { .. })
    ));
    node.done(remove.clone());
    assert_eq!(quorum(&node), (vec![1, 2, 3, 4, 5], vec![]));
    assert_eq!(node.refused(remove), Refusal::Member(MemberRefusal::NotAMember { member: id("e") }));
}

/// CP-M3: what is meant for one life never reaches the next, and no number is allotted twice.
#[test]
fn an_incarnation_is_never_used_again() {
    let mut node = Node::new(founded());
    node.done(MembershipCommand::Admit(admission("e")));
    let old = node.life("e");
    node.done(MembershipCommand::Drain { member: old.clone() });
    node.done(MembershipCommand::Remove { member: old.clone(), reachable: node.everyone() });
    let effect = node.done(MembershipCommand::Admit(admission("e")));
    assert_eq!(effect, Effect::Admitted { member: id("e"), incarnation: Incarnation(7) });
    let current = Incarnation(7);
    let refused = Refusal::Member(MemberRefusal::OtherIncarnation { member: id("e"), current });
    assert_eq!(node.refused(MembershipCommand::Drain { member: old.clone() }), refused);
    let ghost = Joining { member: old, ..joining(&node, "e") };
    assert_eq!(node.refused(MembershipCommand::Joined(ghost)), refused);
}

#[test]
fn joining_is_checked_in_its_order_and_once() {
    let mut node = Node::new(founded());
    node.done(MembershipCommand::Admit(admission("e")));
    let mut wrong = Joining {
        cluster: ClusterId([1; 16]),
        member: MemberLife { id: id("f"), incarnation: Incarnation(6) },
        token_hash: TokenHash([8; 32]),
        kind: MemberKind::Witness,
        ..joining(&node, "e")
    };
    let join = |node: &mut Node, joining: &Joining| node.refused(MembershipCommand::Joined(joining.clone()));
    assert_eq!(join(&mut node, &wrong), Refusal::Member(MemberRefusal::WrongCluster { cluster: CLUSTER }));
    wrong.cluster = CLUSTER;
    assert_eq!(join(&mut node, &wrong), Refusal::Member(MemberRefusal::NotAMember { member: id("f") }));
    wrong.member = MemberLife { id: id("e"), incarnation: Incarnation(5) };
    assert!(matches!(join(&mut node, &wrong), Refusal::Member(MemberRefusal::OtherIncarnation { .. })));
    wrong.member = node.life("e");
    assert_eq!(join(&mut node, &wrong), Refusal::Member(MemberRefusal::WrongToken { member: id("e") }));
    wrong.token_hash = TokenHash([9; 32]);
    assert_eq!(
        join(&mut node, &wrong),
        Refusal::Member(MemberRefusal::KindMismatch { member: id("e"), admitted: MemberKind::Data })
    );
    let right = joining(&node, "e");
    node.done(MembershipCommand::Joined(right.clone()));
    assert_eq!(join(&mut node, &right), Refusal::Member(MemberRefusal::TokenSpent { member: id("e") }));
    let other_kind = Admission { kind: MemberKind::Witness, ..admission("e") };
    assert!(matches!(
        node.refused(MembershipCommand::Admit(other_kind)),
        Refusal::Member(MemberRefusal::KindMismatch { .. })
    ));
}

#[test]
fn removal_is_refused_in_its_order() {
    let (mut node, key) = library();
    node.done(OwnershipCommand::AssignAuthority { group: group("shelf"), holder: id("a") });
    let nobody = std::collections::BTreeSet::new();
    let remove = |node: &mut Node, name: &str| {
        let command = MembershipCommand::Remove { member: node.life(name), reachable: nobody.clone() };
        node.refused(command)
    };
    for name in ["a", "b", "d"] {
        assert_eq!(remove(&mut node, name), Refusal::Member(MemberRefusal::NotDraining { member: id(name) }));
    }
    // All drain at once, so that each has every later reason too.
    for name in ["a", "b", "c", "d"] {
        node.done(MembershipCommand::Drain { member: node.life(name) });
    }
    assert_eq!(
        remove(&mut node, "a"),
        Refusal::Member(MemberRefusal::StillOwns { member: id("a"), count: 1, first: key.clone() })
    );
    let (count, first) = (1, key.clone());
    let role = Role::Replica;
    assert_eq!(
        remove(&mut node, "b"),
        Refusal::Member(MemberRefusal::StillHolds { member: id("b"), role, count, first: first.clone() })
    );
    let role = Role::Archive;
    assert_eq!(
        remove(&mut node, "d"),
        Refusal::Member(MemberRefusal::StillHolds { member: id("d"), role, count, first })
    );
    assert_eq!(
        remove(&mut node, "c"),
        Refusal::Member(MemberRefusal::WouldLoseQuorum { member: id("c"), voters: 4, reachable: 0 })
    );
    node.done(MembershipCommand::Undrain { member: node.life("c") });
    node.done(OwnershipCommand::AddReplica(CopyEdit { range: key.clone(), fence: node.fence(&key), member: id("c") }));
    let fence = node.fence(&key);
    let evidence = Some(evidence(&key, "c", fence.epoch));
    node.done(OwnershipCommand::Promote(Transfer { range: key.clone(), from: id("a"), fence, to: id("c"), evidence }));
    assert!(matches!(remove(&mut node, "a"), Refusal::Member(MemberRefusal::StillHolds { role: Role::Replica, .. })));
    node.done(OwnershipCommand::RemoveReplica(CopyEdit {
        range: key.clone(),
        fence: node.fence(&key),
        member: id("a"),
    }));
    assert_eq!(
        remove(&mut node, "a"),
        Refusal::Member(MemberRefusal::HoldsAuthority { member: id("a"), group: group("shelf"), fence: None })
    );
}

#[test]
fn the_last_voting_data_member_stays() {
    let founding =
        vec![founder("a", MemberKind::Data), founder("b", MemberKind::Data), founder("w", MemberKind::Witness)];
    let mut node = Node::new(Catalog::genesis(CLUSTER, cp_seam::Generation::default(), founding).unwrap());
    node.done(MembershipCommand::Demote { member: node.life("b"), reachable: node.everyone() });
    let demote = MembershipCommand::Demote { member: node.life("a"), reachable: node.everyone() };
    assert_eq!(node.refused(demote), Refusal::Member(MemberRefusal::LastVoter { member: id("a") }));
    node.done(MembershipCommand::Drain { member: node.life("a") });
    let remove = MembershipCommand::Remove { member: node.life("a"), reachable: node.everyone() };
    assert_eq!(node.refused(remove), Refusal::Member(MemberRefusal::LastVoter { member: id("a") }));
    let witness = MembershipCommand::Demote { member: node.life("w"), reachable: node.everyone() };
    node.done(witness);
}

#[test]
fn the_rest_must_reach_a_quorum() {
    let mut node = Node::new(founded());
    let demote = |node: &Node, reachable: &[u64]| MembershipCommand::Demote {
        member: node.life("a"),
        reachable: reachable.iter().map(|n| Incarnation(*n)).collect(),
    };
    // Of b, c, d and w three must be reachable; a itself does not count.
    let refusal = node.refused(demote(&node, &[1, 2, 3]));
    assert_eq!(refusal, Refusal::Member(MemberRefusal::WouldLoseQuorum { member: id("a"), voters: 4, reachable: 2 }));
    node.done(demote(&node, &[2, 3, 5]));
}

#[test]
fn draining_is_idempotent_and_changes_are_kept() {
    let mut node = Node::new(founded());
    node.done(MembershipCommand::Drain { member: node.life("a") });
    let once = node.machine.digest();
    node.done(MembershipCommand::Drain { member: node.life("a") });
    assert_eq!(node.machine.digest(), once);
    let moved = Addresses { peer: "elsewhere:1".to_owned(), ..Addresses::default() };
    node.done(MembershipCommand::SetAddresses { member: node.life("a"), addresses: moved });
    assert_eq!(node.machine.wanted_quorum().voters[0].address, "elsewhere:1");
    let locality = Locality { domain: Some(FailureDomain::new("rack-1").unwrap()), weight: 5 };
    node.done(MembershipCommand::SetLocality { member: node.life("a"), locality: locality.clone() });
    let capabilities = [Capability::new("tls").unwrap()].into();
    let features = Features { level: 4, capabilities };
    node.done(MembershipCommand::SetFeatures { member: node.life("a"), features: features.clone() });
    let member = node.catalog().member(&id("a")).unwrap().clone();
    assert_eq!((member.locality, member.features), (locality, features));
}

#[test]
fn genesis_refuses_what_cannot_serve() {
    let genesis = |founding| Catalog::genesis(CLUSTER, cp_seam::Generation::default(), founding);
    assert_eq!(genesis(vec![]).unwrap_err(), BadGenesis::NoDataMember);
    assert_eq!(genesis(vec![founder("w", MemberKind::Witness)]).unwrap_err(), BadGenesis::NoDataMember);
    let twice = vec![founder("a", MemberKind::Data), founder("a", MemberKind::Data)];
    assert_eq!(genesis(twice).unwrap_err(), BadGenesis::Twice { member: id("a") });
    let nowhere = FoundingMember { addresses: Addresses::default(), ..founder("a", MemberKind::Data) };
    assert!(matches!(genesis(vec![nowhere]).unwrap_err(), BadGenesis::Member { .. }));
}

/// Alike on every member, since it is in the state; a cluster that chose the default has the bytes of
/// one that chose nothing.
#[test]
fn the_longest_lease_is_the_clusters_for_good() {
    let default = founded();
    assert_eq!(default.longest_lease().length(), std::time::Duration::from_secs(10));
    let chosen = |seconds| LongestLease::new(std::time::Duration::from_secs(seconds));
    assert_eq!(founded().with_longest_lease(chosen(10).unwrap()).digest(), default.digest());
    let other = founded().with_longest_lease(chosen(5).unwrap());
    assert_ne!(other.digest(), default.digest());
    assert_eq!(other.violations(), []);
    let restored = Catalog::from_chunks(&other.to_genesis().unwrap().chunks).unwrap();
    assert_eq!((restored.longest_lease(), restored.digest()), (chosen(5).unwrap(), other.digest()));
    for bad in [0, 24 * 60 * 60 + 1] {
        let error = chosen(bad).unwrap_err().to_string();
        assert!(error.contains("choose more than 0 and at most 86400s"), "{error}");
    }
}

/// A member on standby is a learner like another; only who gives out votes tells them apart.
#[test]
fn a_member_stands_by_if_admitted_so_or_demoted() {
    let mut node = Node::new(founded());
    node.done(MembershipCommand::Admit(Admission { standby: true, ..admission("e") }));
    node.done(MembershipCommand::Joined(joining(&node, "e")));
    let voting = |node: &Node, name: &str| node.machine.read(|catalog| catalog.member(&id(name)).unwrap().voting);
    assert_eq!(voting(&node, "e"), Voting::Standby);
    let learners = node.machine.wanted_quorum().learners;
    assert_eq!(learners.iter().map(|m| m.id.clone()).collect::<Vec<_>>(), [id("e")]);

    node.done(MembershipCommand::SetVoting { member: node.life("e") });
    assert_eq!(voting(&node, "e"), Voting::Voting);
    let reachable = node.machine.wanted_quorum().voters.iter().map(|m| m.incarnation).collect();
    node.done(MembershipCommand::Demote { member: node.life("e"), reachable });
    assert_eq!(voting(&node, "e"), Voting::Standby);

    let record = node.machine.read(|catalog| catalog.member(&id("e")).unwrap().clone());
    assert_eq!(codec::decode_member(&codec::encode_member(&record)), Ok(record));
    let admitted = Request::new(None, MembershipCommand::Admit(Admission { standby: true, ..admission("f") }));
    assert_eq!(Request::from_entry(&admitted.to_entry().unwrap()), Ok(admitted));
}

/// The level rises when every member that has joined supports it, never falls, and who does not support
/// it does not get in.
#[test]
fn the_feature_level_is_what_every_member_supports() {
    let mut node = Node::new(founded());
    let raise = |to| MembershipCommand::RaiseFeatureLevel { to };
    let level = |node: &Node| node.catalog().feature_level();
    assert_eq!((level(&node), node.refused(raise(1))), (0, unsupported("a", 0, 1)));
    let supports = |level| Features { level, ..Features::default() };
    for name in ["a", "b", "d", "w"] {
        node.done(MembershipCommand::SetFeatures { member: node.life(name), features: supports(1) });
    }
    // One that has not come yet is asked when it comes.
    node.done(MembershipCommand::Admit(admission("e")));
    assert_eq!(node.refused(raise(1)), unsupported("c", 0, 1), "the one that blocks is named");
    node.done(MembershipCommand::SetFeatures { member: node.life("c"), features: supports(1) });
    assert_eq!(node.done(raise(1)), Effect::FeatureLevelAt { level: 1 });
    let digest = node.machine.digest();
    node.done(raise(1));
    assert_eq!((level(&node), node.machine.digest()), (1, digest));

    assert_eq!(node.refused(raise(0)), Refusal::Member(MemberRefusal::LevelPassed { current: 1 }));
    let back = MembershipCommand::SetFeatures { member: node.life("a"), features: supports(0) };
    assert_eq!(node.refused(back), unsupported("a", 0, 1));
    let old = Joining { features: supports(0), ..joining(&node, "e") };
    assert_eq!(node.refused(MembershipCommand::Joined(old)), unsupported("e", 0, 1));
    node.done(MembershipCommand::Joined(Joining { features: supports(1), ..joining(&node, "e") }));
    for verdict in [Verdict::Refused(unsupported("e", 0, 1)), Verdict::Done(Effect::FeatureLevelAt { level: 7 })] {
        assert_eq!(codec::decode_verdict(&codec::encode_verdict(&verdict)), Ok(verdict));
    }
}

fn unsupported(member: &str, supported: u32, level: u32) -> Refusal {
    Refusal::Member(MemberRefusal::UnsupportedLevel { member: id(member), supported, level })
}

/// A release that does not support the level stops at the entry that raises it, and does not start from
/// a snapshot beyond it.
#[test]
fn a_release_that_is_too_old_does_not_go_on() {
    use cp_seam::ControlPlaneStateMachine;
    let beyond = FEATURE_LEVEL + 1;
    let mut founder = founder("a", MemberKind::Data);
    founder.features.level = beyond;
    let genesis = |features| {
        let founder = FoundingMember { features, ..founder.clone() };
        Catalog::genesis(CLUSTER, cp_seam::Generation::default(), vec![founder]).unwrap()
    };
    let machine = CatalogMachine::new(genesis(Features::default()), cp_seam::ControlPlaneLogIndex(0));
    let member = MemberLife { id: id("a"), incarnation: cp_seam::Incarnation(1) };
    let features = founder.features.clone();
    let apply = |index, command: MembershipCommand| {
        let position = cp_seam::LogPosition::new(cp_seam::Term(1), cp_seam::ControlPlaneLogIndex(index));
        machine.apply(position, &Request::new(None, command).to_entry().unwrap())
    };
    apply(1, MembershipCommand::SetFeatures { member, features }).unwrap();
    let halt = apply(2, MembershipCommand::RaiseFeatureLevel { to: beyond }).unwrap_err();
    assert!(halt.reason.contains("upgrade this member"), "{halt}");

    let state = genesis(founder.features.clone()).to_genesis().unwrap();
    let mut writer = CatalogMachine::vacant().restore().unwrap();
    let refused = writer.push(state.chunks[0].clone()).unwrap_err();
    assert_eq!(refused, cp_seam::SnapshotError::Newer { found: beyond, known: FEATURE_LEVEL });
}

/// CP-M3: a replaced member has another life, no vote and a fresh token; what it owns stays its own.
#[test]
fn a_replaced_member_keeps_its_ranges_and_loses_its_vote() {
    let mut node = Node::new(founded());
    node.done(OwnershipCommand::CreateCollection { collection: coll("c"), group: group("g"), mode: Mode::Ordered });
    node.done(OwnershipCommand::CreateRange(new_range(&rk("c", 1), bounds("", ""), "a", &[], &[])));
    let old = node.life("a");
    let replace = |reachable: &[u64]| MembershipCommand::Replace {
        member: old.clone(),
        token_hash: TokenHash([9; 32]),
        reachable: reachable.iter().copied().map(Incarnation).collect(),
    };
    let refusal = node.refused(replace(&[1, 2]));
    assert_eq!(refusal, Refusal::Member(MemberRefusal::WouldLoseQuorum { member: id("a"), voters: 4, reachable: 1 }));
    let Effect::Admitted { incarnation, .. } = node.done(replace(&[2, 3, 4])) else { panic!("admitted") };
    assert_eq!((incarnation, quorum(&node)), (Incarnation(6), (vec![2, 3, 4, 5], vec![])));
    assert_eq!(
        node.refused(replace(&[2, 3, 4])),
        Refusal::Member(MemberRefusal::OtherIncarnation { member: id("a"), current: incarnation })
    );
    assert_eq!(node.catalog().range(&rk("c", 1)).unwrap().owner, id("a"));
    node.done(MembershipCommand::Joined(joining(&node, "a")));
    assert_eq!(quorum(&node), (vec![2, 3, 4, 5], vec![6]));
    assert_eq!(node.catalog().violations(), vec![]);
}
