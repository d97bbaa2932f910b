//! Every transition against the plain model, with all invariants after every step.

use crate::access::grant;
use crate::common::*;
use crate::draws::ranges::end;
use crate::draws::{COLLECTIONS, Draw, GROUPS, NAMES, interpret};
use crate::model::{CollectionModel, Granted, MemberModel, Model, Presence, RangeModel, Vote};
use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, LogPosition, MemberKind, Term};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Where histories start: some before feature level 2 is used, of members that support it, and
/// most with somebody who may force.
fn begin(draw: u8) -> (Node, Model) {
    let level = if draw.is_multiple_of(8) { 1 } else { 2 };
    let mut node = Node::new(founded_at(level));
    for name in &NAMES[..5] {
        let features = Features { level: 2, ..Features::default() };
        node.done(MembershipCommand::SetFeatures { member: node.life(name), features });
    }
    let half = |hash| {
        let middle = if hash { &[32, 0][..] } else { &[128] };
        Bounds::new(Bound::Min, Bound::at(middle).unwrap()).unwrap()
    };
    for (name, mode) in [("books", Mode::Ordered), ("slots", Mode::Hash)] {
        node.done(OwnershipCommand::CreateCollection { collection: coll(name), group: group("shelf"), mode });
        let new = new_range(&rk(name, 1), half(mode == Mode::Hash), "a", &["b"], &["d"]);
        node.done(OwnershipCommand::CreateRange(NewRange { mode, ..new }));
    }
    let mut model = model(level);
    if draw % 8 > 1 {
        node.done(grant("fay", Privileges { read: true, operate: true, force: true }));
        model.grants.insert("fay".to_owned(), Granted { read: true, operate: true, force: true });
        model.audit.push(("grant", "allowed"));
    }
    (node, model)
}

/// The state that histories start from, as the model has it.
fn model(level: u32) -> Model {
    let member = |(name, incarnation): (&str, u64)| {
        let member = MemberModel {
            incarnation,
            witness: name == "w",
            vote: Vote::Voting,
            draining: false,
            presence: Presence::Joined,
            address: format!("{name}:7001"),
            domain: None,
            weight: 1,
            level: 2,
        };
        (name.to_owned(), member)
    };
    let collection = |(name, hash): (&str, bool)| {
        let range = RangeModel {
            id: 1,
            lower: 0,
            upper: end(hash) / 2,
            owner: "a".to_owned(),
            replicas: ["b".to_owned()].into(),
            archives: ["d".to_owned()].into(),
            epoch: 1,
            version: 1,
            wants: (3, String::new()),
            moving: None,
        };
        let (group, retired) = ("shelf".to_owned(), BTreeSet::new());
        (name.to_owned(), CollectionModel { group, hash, ranges: vec![range], retired })
    };
    Model {
        level,
        members: NAMES[..5].iter().copied().zip(1..).map(member).collect(),
        next_incarnation: 6,
        collections: [("books", false), ("slots", true)].map(collection).into(),
        holders: BTreeMap::new(),
        grants: BTreeMap::new(),
        audit: Vec::new(),
    }
}

fn seen_member(member: &Member) -> (String, MemberModel) {
    let model = MemberModel {
        incarnation: member.incarnation.0,
        witness: member.kind == MemberKind::Witness,
        vote: match member.voting {
            Voting::CatchingUp => Vote::CatchingUp,
            Voting::Standby => Vote::Standby,
            Voting::Voting => Vote::Voting,
        },
        draining: member.service == Service::Draining,
        presence: match member.join {
            Join::Awaited(TokenHash([token, ..])) => Presence::Awaited(token),
            Join::Joined => Presence::Joined,
            Join::Expelled => Presence::Expelled,
            Join::Fenced => panic!("nobody is fenced here"),
        },
        address: member.addresses.peer.clone(),
        domain: member.locality.domain.as_ref().map(ToString::to_string),
        weight: member.locality.weight,
        level: member.features.level,
    };
    (member.id.to_string(), model)
}

fn seen_range(hash: bool, range: &Range) -> RangeModel {
    let number = |bound: &Bound| match bound {
        Bound::Min => 0,
        Bound::Key(key) => key.as_bytes().iter().fold(0, |number, byte| number << 8 | u32::from(*byte)),
        Bound::Max => end(hash),
    };
    let names = |copies: &Copies| copies.iter().map(ToString::to_string).collect();
    let Placement { replication_factor, attributes } = &*range.placement;
    RangeModel {
        id: range.id.0,
        lower: number(range.bounds.lower()),
        upper: number(range.bounds.upper()),
        owner: range.owner.to_string(),
        replicas: names(&range.replicas),
        archives: names(&range.archives),
        epoch: range.epoch.0,
        version: range.version.0,
        wants: (*replication_factor, attributes.get("disk").cloned().unwrap_or_default()),
        moving: range.moving.as_ref().map(|m| (m.target.to_string(), m.phase as u32 + 1)),
    }
}

/// The model as the catalog would show it.
fn seen(catalog: &Catalog) -> Model {
    let collection = |spec: &CollectionSpec| {
        let hash = spec.mode == Mode::Hash;
        let ranges = catalog.ranges(&spec.name).map(|range| seen_range(hash, range)).collect();
        let (group, retired) = (spec.group.as_str().to_owned(), BTreeSet::new());
        (spec.name.as_str().to_owned(), CollectionModel { group, hash, ranges, retired })
    };
    let held =
        |name: &str| catalog.authority(&group(name)).map(|a| (name.to_owned(), (a.holder.to_string(), a.epoch.0)));
    let granted = |(client, has): (&ClientName, Privileges)| {
        let Privileges { read, operate, force } = has;
        (client.as_str().to_owned(), Granted { read, operate, force })
    };
    let disposition = |record: &AuditRecord| match record.disposition {
        Disposition::Allowed => "allowed",
        Disposition::Denied => "denied",
        Disposition::Failed => "failed",
    };
    Model {
        level: catalog.feature_level(),
        members: catalog.members().map(seen_member).collect(),
        next_incarnation: 0,
        collections: catalog.collections().map(collection).collect(),
        holders: GROUPS.iter().filter_map(|name| held(name)).collect(),
        grants: catalog.grants().map(granted).collect(),
        audit: catalog.audit_above(0).map(|record| (record.action.name(), disposition(record))).collect(),
    }
}

/// As far as it is seen from outside; an id or an incarnation used again shows in what follows.
fn shown(model: &Model) -> Model {
    let mut model = Model { next_incarnation: 0, ..model.clone() };
    for collection in model.collections.values_mut() {
        collection.retired.clear();
        collection.ranges.sort_by_key(|range| range.lower);
    }
    model
}

/// What is looked up in the state, and not a record of its own.
fn check_lookups(catalog: &Catalog, model: &Model, keys: &[u8]) -> Result<(), TestCaseError> {
    for name in NAMES {
        let held = catalog.holdings(&id(name));
        prop_assert_eq!([held.owned, held.replicas, held.archives], model.holdings(name), "{}", name);
    }
    let of = |votes: bool| {
        let counted = |m: &MemberModel| m.presence == Presence::Joined && (m.vote == Vote::Voting) == votes;
        let names = model.members.iter().filter(|(_, m)| counted(m)).map(|(name, _)| name.clone());
        names.collect::<BTreeSet<_>>()
    };
    let named = |members: &[cp_seam::QuorumMember]| members.iter().map(|m| m.id.to_string()).collect::<BTreeSet<_>>();
    let quorum = catalog.quorum();
    prop_assert_eq!((named(&quorum.voters), named(&quorum.learners)), (of(true), of(false)));
    for (name, collection) in &model.collections {
        for key in keys {
            // The rule of hashed collections, in its own words.
            let digest = blake3::hash(&[*key]);
            let first = u64::from_be_bytes(digest.as_bytes()[..8].try_into().unwrap());
            let place = if collection.hash { (first % 16_384) as u32 } else { u32::from(*key) };
            let covering = collection.ranges.iter().find(|r| r.lower <= place && place < r.upper);
            let found = catalog.locate(&coll(name), &[*key]).map(|range| range.id.0);
            prop_assert_eq!(found, covering.map(|range| range.id), "{} at key {}", name, key);
            let owner = catalog.owner_of(&coll(name), &[*key]).map(ToString::to_string);
            prop_assert_eq!(owner, covering.map(|range| range.owner.clone()));
        }
    }
    Ok(())
}

fn first_word(text: &str) -> String {
    text.split([' ', '{', '(', ')']).next().unwrap_or_default().to_owned()
}

/// What a value of an enum is called.
fn variant(debug: &impl std::fmt::Debug) -> String {
    first_word(&format!("{debug:?}"))
}

/// The effect's own name, or the refusal's within its family.
fn given(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done(effect) => variant(effect),
        Verdict::Refused(refusal) => {
            format!("{refusal:?}").split_once('(').map(|(_, reason)| first_word(reason)).unwrap_or_default()
        }
    }
}

fn label(command: &Command) -> String {
    match command {
        Command::Membership(command) => variant(command),
        Command::Ownership(command) => variant(command),
    }
}

#[derive(Debug, Default)]
struct Counts {
    /// By command: how often it took effect, in whichever way.
    done: BTreeMap<String, u64>,
    /// By answer.
    answers: BTreeMap<String, u64>,
}

/// Runs one history; counts what happened by command and answer.
fn run(draws: &[Draw], counts: &mut Counts) -> Result<(), TestCaseError> {
    let (mut node, mut model) = begin(draws[0][11]);
    let mut asked: Vec<(Request, Verdict)> = Vec::new();
    for (step, draw) in draws.iter().enumerate() {
        let before = node.catalog();
        if let (0, Some((request, verdict))) = (draw[11] % 8, asked.get(usize::from(draw[10]) % asked.len().max(1))) {
            let again = apply(&mut node, request);
            prop_assert_eq!(&again, verdict, "a retry has the same verdict");
            prop_assert_eq!(node.machine.digest(), before.digest(), "a retry changes nothing");
            continue;
        }
        let asked_now = interpret(&mut model, *draw);
        let (client, sequence) = (asked_now.client(), step as u64 + 1);
        let request = asked_now.request(RequestId { client, since: ControlPlaneLogIndex(0), sequence }, step as u64);
        let verdict = apply(&mut node, &request);
        let expected = asked_now.answer.unwrap_or_else(|refusal| refusal);
        prop_assert_eq!(&given(&verdict), expected, "step {}: {:?} gave {}", step, request, verdict);
        prop_assert_eq!(verdict.is_done(), asked_now.answer.is_ok());
        prop_assert_eq!(decode_verdict(&encode_verdict(&verdict)), Ok(verdict.clone()));
        let after = node.catalog();
        prop_assert_eq!(seen(&after), shown(&model), "step {}: {:?}", step, request);
        check_lookups(&after, &model, &[0, 1, 0x7f, 0x80, 0xff, draw[3], draw[4]])?;
        prop_assert_eq!(after.violations(), vec![], "step {}: {:?}", step, request);
        prop_assert_eq!(after.violations_since(&before), vec![], "step {}: {:?}", step, request);
        if draw[11] % 8 == 1 {
            let restored = rebuilt(&node.machine);
            prop_assert_eq!(restored.digest(), node.machine.digest());
            prop_assert_eq!(seen(&restored), seen(&after));
            node.machine = CatalogMachine::new(restored, ControlPlaneLogIndex(node.index));
        }
        *counts.answers.entry(expected.to_owned()).or_default() += 1;
        *counts.done.entry(label(&asked_now.command)).or_default() += u64::from(verdict.is_done());
        // What a release does not know it does not remember.
        if expected != "UnknownCommand" {
            asked.push((request, verdict));
        }
        // What is still remembered: the last replies.
        if asked.len() > REPLY_COUNT_MAX {
            asked.remove(0);
        }
    }
    Ok(())
}

fn apply(node: &mut Node, request: &Request) -> Verdict {
    node.index += 1;
    let index = ControlPlaneLogIndex(node.index);
    node.machine.apply(LogPosition::new(Term(1), index), &request.to_entry().unwrap()).unwrap();
    node.machine.verdict(index).unwrap()
}

/// Every answer that histories must have come by, or they prove little.
const ANSWERS: &str = "Admitted AlreadyMember MemberChanged Removed Expelled FeatureLevelAt CollectionReady \
    AuthorityHeld RangeAt SourceKept Split Merged Granted RestoredWithGap \
    NotAMember OtherIncarnation WrongCluster KindMismatch WrongToken TokenSpent NotJoined Draining NotDraining \
    StillOwns StillHolds HoldsAuthority WouldLoseQuorum StillReachable UnsupportedLevel LevelPassed \
    UnknownCollection CollectionDiffers AuthorityExists UnknownAuthority StaleAuthority \
    UnknownRange RangeExists RetiredId ModeDiffers NotASlot Overlap OwnerMismatch StaleEpoch StaleVersion \
    AlreadyOwner NeedsRestore NotInRole Ineligible RoleTaken MissingEvidence OtherEvidence NotCovered \
    ChecksumDiffers BoundsDiffer Gap MoveInFlight NotMoving WrongPhase CutOutside NotAdjacent OwnersDiffer \
    CopiesDiffer MissingPrivilege NoOperator BlankReason FirstGrant LastOperator UnknownCommand";

#[test]
fn the_catalog_is_the_model() {
    let config = Config { cases: 800, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = RefCell::new(Counts::default());
    let histories = prop::collection::vec(any::<Draw>(), 40..160);
    let result = runner.run(&histories, |draws| run(&draws, &mut counts.borrow_mut()));
    if let Err(error) = result {
        panic!("{error}");
    }
    let counts = counts.into_inner();
    for (command, done) in &counts.done {
        assert!(*done >= 10, "{command} took effect {done} times only: {counts:?}");
    }
    // All that there are: the numbers are those of the two sets of commands.
    assert_eq!(counts.done.len(), 14 + 20, "{counts:?}");
    let never: Vec<_> = ANSWERS.split_whitespace().filter(|answer| !counts.answers.contains_key(*answer)).collect();
    assert!(never.is_empty(), "never given: {never:?} of {counts:?}");
    assert!(COLLECTIONS.len() == 4 && counts.answers.values().sum::<u64>() > 10_000);
}
