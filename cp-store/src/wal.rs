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
//! - A lap begins with an empty frame, written once redb has named the lap. A
//!   database that reads as if it had not been told of the lap has lost a commit.
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
/// Where the second frame begins.
const FIRST_BLOCKS: u64 = HEADER_BLOCKS + 2;
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

    /// Whether a frame fits what is left of the segment.
    pub(crate) fn fits(&self, payload_len: usize) -> bool {
        self.next_block.saturating_add(2 * blocks(payload_len)) <= self.header.segment_bytes / BLOCK_BYTES as u64
    }

    /// Whether a frame fits a segment that holds nothing but its first frame.
    pub(crate) fn fits_empty(&self, payload_len: usize) -> bool {
        FIRST_BLOCKS.saturating_add(2 * blocks(payload_len)) <= self.header.segment_bytes / BLOCK_BYTES as u64
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
        self.write(seq, &seal(Kind::Group, &wire::Group::default()))
    }
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
struct Frame<'a> {
    lap: u64,
    seq: u64,
    start: u64,
    payload: &'a [u8],
}

fn decode(segment: &[u8], block: u64) -> Option<Frame<'_>> {
    let copy = segment.get(usize::try_from(block).ok()?.checked_mul(BLOCK_BYTES)?..)?;
    let (magic, copy) = copy.split_first_chunk::<4>()?;
    if *magic != MAGIC {
        return None;
    }
    let (crc, covered) = copy.split_first_chunk::<4>()?;
    let (lap, rest) = covered.split_first_chunk::<8>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (start, rest) = rest.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let payload = rest.get(..len)?;
    let covered = covered.get(..FRAME_HEADER_BYTES - 8 + len)?;
    (crc32c::crc32c(covered) == u32::from_le_bytes(*crc)).then(|| Frame {
        lap: u64::from_le_bytes(*lap),
        seq: u64::from_le_bytes(*seq),
        start: u32::from_le_bytes(*start).into(),
        payload,
    })
}

/// Reads the frames of the current lap in order, those after `absorbed`.
///
/// Writes nothing: after a crash in the middle of recovery it reads the same again.
pub(crate) fn replay(
    files: &[Arc<dyn File>; 2],
    identity: &Identity,
    base: &wire::State,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), Fault>,
) -> Result<(), (usize, Fault)> {
    let wal = Wal::new(files.clone(), identity, base.segment_bytes, base.lap);
    let current = usize::from(!base.lap.is_multiple_of(2));
    let fault = |which: usize| move |fault: Fault| (which, fault);
    let other = load(wal.file(base.lap + 1), base.segment_bytes).map_err(fault(1 - current))?;
    if (0..blocks_of(&other)).filter_map(|block| decode(&other, block)).any(|frame| frame.lap > base.lap) {
        return Err((1 - current, Bad::damaged("it is ahead of the database, which has lost a commit").into()));
    }
    let segment = load(wal.file(base.lap), base.segment_bytes).map_err(fault(current))?;
    check_header(&segment, &wal.header).map_err(fault(current))?;

    let mut block = HEADER_BLOCKS;
    let mut seq = base.seq + 1;
    loop {
        let here = |frame: &Frame<'_>| frame.lap == base.lap && frame.start == block && frame.seq == seq;
        let frame = match decode(&segment, block).filter(here) {
            Some(frame) => frame,
            None => match find_later(&segment, block, base.lap) {
                None => return Ok(()),
                Some((at, copy)) if here(&copy) && at == block + blocks(copy.payload.len()) => {
                    tracing::warn!(seq, "a damaged write-ahead frame was read from its second copy");
                    copy
                }
                Some((at, _)) => {
                    let what = format!("write {seq} at block {block} is unreadable, and block {at} follows it");
                    return Err((current, Bad::Damaged(what).into()));
                }
            },
        };
        each(seq, frame.payload).map_err(fault(current))?;
        block += 2 * blocks(frame.payload.len());
        seq += 1;
    }
}

fn find_later(segment: &[u8], block: u64, lap: u64) -> Option<(u64, Frame<'_>)> {
    (block + 1..blocks_of(segment)).filter_map(|at| Some((at, decode(segment, at)?))).find(|(_, f)| f.lap == lap)
}

fn blocks_of(segment: &[u8]) -> u64 {
    (segment.len() / BLOCK_BYTES) as u64
}

fn load(file: &dyn File, segment_bytes: u64) -> Result<Vec<u8>, Fault> {
    let len = file.len()?;
    if len != segment_bytes {
        return Err(Bad::damaged(format!("it has {len} bytes, not {segment_bytes}")).into());
    }
    let mut segment = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_at(0, &mut segment)?;
    Ok(segment)
}

fn check_header(segment: &[u8], expected: &wire::Segment) -> Result<(), Fault> {
    let read = |copy: usize| -> Result<wire::Segment, Bad> {
        let block = segment.get(copy * BLOCK_BYTES..).unwrap_or_default();
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
