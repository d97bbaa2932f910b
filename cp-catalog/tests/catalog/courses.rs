//! Courses over the transitions that the plain model of `model` does not have: what each does is
//! compared with what the rules say, and every invariant is checked after every step.

use crate::access::grant;
use crate::common::*;
use cp_catalog::*;
use cp_seam::{ControlPlaneStateMachine, MemberKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "w", "e", "f", "z"];
const CLIENTS: [&str; 3] = ["fay", "ann", "eve"];
const COLLECTIONS: [&str; 2] = ["books", "slots"];
const ALL: Privileges = Privileges { read: true, operate: true, force: true };

/// A step, drawn before the state is known: small numbers that choose among what there is.
type Draw = [u8; 6];

/// Members of releases that support level 2, in a cluster at level 1; one ordered and one hashed collection.
fn begun() -> Node {
    let (mut node, _) = library_at(1);
    for name in ["a", "b", "c", "d", "w"] {
        let features = Features { level: 2, ..Features::default() };
        node.done(MembershipCommand::SetFeatures { member: node.life(name), features });
    }
    let (collection, mode) = (coll("slots"), Mode::Hash);
    node.done(OwnershipCommand::CreateCollection { collection, group: group("shelf"), mode });
    let new = new_range(&rk("slots", 1), Bounds::ALL, "a", &["b", "c"], &["d"]);
    node.done(OwnershipCommand::CreateRange(NewRange { mode, ..new }));
    node
}

fn pick<T: Clone>(of: &[T], draw: u8) -> T {
    of[usize::from(draw) % of.len()].clone()
}

fn some_range(node: &Node, draw: u8) -> RangeKey {
    let collection = coll(pick(&COLLECTIONS, draw));
    let ids: Vec<_> = node.catalog().ranges(&collection).map(|range| range.id).collect();
    if draw.is_multiple_of(32) {
        RangeKey::new(collection, RangeId(99))
    } else {
        RangeKey::new(collection, pick(&ids, draw / 2))
    }
}

fn some_fence(node: &Node, range: &RangeKey, draw: u8) -> Fence {
    let now = node.catalog().range(range).map_or(Fence { epoch: Epoch(1), version: Version(1) }, Range::fence);
    if draw.is_multiple_of(16) { Fence { version: Version(now.version.0 + 1), ..now } } else { now }
}

fn member_step(node: &Node, [what, a, b, c, ..]: Draw) -> Command {
    let name = pick(&NAMES, a);
    let (member, everyone) = (node.life(name), node.everyone());
    let reachable: BTreeSet<_> = everyone.into_iter().filter(|it| *it != member.incarnation || c % 4 == 0).collect();
    let (token_hash, kind) = (TokenHash([9; 32]), if name == "w" { MemberKind::Witness } else { MemberKind::Data });
    let locality = Locality { domain: Some(FailureDomain::new(pick(&["x", "y"], b)).unwrap()), weight: u32::from(c) };
    let features = Features { level: u32::from(b % 3).max(1), ..Features::default() };
    let command = match what % 14 {
        0 => MembershipCommand::Admit(Admission { member: id(name), kind, token_hash, locality, standby: b % 2 == 0 }),
        1 => MembershipCommand::Joined(Joining {
            cluster: CLUSTER,
            member,
            token_hash,
            kind,
            addresses: addresses(name),
            features: Features { level: 2, ..Features::default() },
        }),
        2 => MembershipCommand::SetVoting { member },
        3 if b % 3 == 0 => MembershipCommand::Drain { member },
        3 | 4 => MembershipCommand::Undrain { member },
        5 => MembershipCommand::Replace { member, token_hash, reachable },
        6 => MembershipCommand::SetAddresses { member, addresses: addresses(&format!("{name}{b}")) },
        7 => MembershipCommand::SetLocality { member, locality },
        8 => MembershipCommand::SetFeatures { member, features },
        9 | 10 => MembershipCommand::RaiseFeatureLevel { to: 1 + u32::from(b % 4 != 0) },
        11 => {
            let operate = b % 8 != 0;
            grant(pick(&CLIENTS, a), Privileges { read: b % 2 == 0, operate, force: c % 3 != 0 })
        }
        12 => MembershipCommand::Remove { member, reachable },
        _ => MembershipCommand::ForceRemove { member, reason: pick(&["", "gone", "burnt"], b).to_owned(), reachable },
    };
    command.into()
}

fn range_step(node: &Node, [what, a, b, c, d, _]: Draw) -> Command {
    let range = some_range(node, a);
    let (fence, to) = (some_fence(node, &range, b), id(pick(&NAMES, c)));
    let known = node.catalog().range(&range).cloned();
    let edit = CopyEdit { range: range.clone(), fence, member: to.clone() };
    let command = match what % 9 {
        0 | 1 => OwnershipCommand::Force { range, to, reason: pick(&["why", "", "gone"], d).to_owned() },
        2 => {
            let archives: Vec<_> = known.iter().flat_map(|range| range.archives.iter().cloned()).collect();
            let archive = if archives.is_empty() { to } else { pick(&archives, d) };
            let proof = RestoreProof {
                checksum: [1; 32],
                recorded: [1 + u8::from(d % 8 == 0); 32],
                bounds: known.map_or(Bounds::ALL, |range| range.bounds),
                restored: at(3, 10 - u64::from(d % 3)),
                watermark: at(3, 10),
            };
            let forced = (d % 2 == 0).then(|| "all else is gone".to_owned());
            OwnershipCommand::RestoreArchive(Restore { range, fence, archive, proof, forced })
        }
        3 => {
            let from = known.map_or_else(|| to.clone(), |range| range.owner);
            let evidence = Some(evidence(to.as_str(), fence.epoch));
            OwnershipCommand::Promote(Transfer { range, from, fence, to, evidence })
        }
        4 if d % 2 == 0 => OwnershipCommand::AddReplica(edit),
        4 => OwnershipCommand::AddArchive(edit),
        5 if d % 2 == 0 => OwnershipCommand::RemoveReplica(edit),
        5 => OwnershipCommand::RemoveArchive(edit),
        6 => {
            let attributes = BTreeMap::from([("disk".to_owned(), pick(&["ssd", "tape"], d).to_owned())]);
            let placement = Placement { replication_factor: 1 + u32::from(d % 4), attributes };
            OwnershipCommand::SetPlacement { range, fence, placement }
        }
        7 => {
            let mode = if d % 2 == 0 { Mode::Hash } else { Mode::Ordered };
            let collection = coll(pick(&["books", "slots", "x", "y"], b));
            OwnershipCommand::CreateCollection { collection, group: group(pick(&["shelf", "desk"], c)), mode }
        }
        _ if d % 2 == 0 => {
            let at = Key::new(&u16::from_be_bytes([c % 64, b]).to_be_bytes()).unwrap();
            OwnershipCommand::Split { range, fence, at, new_id: RangeId(u64::from(d) + 2) }
        }
        _ => {
            let ranges: Vec<Range> = node.catalog().ranges(&range.collection).cloned().collect();
            let place = ranges.iter().position(|it| it.id == range.id).unwrap_or(0);
            let other = ranges.get(place + 1).unwrap_or(&ranges[0]);
            let (retired, retired_fence) = (other.id, other.fence());
            OwnershipCommand::Merge { survivor: range, fence, retired, retired_fence }
        }
    };
    command.into()
}

/// What the rules say that `command`, which took effect, has done.
fn check_effect(before: &Catalog, now: &Catalog, command: &Command) -> Result<(), TestCaseError> {
    let member = |life: &MemberLife| now.member(&life.id).unwrap().clone();
    match command {
        Command::Membership(command) => match command {
            MembershipCommand::SetAddresses { member: of, addresses } => {
                prop_assert_eq!(&member(of).addresses, addresses);
            }
            MembershipCommand::SetLocality { member: of, locality } => prop_assert_eq!(&member(of).locality, locality),
            MembershipCommand::SetFeatures { member: of, features } => prop_assert_eq!(&member(of).features, features),
            MembershipCommand::RaiseFeatureLevel { to } => prop_assert_eq!(now.feature_level(), *to),
            MembershipCommand::Grant { client, privileges } => {
                let granted = now.grants().find(|(name, _)| *name == client).map(|(_, granted)| granted);
                prop_assert_eq!(granted.unwrap_or_default(), *privileges);
            }
            MembershipCommand::Replace { member: of, .. } => {
                let (was, is) = (before.member(&of.id).unwrap(), member(of));
                prop_assert!(before.members().all(|other| other.incarnation < is.incarnation));
                prop_assert!(is.voting != Voting::Voting && matches!(is.join, Join::Awaited(_)));
                prop_assert_eq!(
                    (is.kind, is.service, now.holdings(&of.id)),
                    (was.kind, was.service, before.holdings(&of.id))
                );
            }
            MembershipCommand::ForceRemove { member: of, .. } => {
                let has = before.held_by(&of.id).count() > 0;
                prop_assert_eq!(now.member(&of.id).map(|m| m.join), has.then_some(Join::Expelled));
                prop_assert_eq!(now.holdings(&of.id), before.holdings(&of.id));
                prop_assert!(!now.quorum().voters.iter().any(|voter| voter.id == of.id));
            }
            _ => {}
        },
        Command::Ownership(command) => match command {
            OwnershipCommand::CreateCollection { collection, group, mode } => {
                let spec = CollectionSpec { name: collection.clone(), group: group.clone(), mode: *mode };
                prop_assert_eq!(now.collection(collection), Some(&spec));
            }
            OwnershipCommand::SetPlacement { range, placement, .. } => {
                let (was, is) = (before.range(range).unwrap(), now.range(range).unwrap());
                prop_assert_eq!((&*is.placement, is.epoch, &is.owner), (placement, was.epoch, &was.owner));
            }
            OwnershipCommand::Force { range, to, .. } => taken(before, now, range, to)?,
            OwnershipCommand::RestoreArchive(restore) => taken(before, now, &restore.range, &restore.archive)?,
            _ => {}
        },
    }
    Ok(())
}

/// Past evidence `to` owns the range, under the next epoch; who owned it stays as a replica if it may.
fn taken(before: &Catalog, now: &Catalog, range: &RangeKey, to: &cp_seam::MemberId) -> Result<(), TestCaseError> {
    let (was, is) = (before.range(range).unwrap(), now.range(range).unwrap());
    prop_assert!(is.epoch > was.epoch && is.version > was.version);
    prop_assert_eq!(is.role(to), Some(Role::Owner));
    let stays = was.owner != *to && now.member(&was.owner).is_some_and(|member| member.eligibility().is_ok());
    let mut replicas: BTreeSet<_> = was.replicas.iter().filter(|it| *it != to).cloned().collect();
    replicas.extend(stays.then(|| was.owner.clone()));
    let archives: BTreeSet<_> = was.archives.iter().filter(|it| *it != to).cloned().collect();
    prop_assert_eq!(is.replicas.iter().cloned().collect::<BTreeSet<_>>(), replicas);
    prop_assert_eq!(is.archives.iter().cloned().collect::<BTreeSet<_>>(), archives);
    Ok(())
}

fn name_of(command: &Command) -> String {
    let text = match command {
        Command::Membership(command) => format!("{command:?}"),
        Command::Ownership(command) => format!("{command:?}"),
    };
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn run(course: &[Draw], counts: &mut BTreeMap<String, u64>) -> Result<(), TestCaseError> {
    let mut node = begun();
    for (step, draw) in course.iter().enumerate() {
        let before = node.catalog();
        // The cluster is closed as soon as that can be said.
        let command: Command = match before.grants().next() {
            None if before.feature_level() >= 2 => grant("fay", ALL).into(),
            _ if draw[5] % 2 == 0 => member_step(&node, *draw),
            _ => range_step(&node, *draw),
        };
        let client = pick(&["fay", "fay", "fay", "ann", "eve"], draw[4]);
        let verdict = node.run_of(client, command.clone());
        let now = node.catalog();
        prop_assert_eq!(now.violations(), vec![], "step {}: {:?}", step, command);
        prop_assert_eq!(now.violations_since(&before), vec![], "step {}: {:?}", step, command);
        prop_assert_eq!(decode_verdict(&encode_verdict(&verdict)), Ok(verdict.clone()));
        if verdict.is_done() {
            check_effect(&before, &now, &command)?;
            let changed = u64::from(now.digest() != before.digest());
            *counts.entry(name_of(&command)).or_default() += changed;
        } else {
            let records = |catalog: &Catalog| (catalog.members().cloned().collect::<Vec<_>>(), catalog.range_count());
            prop_assert_eq!(records(&now), records(&before), "a refused command changes no record");
        }
        if draw[3] % 8 == 0 {
            prop_assert_eq!(rebuilt(&node.machine).digest(), node.machine.digest());
        }
    }
    Ok(())
}

#[test]
fn whatever_is_asked_the_state_is_sound() {
    let config = Config { cases: 250, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = RefCell::new(BTreeMap::new());
    let courses = prop::collection::vec(any::<Draw>(), 40..120);
    if let Err(error) = runner.run(&courses, |course| run(&course, &mut counts.borrow_mut())) {
        panic!("{error}");
    }
    // The courses must have gone everywhere, or they prove little.
    let counts = counts.into_inner();
    for command in [
        "SetAddresses",
        "SetLocality",
        "SetFeatures",
        "RaiseFeatureLevel",
        "Grant",
        "Replace",
        "ForceRemove",
        "CreateCollection",
        "SetPlacement",
        "Force",
        "RestoreArchive",
        "Split",
        "Merge",
    ] {
        let done = counts.get(command).copied().unwrap_or_default();
        assert!(done >= 10, "{command} changed something {done} times only: {counts:?}");
    }
}
