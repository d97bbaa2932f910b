//! Persistence: what a crash at any step leaves, and what is made of it.
//!
//! Two write-ahead segments as one would draw them: a change is one frame in a slot
//! of its own, written in pieces of which a crash before the sync leaves any. A
//! segment that is left ends with a mark, once the other has the next lap's header.
//! A database absorbs what was left, atomically, beside the frames that follow; then
//! the segment is used again, and the old frames still lie there. A recovery absorbs
//! all, step by step, and may be cut short at each.

use crate::{breaks, holds};
use cp_seam::{Incarnation, LastVote, Term};
use disk::{Base, Cached, Change, Disk, Kept, Piece, Read, SLOTS, Written};
use stateright::{Model, Property};
use std::collections::BTreeSet;

mod disk;

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// A frame counts once its first piece is there: term and vote can be parted (CP-S3).
    NoChecksum,
    /// The committed index goes to a slot of its own, before the entry is synced.
    CommitBeforeEntry,
    /// Acknowledged when written, not when synced (CP-D1 to CP-D3).
    AckBeforeSync,
    /// Frames do not say to which lap they belong.
    NoLap,
    /// Reading goes on behind a frame that is not valid.
    ReadsOn,
    /// A segment is used again before the database has absorbed its last lap.
    ReusedEarly,
    /// A segment is left without a mark.
    NoMark,
    /// The mark is written before the next lap has a header.
    MarkBeforeHeader,
    /// What is absorbed beside is the state of then, and not of the mark.
    AbsorbsWhatCame,
    /// A recovery names the next lap before that has a header.
    CommitBeforeHeader,
}

/// What the writer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Writes,
    /// It leaves a segment: the next lap's header, then the mark.
    Header,
    Mark,
    /// It has recovered, and absorbs all that it found: what was left first.
    Recovered,
    /// The next lap's header is being written.
    TurnHeader,
    /// The header is there, and the database does not name its lap.
    Turn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    disk: Disk,
    /// Written and not synced.
    cache: Vec<Cached>,
    phase: Phase,
    lap: u64,
    next_slot: usize,
    next_sequence: u64,
    /// The lap before this one, on its way into the database.
    left: Option<Base>,
    memory: Kept,
    acknowledged: Kept,
    /// Submitted since, in order: each a state that may be found.
    submitted: Vec<Kept>,
    changes: u8,
    crashes: u8,
    found: Found,
}

/// What the last recovery made of the disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Found {
    Nothing,
    Allowed { unacknowledged: bool, left: bool },
    Other,
    CommittedBeyondTail,
    VoteTakenBack,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Write(Change),
    Sync,
    /// Leaves the segment.
    GoOver,
    /// The database takes over what was left.
    Absorb,
    /// The next step of a recovery.
    Recover,
    /// What survives of the cache, a bit for each piece.
    Crash(u16),
}

#[derive(Debug, Clone)]
struct Persistence {
    changes_max: u8,
    crashes_max: u8,
    flaw: Flaw,
}

impl Persistence {
    fn sound() -> Self {
        Self { changes_max: 3, crashes_max: 2, flaw: Flaw::None }
    }

    fn write(&self, state: &mut State, change: &Change) {
        let mut pieces = change.pieces();
        pieces.iter().for_each(|piece| state.memory.apply(piece));
        let mut slot_of_its_own = None;
        if self.flaw == Flaw::CommitBeforeEntry {
            pieces.retain(|piece| match piece {
                Piece::Committed(committed) => {
                    slot_of_its_own = Some(*committed);
                    false
                }
                Piece::Term(_) | Piece::Candidate(_) | Piece::Entry { .. } | Piece::Mark => true,
            });
        }
        Self::frame(state, pieces);
        state.cache.extend(slot_of_its_own.map(Cached::CommittedSlot));
        state.changes += 1;
        state.submitted.push(state.memory.clone());
        if self.flaw == Flaw::AckBeforeSync {
            Self::acknowledge(state);
        }
    }

    fn frame(state: &mut State, pieces: Vec<Piece>) {
        let (lap, sequence, slot, count) = (state.lap, state.next_sequence, state.next_slot, pieces.len());
        for (which, piece) in pieces.into_iter().enumerate() {
            let written = Written { lap, sequence, pieces: count, which, piece };
            state.cache.push(Cached::Piece { slot, written });
        }
        state.next_slot += 1;
        state.next_sequence += 1;
    }

    fn acknowledge(state: &mut State) {
        if let Some(newest) = state.submitted.last() {
            state.acknowledged = newest.clone();
            state.submitted.clear();
        }
    }

    fn header(state: &mut State, phase: Phase) {
        state.cache.push(Cached::Header(state.lap + 1));
        state.phase = phase;
    }

    fn mark(state: &mut State) {
        Self::frame(state, vec![Piece::Mark]);
        state.phase = Phase::Mark;
    }

    fn go_over(&self, state: &mut State) {
        if self.flaw == Flaw::MarkBeforeHeader { Self::mark(state) } else { Self::header(state, Phase::Header) }
    }

    /// Syncs, and goes on to what comes next.
    fn sync(&self, state: &mut State) {
        for cached in std::mem::take(&mut state.cache) {
            state.disk.reach(cached);
        }
        Self::acknowledge(state);
        match state.phase {
            Phase::Header if self.flaw == Flaw::NoMark || self.flaw == Flaw::MarkBeforeHeader => Self::leave(state),
            Phase::Header => Self::mark(state),
            Phase::Mark if self.flaw == Flaw::MarkBeforeHeader => Self::header(state, Phase::Header),
            Phase::Mark => Self::leave(state),
            Phase::TurnHeader if self.flaw == Flaw::CommitBeforeHeader => state.phase = Phase::Writes,
            Phase::TurnHeader => state.phase = Phase::Turn,
            Phase::Writes | Phase::Recovered | Phase::Turn => {}
        }
    }

    fn leave(state: &mut State) {
        state.lap += 1;
        state.next_slot = 0;
        state.phase = Phase::Writes;
        state.left = Some(Base { kept: state.memory.clone(), sequence: state.next_sequence - 1, lap: state.lap });
    }

    fn absorb(&self, state: &mut State) {
        if let Some(left) = state.left.take() {
            let kept = if self.flaw == Flaw::AbsorbsWhatCame { state.memory.clone() } else { left.kept };
            state.disk.base = Base { kept, ..left };
        }
    }

    /// All that was found becomes the database's, which names the next lap.
    fn turn(state: &mut State) {
        state.lap += 1;
        state.next_slot = 0;
        state.phase = Phase::Writes;
        let (kept, sequence) = (state.memory.clone(), state.next_sequence - 1);
        state.disk.base = Base { kept, sequence, lap: state.lap };
    }

    fn recover(&self, state: &mut State) {
        match state.phase {
            Phase::Recovered if self.flaw == Flaw::CommitBeforeHeader => {
                Self::header(state, Phase::TurnHeader);
                Self::turn(state);
                state.phase = Phase::TurnHeader;
            }
            Phase::Recovered => Self::header(state, Phase::TurnHeader),
            _ => Self::turn(state),
        }
    }

    /// Crashes, reads what is there, and compares.
    fn crash(&self, state: &mut State, survives: u16) {
        let cache = std::mem::take(&mut state.cache);
        for (_, cached) in cache.into_iter().enumerate().filter(|(n, _)| survives & (1 << n) != 0) {
            state.disk.reach(cached);
        }
        state.crashes += 1;
        let Some(Read { left, kept, sequence, lap }) = state.disk.read(self.flaw) else {
            state.found = Found::Refused;
            return;
        };
        let was_left = left.is_some();
        state.found = if kept.committed > kept.log.len() {
            Found::CommittedBeyondTail
        } else if !state.acknowledged.vote.may_become(&kept.vote) {
            Found::VoteTakenBack
        } else if kept == state.acknowledged {
            Found::Allowed { unacknowledged: false, left: was_left }
        } else if state.submitted.contains(&kept) {
            Found::Allowed { unacknowledged: true, left: was_left }
        } else {
            Found::Other
        };
        state.memory = kept.clone();
        state.acknowledged = kept;
        state.submitted.clear();
        state.left = left;
        state.lap = lap;
        state.next_sequence = sequence + 1;
        state.phase = Phase::Recovered;
    }

    fn changes(&self, kept: &Kept) -> Vec<Change> {
        let last = kept.log.last().copied().unwrap_or_default();
        let vote = |term, to| LastVote { term: Term(term), granted_to: to, following: None };
        let mut votes = vec![vote(kept.vote.term.0 + 1, None)];
        votes.extend([1, 2].map(|to| vote(kept.vote.term.0 + 1, Some(Incarnation(to)))));
        votes.push(vote(kept.vote.term.0, Some(Incarnation(2))));
        votes.retain(|next| *next != kept.vote && kept.vote.may_become(next));
        let mut all: Vec<_> = votes.into_iter().map(Change::Vote).collect();
        let (end, committed) = (kept.log.len(), kept.committed);
        all.push(Change::Append { from: end, term: last, committed });
        all.push(Change::Append { from: end, term: last, committed: end + 1 });
        if end > committed {
            // Another leader's entry over one that is not committed.
            all.push(Change::Append { from: end - 1, term: last + 1, committed });
        }
        all
    }
}

impl Model for Persistence {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut disk = Disk::default();
        disk.segment(0).header = Some(0);
        vec![State {
            disk,
            cache: Vec::new(),
            phase: Phase::Writes,
            lap: 0,
            next_slot: 0,
            next_sequence: 1,
            left: None,
            memory: Kept::default(),
            acknowledged: Kept::default(),
            submitted: Vec::new(),
            changes: 0,
            crashes: 0,
            found: Found::Nothing,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.found == Found::Refused {
            return;
        }
        let synced = state.cache.is_empty();
        if !synced {
            actions.push(Action::Sync);
        } else if state.phase == Phase::Writes {
            // A frame at a time, and room for the mark.
            if state.next_slot + 1 < SLOTS && state.changes < self.changes_max {
                actions.extend(self.changes(&state.memory).into_iter().map(Action::Write));
            }
            if state.next_slot > 0 && (state.left.is_none() || self.flaw == Flaw::ReusedEarly) {
                actions.push(Action::GoOver);
            }
        } else if state.left.is_none() {
            actions.push(Action::Recover);
        }
        if state.left.is_some() {
            actions.push(Action::Absorb);
        }
        if state.crashes < self.crashes_max {
            actions.extend((0..1_u16 << state.cache.len()).map(Action::Crash));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.found = Found::Nothing;
        match action {
            Action::Write(change) => self.write(&mut state, &change),
            Action::Sync => self.sync(&mut state),
            Action::GoOver => self.go_over(&mut state),
            Action::Absorb => self.absorb(&mut state),
            Action::Recover => self.recover(&mut state),
            Action::Crash(survives) => self.crash(&mut state, survives),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RECOVERED, |_, state: &State| state.found != Found::Other),
            Property::always(BEHIND_TAIL, |_, state: &State| state.found != Found::CommittedBeyondTail),
            Property::always(VOTE_KEPT, |_, state: &State| state.found != Found::VoteTakenBack),
            Property::always(READABLE, |_, state: &State| state.found != Found::Refused),
            Property::sometimes("what was never acknowledged survives", |_, state: &State| {
                matches!(state.found, Found::Allowed { unacknowledged: true, .. })
            }),
            Property::sometimes("a torn frame is given up", |_, state: &State| {
                let torn = |slot: &Vec<Written>| slot.iter().map(|w| w.sequence).collect::<BTreeSet<_>>().len() > 1;
                let mut slots = state.disk.segments.iter().flat_map(|segment| &segment.slots);
                matches!(state.found, Found::Allowed { unacknowledged: false, .. }) && slots.any(torn)
            }),
            Property::sometimes("an older frame is left lying", |_, state: &State| {
                let old = |slot: &Vec<Written>| slot.first().is_some_and(|w| w.lap + 1 < state.disk.base.lap);
                let mut slots = state.disk.segments.iter().flat_map(|segment| &segment.slots);
                state.found != Found::Nothing && slots.any(old)
            }),
            Property::sometimes(
                "a lap that was left and not absorbed is read, and the next one with it",
                |_, state: &State| {
                    let behind = state.left.as_ref().is_some_and(|left| left.sequence + 1 < state.next_sequence);
                    matches!(state.found, Found::Allowed { left: true, .. }) && behind
                },
            ),
            Property::sometimes("a recovery is cut short between its commits", |_, state: &State| {
                state.phase == Phase::Turn && state.crashes == 1
            }),
        ]
    }
}

const RECOVERED: &str = "what is recovered was acknowledged, or submitted after it, whole (CP-S2, CP-D1 to CP-D3)";
const BEHIND_TAIL: &str = "the committed index is never ahead of the tail";
const READABLE: &str = "no crash leaves what is taken for damage";
const VOTE_KEPT: &str = "no vote is taken back (CP-S3)";

#[test]
fn torn_steps_lose_nothing() {
    assert!(holds("persistence", Persistence::sound()) > 10_000);
}

#[test]
fn flaws_are_found() {
    for (flaw, property) in [
        (Flaw::NoChecksum, RECOVERED),
        (Flaw::CommitBeforeEntry, BEHIND_TAIL),
        (Flaw::AckBeforeSync, VOTE_KEPT),
        (Flaw::AckBeforeSync, RECOVERED),
        (Flaw::NoLap, VOTE_KEPT),
        (Flaw::ReadsOn, RECOVERED),
        (Flaw::ReusedEarly, READABLE),
        (Flaw::NoMark, READABLE),
        (Flaw::MarkBeforeHeader, READABLE),
        (Flaw::AbsorbsWhatCame, BEHIND_TAIL),
        (Flaw::CommitBeforeHeader, READABLE),
    ] {
        breaks(&format!("{flaw:?}"), Persistence { flaw, ..Persistence::sound() }, property);
    }
}
