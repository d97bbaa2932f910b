//! Persistence: what a crash at any step leaves, and what is made of it.
//!
//! The write-ahead segment as one would draw it: a change is one frame in a slot
//! of its own, written in pieces of which a crash before the sync leaves any.
//! A database absorbs what was written, atomically, and begins a new lap over the
//! same slots, where the old frames still lie.

use crate::{breaks, holds};
use cp_seam::{Incarnation, LastVote, Term};
use stateright::{Model, Property};
use std::collections::BTreeSet;

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
}

const SLOTS: usize = 3;

/// What a node must remember.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Kept {
    vote: LastVote,
    /// The terms of the log.
    log: Vec<u64>,
    committed: usize,
}

/// One atomic change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Change {
    Vote(LastVote),
    /// Entries from an index on, replacing what is there, and what is committed with them.
    Append {
        from: usize,
        term: u64,
        committed: usize,
    },
}

/// The parts into which a write can tear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    Term(u64),
    Candidate(Option<Incarnation>),
    Entry { index: usize, term: u64 },
    Committed(usize),
}

/// A piece, with what a header would say of its frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Written {
    lap: u64,
    sequence: u64,
    pieces: usize,
    which: usize,
    piece: Piece,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Disk {
    /// What the database holds: everything up to a sequence, and which lap is current.
    absorbed: Kept,
    sequence: u64,
    lap: u64,
    slots: [Vec<Written>; SLOTS],
    /// Beside the frames; only a flaw uses it.
    committed_slot: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    disk: Disk,
    /// Written and not synced.
    cache: Vec<(usize, Written)>,
    committed_slot_cached: Option<usize>,
    next_slot: usize,
    next_sequence: u64,
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
    Allowed { unacknowledged: bool },
    Other,
    CommittedBeyondTail,
    VoteTakenBack,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Write(Change),
    Sync,
    Absorb,
    /// What survives of the cache, a bit for each piece.
    Crash(u16),
}

impl Kept {
    fn apply(&mut self, piece: &Piece) {
        match piece {
            Piece::Term(term) => self.vote = LastVote { term: Term(*term), ..LastVote::default() },
            Piece::Candidate(candidate) => self.vote.granted_to = *candidate,
            Piece::Entry { index, term } => {
                self.log.truncate(*index);
                self.log.push(*term);
            }
            Piece::Committed(committed) => self.committed = self.committed.max(*committed),
        }
    }
}

impl Change {
    fn pieces(&self) -> Vec<Piece> {
        match self {
            Self::Vote(vote) => vec![Piece::Term(vote.term.0), Piece::Candidate(vote.granted_to)],
            Self::Append { from, term, committed } => {
                vec![Piece::Entry { index: *from, term: *term }, Piece::Committed(*committed)]
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Persistence {
    changes_max: u8,
    crashes_max: u8,
    flaw: Flaw,
}

impl Persistence {
    fn sound() -> Self {
        Self { changes_max: 4, crashes_max: 2, flaw: Flaw::None }
    }

    fn is_frame(&self, disk: &Disk, slot: &[Written], sequence: u64) -> bool {
        let Some(first) = slot.first() else { return false };
        let of_now = self.flaw == Flaw::NoLap || (first.lap == disk.lap && first.sequence == sequence);
        let whole =
            slot.len() == first.pieces && slot.iter().all(|w| (w.lap, w.sequence) == (first.lap, first.sequence));
        of_now && (whole || (self.flaw == Flaw::NoChecksum && first.which == 0))
    }

    /// What the disk holds, and how many frames of the current lap.
    fn read(&self, disk: &Disk) -> (Kept, u64) {
        let (mut kept, mut sequence) = (disk.absorbed.clone(), disk.sequence);
        for slot in &disk.slots {
            if self.is_frame(disk, slot, sequence + 1) {
                slot.iter().for_each(|written| kept.apply(&written.piece));
                sequence += 1;
            } else if self.flaw != Flaw::ReadsOn {
                break;
            } else {
                slot.iter().filter(|w| w.lap == disk.lap).for_each(|written| kept.apply(&written.piece));
            }
        }
        if self.flaw == Flaw::CommitBeforeEntry {
            kept.committed = kept.committed.max(disk.committed_slot);
        }
        (kept, sequence)
    }

    fn write(&self, state: &mut State, change: &Change) {
        let mut pieces = change.pieces();
        pieces.iter().for_each(|piece| state.memory.apply(piece));
        if self.flaw == Flaw::CommitBeforeEntry {
            pieces.retain(|piece| match piece {
                Piece::Committed(committed) => {
                    state.committed_slot_cached = Some(*committed);
                    false
                }
                Piece::Term(_) | Piece::Candidate(_) | Piece::Entry { .. } => true,
            });
        }
        let (lap, sequence, slot) = (state.disk.lap, state.next_sequence, state.next_slot);
        let count = pieces.len();
        for (which, piece) in pieces.into_iter().enumerate() {
            state.cache.push((slot, Written { lap, sequence, pieces: count, which, piece }));
        }
        state.next_slot += 1;
        state.next_sequence += 1;
        state.changes += 1;
        state.submitted.push(state.memory.clone());
        if self.flaw == Flaw::AckBeforeSync {
            self.acknowledge(state);
        }
    }

    fn acknowledge(&self, state: &mut State) {
        if let Some(newest) = state.submitted.last() {
            state.acknowledged = newest.clone();
            state.submitted.clear();
        }
    }

    fn sync(&self, state: &mut State) {
        for (slot, written) in std::mem::take(&mut state.cache) {
            reach(&mut state.disk, slot, written);
        }
        if let Some(committed) = state.committed_slot_cached.take() {
            state.disk.committed_slot = committed;
        }
        self.acknowledge(state);
    }

    fn absorb(state: &mut State) {
        let disk = &mut state.disk;
        disk.absorbed = state.memory.clone();
        disk.sequence = state.next_sequence - 1;
        disk.lap += 1;
        state.next_slot = 0;
    }

    /// Crashes, recovers, compares, and begins a new lap.
    fn crash(&self, state: &mut State, survives: u16) {
        let cache = std::mem::take(&mut state.cache);
        let cached = cache.len();
        for (_, (slot, written)) in cache.into_iter().enumerate().filter(|(n, _)| survives & (1 << n) != 0) {
            reach(&mut state.disk, slot, written);
        }
        if let Some(committed) = state.committed_slot_cached.take().filter(|_| survives & (1 << cached) != 0) {
            state.disk.committed_slot = committed;
        }
        let (found, sequence) = self.read(&state.disk);
        state.found = if found.committed > found.log.len() {
            Found::CommittedBeyondTail
        } else if !state.acknowledged.vote.may_become(&found.vote) {
            Found::VoteTakenBack
        } else if found == state.acknowledged {
            Found::Allowed { unacknowledged: false }
        } else if state.submitted.contains(&found) {
            Found::Allowed { unacknowledged: true }
        } else {
            Found::Other
        };
        // A database whose recovery is cut short says the same again: reading changes nothing.
        state.memory = found.clone();
        state.acknowledged = found;
        state.submitted.clear();
        state.next_sequence = sequence + 1;
        state.crashes += 1;
        Self::absorb(state);
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

/// A piece reaches its slot: one of another frame goes.
fn reach(disk: &mut Disk, slot: usize, written: Written) {
    let pieces = &mut disk.slots[slot];
    pieces.retain(|there| there.which != written.which);
    pieces.push(written);
    pieces.sort();
    pieces.sort_by_key(|there| there.which);
}

impl Model for Persistence {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            disk: Disk::default(),
            cache: Vec::new(),
            committed_slot_cached: None,
            next_slot: 0,
            next_sequence: 1,
            memory: Kept::default(),
            acknowledged: Kept::default(),
            submitted: Vec::new(),
            changes: 0,
            crashes: 0,
            found: Found::Nothing,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let synced = state.cache.is_empty();
        // A frame at a time: the next is written once the last is synced.
        if synced && state.next_slot < SLOTS && state.changes < self.changes_max {
            actions.extend(self.changes(&state.memory).into_iter().map(Action::Write));
        }
        if synced && state.next_slot > 0 {
            actions.push(Action::Absorb);
        }
        if !synced {
            actions.push(Action::Sync);
        }
        if state.crashes < self.crashes_max {
            let bits = state.cache.len() + usize::from(state.committed_slot_cached.is_some());
            actions.extend((0..1_u16 << bits).map(Action::Crash));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.found = Found::Nothing;
        match action {
            Action::Write(change) => self.write(&mut state, &change),
            Action::Sync => self.sync(&mut state),
            Action::Absorb => Self::absorb(&mut state),
            Action::Crash(survives) => self.crash(&mut state, survives),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RECOVERED, |_, state: &State| state.found != Found::Other),
            Property::always(BEHIND_TAIL, |_, state: &State| state.found != Found::CommittedBeyondTail),
            Property::always(VOTE_KEPT, |_, state: &State| state.found != Found::VoteTakenBack),
            Property::sometimes("what was never acknowledged survives", |_, state: &State| {
                state.found == Found::Allowed { unacknowledged: true }
            }),
            Property::sometimes("a torn frame is given up", |_, state: &State| {
                let torn = |slot: &Vec<Written>| slot.iter().map(|w| w.sequence).collect::<BTreeSet<_>>().len() > 1;
                state.found == Found::Allowed { unacknowledged: false } && state.disk.slots.iter().any(torn)
            }),
            Property::sometimes("an older frame is left lying", |_, state: &State| {
                let old = |slot: &Vec<Written>| slot.first().is_some_and(|w| w.lap + 1 < state.disk.lap);
                state.found != Found::Nothing && state.disk.slots.iter().any(old)
            }),
        ]
    }
}

const RECOVERED: &str = "what is recovered was acknowledged, or submitted after it, whole (CP-S2, CP-D1 to CP-D3)";
const BEHIND_TAIL: &str = "the committed index is never ahead of the tail";
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
    ] {
        breaks(&format!("{flaw:?}"), Persistence { flaw, ..Persistence::sound() }, property);
    }
}
