//! Reading the segments: what was written and redb has not absorbed.

use super::frame::{Frame, blocks};
use super::{BLOCK_BYTES, HEADER_BLOCKS, Wal, empty, name};
use crate::backend::File;
use crate::codec::{Bad, Kind, unseal};
use crate::fault::Fault;
use crate::identity::Identity;
use crate::wire;
use std::sync::Arc;

/// A segment that is read block by block, as far as there is anything to read.
struct Segment<'a> {
    file: &'a dyn File,
    bytes: u64,
}

impl<'a> Segment<'a> {
    fn open(file: &'a dyn File, bytes: u64) -> Result<Self, Fault> {
        let len = file.len()?;
        if len != bytes {
            return Err(Bad::damaged(format!("it has {len} bytes, not {bytes}")).into());
        }
        Ok(Self { file, bytes })
    }

    fn blocks(&self) -> u64 {
        self.bytes / BLOCK_BYTES as u64
    }

    fn frame(&self, block: u64, wanted: impl Fn(u64) -> bool) -> Result<Option<Frame>, Fault> {
        Frame::read(self.file, self.bytes, block, wanted)
    }

    /// The first valid copy of a frame of `lap` behind `block`.
    fn find_later(&self, block: u64, lap: u64) -> Result<Option<(u64, Frame)>, Fault> {
        for at in block + 1..self.blocks() {
            if let Some(frame) = self.frame(at, |found| found == lap)? {
                return Ok(Some((at, frame)));
            }
        }
        Ok(None)
    }

    fn is_ahead_of(&self, lap: u64) -> Result<bool, Fault> {
        for block in 0..self.blocks() {
            #[cfg(planted_bugs)]
            if crate::planted::active(crate::planted::Bug::OnePhaseCommit) {
                break;
            }
            if self.frame(block, |found| found > lap)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the frames of a lap, up to where they end or the mark says that the next lap follows.
    fn replay(&self, mut end: End, each: &mut impl FnMut(End, &[u8]) -> Result<(), Fault>) -> Result<End, Fault> {
        loop {
            let End { lap, block, seq } = end;
            let here = |frame: &Frame| frame.start == block && frame.seq == seq;
            let found = self.frame(block, |found| found == lap)?.filter(here);
            let frame = match found {
                Some(frame) => frame,
                None => match self.find_later(block, lap)? {
                    None => return Ok(end),
                    Some((at, copy)) if here(&copy) && at == block + blocks(copy.payload.len()) => {
                        tracing::warn!(seq, "a damaged write-ahead frame was read from its second copy");
                        copy
                    }
                    Some((at, _)) => {
                        let what = format!("write {seq} at block {block} is unreadable, and block {at} follows it");
                        return Err(Bad::Damaged(what).into());
                    }
                },
            };
            let marked = block > HEADER_BLOCKS && frame.payload == empty();
            end = if marked {
                End::beginning(lap + 1, seq + 1)
            } else {
                End { lap, block: block + 2 * blocks(frame.payload.len()), seq: seq + 1 }
            };
            each(end, &frame.payload)?;
            if marked {
                return Ok(end);
            }
        }
    }
}

/// Where the next frame belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    lap: u64,
    block: u64,
    seq: u64,
}

impl End {
    fn beginning(lap: u64, seq: u64) -> Self {
        Self { lap, block: HEADER_BLOCKS, seq }
    }

    pub(crate) fn lap(self) -> u64 {
        self.lap
    }

    /// The last frame before it.
    pub(crate) fn last_seq(self) -> u64 {
        self.seq.saturating_sub(1)
    }

    /// The offset up to which its segment's bytes are the frames before it.
    pub(crate) fn offset(self) -> u64 {
        self.block.saturating_mul(BLOCK_BYTES as u64)
    }
}

/// The lap, sequence, first block and payload of the frame that `segment` begins with.
pub(crate) fn read_frame(segment: &dyn File) -> Option<(u64, u64, u64, Vec<u8>)> {
    let lap = std::cell::Cell::new(0);
    let any = |of| {
        lap.set(of);
        true
    };
    let frame = Segment::open(segment, segment.len().ok()?).ok()?.frame(0, any).ok()??;
    Some((lap.get(), frame.seq, frame.start, frame.payload))
}

/// Reads the frames that redb has not absorbed in order, and answers where they
/// end: in the lap that redb names, or in the next one, if the mark says that the
/// writer had gone over to it. `each` is told what follows the frame it is given.
///
/// With `from`, where an earlier reading ended, only those behind it: what was
/// read then must not have changed since, the other segment included.
///
/// Writes nothing: after a crash in the middle of recovery it reads the same again.
pub(crate) fn replay(
    files: &[Arc<dyn File>; 2],
    identity: &Identity,
    base: &wire::State,
    from: Option<End>,
    mut each: impl FnMut(End, &[u8]) -> Result<(), Fault>,
) -> Result<End, (&'static str, Fault)> {
    let wal = Wal::new(files.clone(), identity, base.segment_bytes, base.lap);
    let other = |fault: Fault| (name(base.lap + 1), fault);
    let current = |fault: Fault| (name(base.lap), fault);
    let ahead = || other(Bad::damaged("it is ahead of the database, which has lost a commit").into());
    let segment = Segment::open(wal.file(base.lap), base.segment_bytes).map_err(current)?;
    let next = Segment::open(wal.file(base.lap + 1), base.segment_bytes).map_err(other)?;
    if from.is_none() {
        check_header(segment.file, &wal.header).map_err(current)?;
    }
    let mut end = from.unwrap_or(End::beginning(base.lap, base.seq + 1));
    if end.lap == base.lap {
        end = segment.replay(end, &mut each).map_err(current)?;
        if end.lap == base.lap {
            if from.is_none() && next.is_ahead_of(base.lap).map_err(other)? {
                return Err(ahead());
            }
            return Ok(end);
        }
        check_header(next.file, &wire::Segment { lap: end.lap, ..wal.header.clone() }).map_err(other)?;
    }
    end = next.replay(end, &mut each).map_err(other)?;
    // Nobody leaves a lap before redb has absorbed the one before it.
    if end.lap == base.lap + 1 { Ok(end) } else { Err(ahead()) }
}

fn check_header(file: &dyn File, expected: &wire::Segment) -> Result<(), Fault> {
    let mut blocks = [0; 2 * BLOCK_BYTES];
    file.read_at(0, &mut blocks)?;
    let read = |copy: usize| -> Result<wire::Segment, Bad> {
        let block = blocks.get(copy * BLOCK_BYTES..).unwrap_or_default();
        let short = || Bad::damaged("its header is unreadable");
        let (len, rest) = block.split_first_chunk::<4>().ok_or_else(short)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| short())?;
        unseal(Kind::Segment, rest.get(..len).ok_or_else(short)?)
    };
    match read(0).or_else(|first| read(1).map_err(|_| first)) {
        Ok(found) if found == *expected => Ok(()),
        Ok(found) if found.lap != expected.lap => {
            Err(Bad::damaged(format!("it is of lap {}, the database of lap {}", found.lap, expected.lap)).into())
        }
        Ok(_) => Err(Bad::damaged("it belongs to another node").into()),
        Err(bad) => Err(bad.into()),
    }
}
