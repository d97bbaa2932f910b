//! Fenced transitions: two operators who see the past, and the real catalog.
//!
//! An operator acts on what it saw last, however long ago. What it asks for may
//! be committed at any time, again and again, or never, so a request never
//! carries an id here: the fence alone must keep it from taking effect twice.

use crate::{breaks, holds};
use cp_catalog::{
    Bounds, Catalog, ClosedGate, CollectionName, DataPosition, Epoch, Evidence, Features, Fence, FoundingMember,
    GroupName, Key, Locality, Mode, NewRange, OwnershipCommand, Placement, RangeId, RangeKey, RangeStanding, Request,
    Transfer, Verdict,
};
use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, MemberId, MemberKind, StateDigest};
use stateright::{Model, Property};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The fence is taken from the state and not from the writer: nothing is checked.
    FenceNotChecked,
    /// A restart goes back to an older state within the generation: epochs are issued twice.
    EpochReused,
}

const OPERATORS: usize = 2;
const RANGES: [u64; 2] = [1, 2];

/// What an operator means to do to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Intent {
    HandOffTo(char),
    PromoteTo(char),
    BeginMove,
    CompleteMove,
    ResolveMove,
    Split,
    Merge,
    Place,
}

/// A request under way, with what its writer saw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Asked {
    range: u64,
    intent: Intent,
    seen: RangeStanding,
    /// Of the other range, which a merge names too.
    other: Option<RangeStanding>,
}

type View = BTreeMap<u64, RangeStanding>;

#[derive(Debug, Clone)]
struct State {
    catalog: Catalog,
    index: u64,
    views: [View; OPERATORS],
    asked: BTreeSet<Asked>,
    accepted: u8,
    /// Who owned each range at each epoch.
    owners: BTreeSet<(u64, Epoch, MemberId)>,
    wrong: Option<Wrong>,
    /// What a flawed restart goes back to.
    saved: Option<Box<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    Stale,
    EpochFell,
    Invariant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Look(usize),
    Ask(usize, u64, Intent),
    Commit(Asked),
    GoBack,
}

/// Who was granted what, what went wrong, and in what state it ended.
type History<'a> = (&'a BTreeSet<(u64, Epoch, MemberId)>, Option<Wrong>, Option<StateDigest>);

impl State {
    fn key(&self) -> (StateDigest, &[View; OPERATORS], &BTreeSet<Asked>, u8) {
        (self.catalog.digest(), &self.views, &self.asked, self.accepted)
    }

    fn history(&self) -> History<'_> {
        (&self.owners, self.wrong, self.saved.as_ref().map(|saved| saved.catalog.digest()))
    }

    fn standing(&self, range: u64) -> Option<RangeStanding> {
        self.catalog.range(&key(range)).map(cp_catalog::Range::standing)
    }

    fn seen(&self) -> View {
        RANGES.into_iter().filter_map(|range| Some((range, self.standing(range)?))).collect()
    }

    fn note_owners(&mut self) {
        self.owners.extend(self.seen().into_iter().map(|(range, s)| (range, s.epoch, s.owner)));
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key() && self.history() == other.history()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (digest, views, asked, accepted) = self.key();
        (digest.0, views, asked, accepted).hash(state);
        let (owners, wrong, saved) = self.history();
        (owners, wrong, saved.map(|saved| saved.0)).hash(state);
    }
}

fn id(name: char) -> MemberId {
    MemberId::new(&name.to_string()).expect("legal")
}

fn key(range: u64) -> RangeKey {
    RangeKey::new(CollectionName::new("books").expect("legal"), RangeId(range))
}

fn fence(standing: &RangeStanding) -> Fence {
    Fence { epoch: standing.epoch, version: standing.version }
}

impl Asked {
    fn command(&self) -> OwnershipCommand {
        let (range, of, fence_seen) = (key(self.range), key(self.range), fence(&self.seen));
        let at = DataPosition { term: 1, lsn: 1 };
        let evidence = |candidate| {
            let closed_gate = Some(ClosedGate { range: of.clone(), epoch: self.seen.epoch, last: at });
            Some(Evidence { candidate: id(candidate), applied: at, watermark: at, closed_gate })
        };
        let transfer = |to| Transfer {
            range: range.clone(),
            from: self.seen.owner.clone(),
            fence: fence_seen,
            to: id(to),
            evidence: evidence(to),
        };
        match self.intent {
            Intent::HandOffTo(to) => OwnershipCommand::Handoff(transfer(to)),
            Intent::PromoteTo(to) => OwnershipCommand::Promote(transfer(to)),
            Intent::BeginMove => OwnershipCommand::BeginMove { range, fence: fence_seen, target: id('c') },
            Intent::CompleteMove => {
                OwnershipCommand::CompleteMove { range, fence: fence_seen, evidence: evidence('c') }
            }
            Intent::ResolveMove => OwnershipCommand::ResolveMove { range, fence: fence_seen, evidence: evidence('c') },
            Intent::Split => OwnershipCommand::Split {
                range,
                fence: fence_seen,
                at: Key::new("m".as_bytes()).expect("short"),
                new_id: RangeId(2),
            },
            Intent::Merge => OwnershipCommand::Merge {
                survivor: range,
                fence: fence_seen,
                retired: RangeId(2),
                retired_fence: self.other.as_ref().map_or(fence_seen, fence),
            },
            Intent::Place => {
                let placement = Placement { replication_factor: 3, ..Placement::default() };
                OwnershipCommand::SetPlacement { range, fence: fence_seen, placement }
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Fencing {
    intents: Vec<Intent>,
    accepted_max: u8,
    asked_max: usize,
    flaw: Flaw,
}

impl Fencing {
    fn transfers() -> Self {
        use Intent::{HandOffTo, Place, PromoteTo};
        let intents = vec![HandOffTo('a'), HandOffTo('b'), PromoteTo('b'), PromoteTo('c'), Place];
        Self { intents, accepted_max: 4, asked_max: 5, flaw: Flaw::None }
    }

    fn moves() -> Self {
        use Intent::{BeginMove, CompleteMove, HandOffTo, PromoteTo, ResolveMove};
        let intents = vec![BeginMove, CompleteMove, ResolveMove, HandOffTo('b'), PromoteTo('b')];
        Self { intents, ..Self::transfers() }
    }

    fn cuts() -> Self {
        use Intent::{Merge, PromoteTo, Split};
        Self { intents: vec![Split, Merge, PromoteTo('b')], ..Self::transfers() }
    }

    /// Members a, b and c, and one range of everything: owner a, replicas as told.
    fn founded(&self) -> Catalog {
        let founder = |name| FoundingMember {
            id: id(name),
            kind: MemberKind::Data,
            addresses: cp_catalog::Addresses { peer: "p:1".into(), client: "c:1".into(), http: String::new() },
            locality: Locality { domain: None, weight: 1 },
            features: Features::default(),
        };
        let generation = Generation { number: 1, id: [1; 8] };
        let mut catalog =
            Catalog::genesis(ClusterId([7; 16]), generation, ['a', 'b', 'c'].map(founder).into()).expect("legal");
        let (collection, group) = (key(1).collection, GroupName::new("shelf").expect("legal"));
        let create = OwnershipCommand::CreateCollection { collection, group, mode: Mode::Ordered };
        let moves = self.intents.contains(&Intent::BeginMove);
        let range = OwnershipCommand::CreateRange(NewRange {
            range: key(1),
            mode: Mode::Ordered,
            bounds: Bounds::ALL,
            owner: id('a'),
            replicas: if moves { vec!['b'] } else { vec!['b', 'c'] }.into_iter().map(id).collect(),
            archives: std::iter::empty().collect(),
            placement: Placement::default(),
        });
        for (index, command) in [create, range].into_iter().enumerate() {
            let verdict = apply(&mut catalog, index as u64 + 1, command);
            assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
        }
        catalog
    }

    fn commit(&self, state: &mut State, asked: &Asked) {
        let before = state.seen();
        let mut sent = asked.clone();
        if self.flaw == Flaw::FenceNotChecked {
            sent.seen = before.get(&asked.range).unwrap_or(&asked.seen).clone();
            sent.other = before.get(&2).cloned();
        }
        state.index += 1;
        match apply(&mut state.catalog, state.index, sent.command()) {
            Verdict::Refused(_) => return,
            // Nothing changed.
            Verdict::Done(_) if state.seen() == before => return,
            Verdict::Done(_) => state.accepted += 1,
        }
        let other = asked.intent == Intent::Merge && before.get(&2) != asked.other.as_ref();
        if before.get(&asked.range) != Some(&asked.seen) || other {
            state.wrong = Some(Wrong::Stale);
        }
        let after = state.seen();
        let fell = |(range, now): (&u64, &RangeStanding)| {
            before.get(range).is_some_and(|was| now.epoch < was.epoch || now.version <= was.version && now != was)
        };
        if after.iter().any(fell) {
            state.wrong = Some(Wrong::EpochFell);
        }
        if !state.catalog.violations().is_empty() {
            state.wrong = Some(Wrong::Invariant);
        }
        state.note_owners();
    }
}

fn apply(catalog: &mut Catalog, index: u64, command: OwnershipCommand) -> Verdict {
    let entry = Request::new(None, command).to_entry().expect("short");
    catalog.apply(ControlPlaneLogIndex(index), &entry).verdict
}

impl Model for Fencing {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            catalog: self.founded(),
            index: 10,
            views: [View::new(), View::new()],
            asked: BTreeSet::new(),
            accepted: 0,
            owners: BTreeSet::new(),
            wrong: None,
            saved: None,
        };
        state.note_owners();
        state.views = [state.seen(), state.seen()];
        if self.flaw == Flaw::EpochReused {
            state.saved = Some(Box::new(state.clone()));
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let seen = state.seen();
        for (operator, view) in state.views.iter().enumerate() {
            if *view != seen {
                actions.push(Action::Look(operator));
            }
            if state.asked.len() < self.asked_max {
                for range in view.keys() {
                    actions.extend(self.intents.iter().map(|intent| Action::Ask(operator, *range, *intent)));
                }
            }
        }
        if state.accepted < self.accepted_max {
            actions.extend(state.asked.iter().cloned().map(Action::Commit));
        }
        if state.saved.is_some() {
            actions.push(Action::GoBack);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Look(operator) => state.views[operator] = state.seen(),
            Action::Ask(operator, range, intent) => {
                let view = &state.views[operator];
                let seen = view.get(&range)?.clone();
                let other = view.get(&2).cloned().filter(|_| intent == Intent::Merge);
                state.asked.insert(Asked { range, intent, seen, other });
            }
            Action::Commit(asked) => self.commit(&mut state, &asked),
            Action::GoBack => {
                let saved = state.saved.take()?;
                state.catalog = saved.catalog;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOT_STALE, |_, state: &State| state.wrong != Some(Wrong::Stale)),
            Property::always(ONE_OWNER, |_, state: &State| {
                let epochs: BTreeSet<_> = state.owners.iter().map(|(range, epoch, _)| (range, epoch)).collect();
                epochs.len() == state.owners.len()
            }),
            Property::always("epochs and versions only rise (CP-S5)", |_, state: &State| {
                state.wrong != Some(Wrong::EpochFell)
            }),
            Property::always("the catalog's own invariants", |_, state: &State| state.wrong != Some(Wrong::Invariant)),
            Property::sometimes("as much is accepted as the bound allows", |model: &Self, state: &State| {
                state.accepted == model.accepted_max
            }),
            Property::sometimes("an operator has seen the past and asks", |_, state: &State| {
                state.asked.iter().any(|asked| state.standing(asked.range).as_ref() != Some(&asked.seen))
            }),
            Property::sometimes("a range has had more than one owner", |_, state: &State| {
                state.owners.iter().map(|(_, _, owner)| owner).collect::<BTreeSet<_>>().len() > 1
            }),
        ]
    }
}

const NOT_STALE: &str = "nothing is accepted under a stale epoch or version (CP-S5)";
const ONE_OWNER: &str = "never two owners at one epoch (CP-S5)";

#[test]
fn transfers() {
    assert!(holds("fencing: handoffs and promotions", Fencing::transfers()) > 1_000);
}

#[test]
fn moves() {
    assert!(holds("fencing: moves", Fencing::moves()) > 1_000);
}

#[test]
fn cuts() {
    assert!(holds("fencing: splits and merges", Fencing::cuts()) > 1_000);
}

#[test]
fn flaws_are_found() {
    let flawed = |flaw, model| Fencing { flaw, ..model };
    breaks("FenceNotChecked", flawed(Flaw::FenceNotChecked, Fencing::transfers()), NOT_STALE);
    breaks("FenceNotChecked", flawed(Flaw::FenceNotChecked, Fencing::moves()), NOT_STALE);
    breaks("FenceNotChecked", flawed(Flaw::FenceNotChecked, Fencing::cuts()), NOT_STALE);
    breaks("EpochReused", flawed(Flaw::EpochReused, Fencing::transfers()), ONE_OWNER);
}
