//! What is on the disk, and what a reader makes of it.

use super::Flaw;
use cp_seam::{Incarnation, LastVote, Term};

/// Frames that fit a segment, the mark included.
pub(super) const SLOTS: usize = 3;

/// What a node must remember.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Kept {
    pub(super) vote: LastVote,
    /// The terms of the log.
    pub(super) log: Vec<u64>,
    pub(super) committed: usize,
}

/// One atomic change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Change {
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
pub(super) enum Piece {
    Term(u64),
    Candidate(Option<Incarnation>),
    Entry {
        index: usize,
        term: u64,
    },
    Committed(usize),
    /// That the next lap follows.
    Mark,
}

/// A piece, with what a header would say of its frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Written {
    pub(super) lap: u64,
    pub(super) sequence: u64,
    pub(super) pieces: usize,
    pub(super) which: usize,
    pub(super) piece: Piece,
}

/// What was written and not synced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Cached {
    Piece {
        slot: usize,
        written: Written,
    },
    /// The header of a lap, in its segment.
    Header(u64),
    CommittedSlot(usize),
}

/// The state at the end of a frame, and the lap that follows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Base {
    pub(super) kept: Kept,
    pub(super) sequence: u64,
    pub(super) lap: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Segment {
    /// The lap that its header names.
    pub(super) header: Option<u64>,
    pub(super) slots: [Vec<Written>; SLOTS],
}

/// Two segments, used in turn, and what the database has absorbed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Disk {
    pub(super) base: Base,
    pub(super) segments: [Segment; 2],
    /// Beside the frames; only a flaw uses it.
    pub(super) committed_slot: usize,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) struct Read {
    /// What the database would hold of the lap that it names, if that was left.
    pub(super) left: Option<Base>,
    pub(super) kept: Kept,
    pub(super) sequence: u64,
    pub(super) lap: u64,
}

fn of(lap: u64) -> usize {
    usize::from(lap % 2 == 1)
}

impl Kept {
    pub(super) fn apply(&mut self, piece: &Piece) {
        match piece {
            Piece::Term(term) => self.vote = LastVote { term: Term(*term), ..LastVote::default() },
            Piece::Candidate(candidate) => self.vote.granted_to = *candidate,
            Piece::Entry { index, term } => {
                self.log.truncate(*index);
                self.log.push(*term);
            }
            Piece::Committed(committed) => self.committed = self.committed.max(*committed),
            Piece::Mark => {}
        }
    }
}

impl Change {
    pub(super) fn pieces(&self) -> Vec<Piece> {
        match self {
            Self::Vote(vote) => vec![Piece::Term(vote.term.0), Piece::Candidate(vote.granted_to)],
            Self::Append { from, term, committed } => {
                vec![Piece::Entry { index: *from, term: *term }, Piece::Committed(*committed)]
            }
        }
    }
}

impl Disk {
    pub(super) fn segment(&mut self, lap: u64) -> &mut Segment {
        &mut self.segments[of(lap)]
    }

    /// What was written gets there: a piece of another frame in the same slot goes.
    pub(super) fn reach(&mut self, cached: Cached) {
        match cached {
            Cached::Piece { slot, written } => {
                let pieces = &mut self.segment(written.lap).slots[slot];
                pieces.retain(|there| there.which != written.which);
                pieces.push(written);
                pieces.sort();
                pieces.sort_by_key(|there| there.which);
            }
            Cached::Header(lap) => self.segment(lap).header = Some(lap),
            Cached::CommittedSlot(committed) => self.committed_slot = committed,
        }
    }

    /// The pieces in `slot` that are a frame; what a longer one has left behind them is not.
    fn frame(slot: &[Written], lap: u64, sequence: u64, flaw: Flaw) -> Option<&[Written]> {
        let first = slot.first()?;
        let frame = &slot[..first.pieces.min(slot.len())];
        let of_now = flaw == Flaw::NoLap || (first.lap == lap && first.sequence == sequence);
        let whole = frame.len() == first.pieces
            && frame.iter().all(|w| (w.lap, w.sequence, w.pieces) == (first.lap, first.sequence, first.pieces));
        let valid = of_now && (whole || (flaw == Flaw::NoChecksum && first.which == 0));
        valid.then_some(frame)
    }

    /// What it holds; `None` if it is refused as damaged.
    pub(super) fn read(&self, flaw: Flaw) -> Option<Read> {
        let Base { mut kept, mut sequence, mut lap } = self.base.clone();
        let mut left = None;
        loop {
            let segment = &self.segments[of(lap)];
            if segment.header != Some(lap) {
                return None;
            }
            let mut marked = false;
            for slot in &segment.slots {
                if let Some(frame) = Self::frame(slot, lap, sequence + 1, flaw) {
                    frame.iter().for_each(|written| kept.apply(&written.piece));
                    sequence += 1;
                    marked = frame.iter().any(|written| written.piece == Piece::Mark);
                } else if flaw == Flaw::ReadsOn {
                    slot.iter().filter(|w| w.lap == lap).for_each(|written| kept.apply(&written.piece));
                } else {
                    break;
                }
                if marked {
                    break;
                }
            }
            if !marked {
                break;
            }
            lap += 1;
            if left.is_some() {
                // Nobody leaves a lap before the one before it is absorbed.
                return None;
            }
            left = Some(Base { kept: kept.clone(), sequence, lap });
        }
        let ahead = |slot: &Vec<Written>| {
            let first = slot.first().filter(|first| first.lap > lap);
            first.is_some_and(|first| Self::frame(slot, first.lap, first.sequence, flaw).is_some())
        };
        if left.is_none() && flaw != Flaw::NoLap && self.segments[of(lap + 1)].slots.iter().any(ahead) {
            return None;
        }
        if flaw == Flaw::CommitBeforeEntry {
            kept.committed = kept.committed.max(self.committed_slot);
        }
        Some(Read { left, kept, sequence, lap })
    }
}
