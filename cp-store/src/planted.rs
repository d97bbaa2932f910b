//! What planted bugs do to the store. See [`cp_seam::planted`].

pub(crate) use cp_seam::planted::{Bug, active};

use crate::absorb::{Absorbing, Lap};
use crate::backend::File;
use crate::codec::{Kind, seal};
use crate::shared::Queued;
use crate::state::{State, Summary, Unabsorbed};
use crate::wal::{BLOCK_BYTES, Wal};
use crate::wire;
use cp_seam::LastVote;
use std::io;
use std::mem;
use std::sync::Arc;

/// The errno of a disk that failed.
const EIO: i32 = 5;

/// The state, with its vote as the log suggests it.
pub(crate) fn vote_from_log(mut state: State) -> State {
    if active(Bug::VoteFromLog) && state.vote.term > state.last.term {
        state.vote = LastVote { term: state.last.term, ..LastVote::default() };
    }
    state
}

/// Writes a frame of its own for what belongs into the next one.
pub(crate) fn write_half(
    wal: &mut Wal,
    seq: &mut u64,
    before: &Summary,
    items: &[Queued],
    payload: &[u8],
) -> io::Result<()> {
    let mut half = wire::Change::default();
    for Queued { change, .. } in items {
        match (&change.vote, &change.snapshot) {
            (Some(vote), _) if active(Bug::TermAndVoteApart) && vote.term > before.vote.term => {
                half.vote = vote.granted_to.map(|_| LastVote { term: before.vote.term, ..*vote }.into());
            }
            (_, Some(pointer)) if active(Bug::InstallInTwo) && pointer.meta.position.index > before.last.index => {
                half.committed = Some(pointer.meta.position.index.0);
            }
            _ => {}
        }
    }
    if half == wire::Change::default() || !wal.fits(payload.len() + 2 * BLOCK_BYTES) {
        return Ok(());
    }
    *seq += 1;
    wal.write(*seq, &seal(Kind::Group, &wire::Group { changes: vec![half] }))
}

/// The lap that should be waited for, because its segment is written to next.
pub(crate) fn unwaited(absorbing: &mut Absorbing) -> Option<Lap> {
    match mem::take(absorbing) {
        Absorbing::Waiting(lap) if active(Bug::SegmentReusedEarly) => Some(*lap),
        other => {
            *absorbing = other;
            None
        }
    }
}

/// What a lap left to be absorbed, and what came after it.
pub(crate) fn joined(lap: Option<Lap>, later: Unabsorbed) -> Unabsorbed {
    let Some(Lap { mut unabsorbed, .. }) = lap else { return later };
    later.cut.into_iter().for_each(|cut| unabsorbed.cut_from(cut));
    unabsorbed.records.extend(later.records);
    unabsorbed
}

/// How the database is opened.
pub(crate) fn open_settings(builder: &mut redb::Builder) {
    builder.set_check_integrity_on_open(!active(Bug::NothingChecked));
}

/// How a commit of the database is made.
pub(crate) fn commit_settings(write: &mut redb::WriteTransaction) -> Result<(), redb::SetDurabilityError> {
    write.set_two_phase_commit(!active(Bug::OnePhaseCommit));
    write.set_durability(if active(Bug::NoDurability) { redb::Durability::None } else { redb::Durability::Immediate })
}

/// The file, as a careless store would use it.
pub(crate) fn careless(file: Arc<dyn File>) -> Arc<dyn File> {
    let bugs = [Bug::SyncDoesNothing, Bug::ErrorSwallowed, Bug::SyncRetried];
    if bugs.into_iter().any(active) { Arc::new(Careless(file)) } else { file }
}

#[derive(Debug)]
struct Careless(Arc<dyn File>);

fn told(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(EIO) && active(Bug::ErrorSwallowed) => Ok(()),
        result => result,
    }
}

impl File for Careless {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        told(self.0.write_at(offset, bytes))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        told(self.0.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        if active(Bug::SyncDoesNothing) {
            return Ok(());
        }
        match self.0.sync_data() {
            Err(error) if error.raw_os_error() == Some(EIO) && active(Bug::SyncRetried) => self.0.sync_data(),
            result => told(result),
        }
    }
}
