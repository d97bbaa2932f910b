//! Every transition against the plain model, with all invariants after every step.

use crate::common::*;
use crate::draws::{Draw, NAMES, bound, interpret};
use crate::model::{MemberModel, Model, RangeModel};
use cp_catalog::*;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, MemberKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The state that histories start from, as the model has it.
fn model() -> Model {
    let member = |(name, incarnation): (&str, u64)| {
        let witness = name == "w";
        (name.to_owned(), MemberModel { incarnation, witness, voting: true, draining: false, joined: true })
    };
    let range = RangeModel {
        id: 1,
        lower: 0,
        upper: 128,
        owner: "a".to_owned(),
        replicas: ["b".to_owned()].into(),
        archives: ["d".to_owned()].into(),
        epoch: 1,
        version: 1,
        moving: None,
    };
    Model {
        members: NAMES[..5].iter().copied().zip(1..).map(member).collect(),
        next_incarnation: 6,
        ranges: vec![range],
        retired: BTreeSet::new(),
        holder: None,
    }
}

/// The model as the catalog would show it.
fn seen(catalog: &Catalog) -> Model {
    let member = |m: &Member| {
        let model = MemberModel {
            incarnation: m.incarnation.0,
            witness: m.kind == MemberKind::Witness,
            voting: m.voting == Voting::Voting,
            draining: m.service == Service::Draining,
            joined: m.join == Join::Joined,
        };
        (m.id.to_string(), model)
    };
    let number = |bound: &Bound| match bound {
        Bound::Min => 0,
        Bound::Key(key) => u32::from(key.as_bytes()[0]),
        Bound::Max => 256,
    };
    let names = |copies: &Copies| copies.iter().map(ToString::to_string).collect();
    let range = |r: &Range| RangeModel {
        id: r.id.0,
        lower: number(r.bounds.lower()),
        upper: number(r.bounds.upper()),
        owner: r.owner.to_string(),
        replicas: names(&r.replicas),
        archives: names(&r.archives),
        epoch: r.epoch.0,
        version: r.version.0,
        moving: r.moving.as_ref().map(|m| (m.target.to_string(), m.phase as u32 + 1)),
    };
    Model {
        members: catalog.members().map(member).collect(),
        next_incarnation: 0,
        ranges: catalog.ranges(&coll("books")).map(range).collect(),
        retired: BTreeSet::new(),
        holder: catalog.authority(&group("shelf")).map(|a| (a.holder.to_string(), a.epoch.0)),
    }
}

/// What a value of an enum is called.
fn variant(debug: &impl std::fmt::Debug) -> String {
    first_word(&format!("{debug:?}"))
}

/// The refusal's own name, within its family.
fn reason(refusal: &Refusal) -> String {
    format!("{refusal:?}").split_once('(').map(|(_, reason)| first_word(reason)).unwrap_or_default()
}

fn first_word(text: &str) -> String {
    text.split([' ', '{', '(', ')']).next().unwrap_or_default().to_owned()
}

fn label(command: &Command) -> String {
    match command {
        Command::Membership(command) => variant(command),
        Command::Ownership(command) => variant(command),
    }
}

/// Runs one history; counts what happened by command and answer.
fn run(draws: &[Draw], counts: &mut BTreeMap<(String, String), u64>) -> Result<(), TestCaseError> {
    let mut node = Node::new(founded());
    node.done(OwnershipCommand::CreateCollection {
        collection: coll("books"),
        group: group("shelf"),
        mode: Mode::Ordered,
    });
    let half = Bounds::new(Bound::Min, bound(128)).unwrap();
    node.done(OwnershipCommand::CreateRange(new_range(&rk("books", 1), half, "a", &["b"], &["d"])));
    let mut model = model();
    let client = ClientId([1; 16]);
    let mut asked: Vec<(RequestId, Command, Verdict)> = Vec::new();
    for (step, draw) in draws.iter().enumerate() {
        let before = node.catalog();
        if let (0, Some((request, command, verdict))) =
            (draw[7] % 8, asked.get(usize::from(draw[6]) % asked.len().max(1)))
        {
            let again = node.run_as(Some(*request), command.clone());
            prop_assert_eq!(&again, verdict, "a retry has the same verdict");
            prop_assert_eq!(node.machine.digest(), before.digest(), "a retry changes nothing");
            continue;
        }
        let (command, answer) = interpret(&mut model, *draw);
        let sequence = step as u64 + 1;
        let request = RequestId { client, since: ControlPlaneLogIndex(0), sequence };
        let verdict = node.run_as(Some(request), command.clone());
        let given = match &verdict {
            Verdict::Done(_) => "Done".to_owned(),
            Verdict::Refused(refusal) => reason(refusal),
        };
        let expected = answer.err().unwrap_or("Done");
        prop_assert_eq!(&given, expected, "step {}: {:?} gave {}", step, command, verdict);
        prop_assert_eq!(decode_verdict(&encode_verdict(&verdict)), Ok(verdict.clone()));
        let after = node.catalog();
        let mut want = Model { next_incarnation: 0, retired: BTreeSet::new(), ..model.clone() };
        want.ranges.sort_by_key(|range| range.lower);
        for key in [0, 1, 0x7f, 0x80, 0xff, draw[3], draw[4]] {
            let found = after.locate(&coll("books"), &[key]).map(|range| range.id.0);
            let covering = want.ranges.iter().find(|r| r.lower <= u32::from(key) && u32::from(key) < r.upper);
            prop_assert_eq!(found, covering.map(|range| range.id), "step {}: key {}", step, key);
        }
        prop_assert_eq!(seen(&after), want, "step {}: {:?}", step, command);
        prop_assert_eq!(after.violations(), vec![], "step {}: {:?}", step, command);
        prop_assert_eq!(after.violations_since(&before), vec![], "step {}: {:?}", step, command);
        if draw[7] % 8 == 1 {
            let restored = rebuilt(&node.machine);
            prop_assert_eq!(restored.digest(), node.machine.digest());
            prop_assert_eq!(seen(&restored), seen(&after));
            node.machine = CatalogMachine::new(restored, ControlPlaneLogIndex(node.index));
        }
        *counts.entry((label(&command), given)).or_default() += 1;
        asked.push((request, command, verdict));
        // What is still remembered: the last replies.
        if asked.len() > REPLY_COUNT_MAX {
            asked.remove(0);
        }
    }
    Ok(())
}

#[test]
fn the_catalog_is_the_model() {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = RefCell::new(BTreeMap::new());
    let histories = prop::collection::vec(any::<Draw>(), 40..120);
    let result = runner.run(&histories, |draws| run(&draws, &mut counts.borrow_mut()));
    if let Err(error) = result {
        panic!("{error}");
    }
    // The histories must have gone everywhere, or they prove little.
    let counts = counts.into_inner();
    let commands: BTreeSet<_> = counts.keys().map(|(command, _)| command.clone()).collect();
    let text = |(what, count): (&(String, String), &u64)| format!("{} {} {count}", what.0, what.1);
    let all = || counts.iter().map(text).collect::<Vec<_>>().join(", ");
    for command in &commands {
        let done = counts.get(&(command.clone(), "Done".to_owned())).copied().unwrap_or_default();
        assert!(done >= 10, "{command} took effect {done} times only: {}", all());
    }
    assert_eq!(commands.len(), 7 + 16, "{commands:?}");
    let refusals: BTreeSet<_> = counts.keys().map(|(_, answer)| answer.as_str()).collect();
    for refusal in [
        "NotAMember",
        "OtherIncarnation",
        "KindMismatch",
        "WrongToken",
        "TokenSpent",
        "NotJoined",
        "Draining",
        "NotDraining",
        "StillOwns",
        "StillHolds",
        "HoldsAuthority",
        "WouldLoseQuorum",
        "AuthorityExists",
        "StaleAuthority",
        "UnknownRange",
        "RangeExists",
        "RetiredId",
        "Overlap",
        "OwnerMismatch",
        "StaleEpoch",
        "StaleVersion",
        "AlreadyOwner",
        "NeedsRestore",
        "NotInRole",
        "Ineligible",
        "RoleTaken",
        "MissingEvidence",
        "OtherEvidence",
        "NotCovered",
        "MoveInFlight",
        "NotMoving",
        "WrongPhase",
        "CutOutside",
        "NotAdjacent",
        "OwnersDiffer",
        "CopiesDiffer",
    ] {
        assert!(refusals.contains(refusal), "{refusal} was never given");
    }
}
