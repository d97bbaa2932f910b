//! The write-ahead segments: where a write becomes durable first.
//!
//! Two preallocated files, used in turn. A *lap* is one use of a segment; redb
//! says which lap is current. While a lap lasts, its segment only grows:
//!
//! ```text
//! block 0  1       2 ..
//! header   header  frame 1, frame 1 again, frame 2, frame 2 again, ...
//! ```
//!
//! Every frame and every copy of one begins on a block of its own, so no later
//! write ever touches the blocks of an acknowledged frame. Both copies go out in
//! one write and one fsync. What that buys:
//!
//! - A frame with one damaged copy is read from the other, and not taken for a
//!   torn tail: forgetting the last frame could be forgetting a vote.
//! - A frame is valid only in its own lap and place, so nothing stale, torn or
//!   misdirected comes back to life; each opening begins a new lap.
//! - A lap that redb names before it is used begins with an empty frame. A database
//!   that reads as if it had not been told of such a lap has lost a commit.
//! - A lap that is left before redb has absorbed it ends with an empty frame, the
//!   mark, written once the next lap's header is durable. Behind a mark the next lap
//!   must be there, and is read too; without one nothing of a next lap may be.
//! - A frame without a valid copy before a valid frame is damage. With nothing
//!   valid behind it, it was never acknowledged.

use crate::backend::File;
use crate::codec::{Bad, Kind, seal, unseal};
use crate::fault::Fault;
use crate::identity::Identity;
use crate::wire;
use std::io;
use std::sync::Arc;

/// Their names.
pub(crate) const NAMES: [&str; 2] = ["wal-0", "wal-1"];

/// The unit of alignment: a page, so that the page cache never rewrites an acknowledged frame either.
pub(crate) const BLOCK_BYTES: usize = 4096;
const HEADER_BLOCKS: u64 = 2;
/// What an empty frame takes.
const EMPTY_BLOCKS: u64 = 2;
const FRAME_HEADER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"cpwf";
static ZEROS: [u8; 16 * BLOCK_BYTES] = [0; 16 * BLOCK_BYTES];

/// The smallest segment that makes sense.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 10 * BLOCK_BYTES as u64;

/// The current segment, being written.
#[derive(Debug)]
pub(crate) struct Wal {
    files: [Arc<dyn File>; 2],
    header: wire::Segment,
    next_block: u64,
}

impl Wal {
    pub(crate) fn new(files: [Arc<dyn File>; 2], identity: &Identity, segment_bytes: u64, lap: u64) -> Self {
        let cluster = identity.cluster.0.to_vec();
        let header = wire::Segment { lap, segment_bytes, cluster, incarnation: identity.incarnation.0 };
        Self { files, header, next_block: HEADER_BLOCKS }
    }

    pub(crate) fn lap(&self) -> u64 {
        self.header.lap
    }

    fn file(&self, lap: u64) -> &dyn File {
        let [even, odd] = &self.files;
        if lap.is_multiple_of(2) { even.as_ref() } else { odd.as_ref() }
    }

    /// Whether a frame fits what is left of the segment, and the mark after it.
    pub(crate) fn fits(&self, payload_len: usize) -> bool {
        self.fits_at(self.next_block, payload_len)
    }

    /// Whether a frame fits a segment that holds nothing but the frame a lap may begin with.
    pub(crate) fn fits_empty(&self, payload_len: usize) -> bool {
        self.fits_at(HEADER_BLOCKS + EMPTY_BLOCKS, payload_len)
    }

    fn fits_at(&self, block: u64, payload_len: usize) -> bool {
        let end = block.saturating_add(2 * blocks(payload_len)).saturating_add(EMPTY_BLOCKS);
        end <= self.header.segment_bytes / BLOCK_BYTES as u64
    }

    /// Writes a frame that fits, durably.
    pub(crate) fn write(&mut self, seq: u64, payload: &[u8]) -> io::Result<()> {
        let copy = encode(self.header.lap, seq, self.next_block, payload);
        let file = self.file(self.header.lap);
        file.write_at(self.next_block * BLOCK_BYTES as u64, &[copy.as_slice(), copy.as_slice()].concat())?;
        file.sync_data()?;
        self.next_block += 2 * blocks(payload.len());
        Ok(())
    }

    /// Makes the header of the next lap durable in the other segment. The lap
    /// begins when redb says so; see `turn`.
    pub(crate) fn prepare_turn(&self) -> io::Result<()> {
        let header = wire::Segment { lap: self.header.lap + 1, ..self.header.clone() };
        write_header(self.file(header.lap), &header)
    }

    /// Goes over to the prepared lap, which redb has recorded, and writes its
    /// first frame: from here on the lap shows even if redb should forget it.
    pub(crate) fn turn(&mut self, seq: u64) -> io::Result<()> {
        self.header.lap += 1;
        self.next_block = HEADER_BLOCKS;
        self.write(seq, &empty())
    }

    /// Goes over to the next lap before redb has recorded it, and leaves the mark
    /// that says so. The other segment's lap must be absorbed.
    pub(crate) fn go_over(&mut self, seq: u64) -> io::Result<()> {
        self.prepare_turn()?;
        self.write(seq, &empty())?;
        self.header.lap += 1;
        self.next_block = HEADER_BLOCKS;
        Ok(())
    }
}

/// The payload of a frame that only says that it is there.
fn empty() -> Vec<u8> {
    seal(Kind::Group, &wire::Group::default())
}

fn write_header(file: &dyn File, header: &wire::Segment) -> io::Result<()> {
    let mut block = seal(Kind::Segment, header);
    let len = u32::try_from(block.len()).map_err(io::Error::other)?;
    block.splice(0..0, len.to_le_bytes());
    block.resize(BLOCK_BYTES, 0);
    file.write_at(0, &[block.as_slice(), block.as_slice()].concat())?;
    file.sync_data()
}

/// Fills new segments with real zeros, and begins lap 0.
pub(crate) fn preallocate(files: [Arc<dyn File>; 2], identity: &Identity, segment_bytes: u64) -> io::Result<()> {
    let wal = Wal::new(files, identity, segment_bytes, 0);
    for file in &wal.files {
        let mut done = 0;
        while done < segment_bytes {
            let len = (segment_bytes - done).min(ZEROS.len() as u64);
            file.write_at(done, ZEROS.get(..usize::try_from(len).unwrap_or(0)).unwrap_or(&ZEROS))?;
            done += len;
        }
        file.sync_data()?;
    }
    write_header(wal.file(0), &wal.header)
}

/// How many blocks one copy of a frame takes.
fn blocks(payload_len: usize) -> u64 {
    (FRAME_HEADER_BYTES + payload_len).div_ceil(BLOCK_BYTES) as u64
}

/// One copy, padded: magic, crc32c of the rest, lap, sequence, first block, length, payload.
pub(crate) fn encode(lap: u64, seq: u64, start: u64, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len() + BLOCK_BYTES);
    rest.extend_from_slice(&MAGIC);
    rest.extend_from_slice(&[0; 4]);
    rest.extend_from_slice(&lap.to_le_bytes());
    rest.extend_from_slice(&seq.to_le_bytes());
    rest.extend_from_slice(&(start as u32).to_le_bytes());
    rest.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    rest.extend_from_slice(payload);
    let crc = crc32c::crc32c(rest.get(8..).unwrap_or_default());
    if let Some(slot) = rest.get_mut(4..8) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    rest.resize(rest.len().next_multiple_of(BLOCK_BYTES), 0);
    rest
}

/// A valid copy of a frame.
#[derive(Debug)]
struct Frame {
    seq: u64,
    start: u64,
    payload: Vec<u8>,
}

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

    /// The valid copy of a frame at `block`, if there is one and it is of a lap that is `wanted`.
    fn frame(&self, block: u64, wanted: impl Fn(u64) -> bool) -> Result<Option<Frame>, Fault> {
        let offset = block.saturating_mul(BLOCK_BYTES as u64);
        let Some(room) = self.bytes.checked_sub(offset.saturating_add(FRAME_HEADER_BYTES as u64)) else {
            return Ok(None);
        };
        let mut header = [0; FRAME_HEADER_BYTES];
        self.file.read_at(offset, &mut header)?;
        let [m0, m1, m2, m3, c0, c1, c2, c3, covered @ ..] = header;
        let (lap, rest) = u64_of(&covered);
        let (seq, rest) = u64_of(rest);
        let (start, rest) = u32_of(rest);
        let (len, _) = u32_of(rest);
        if [m0, m1, m2, m3] != MAGIC || !wanted(lap) || u64::from(len) > room {
            return Ok(None);
        }
        let mut payload = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.file.read_at(offset + FRAME_HEADER_BYTES as u64, &mut payload)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&covered), &payload);
        let valid = crc == u32::from_le_bytes([c0, c1, c2, c3]);
        #[cfg(planted_bugs)]
        let valid = valid || crate::planted::active(crate::planted::Bug::NothingChecked);
        Ok(valid.then_some(Frame { seq, start: start.into(), payload }))
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

fn u64_of(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk().map_or((0, bytes), |(first, rest)| (u64::from_le_bytes(*first), rest))
}

fn u32_of(bytes: &[u8]) -> (u32, &[u8]) {
    bytes.split_first_chunk().map_or((0, bytes), |(first, rest)| (u32::from_le_bytes(*first), rest))
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

/// The name of the segment that `lap` uses.
pub(crate) fn name(lap: u64) -> &'static str {
    let [even, odd] = NAMES;
    if lap.is_multiple_of(2) { even } else { odd }
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
