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
use crate::codec::{Kind, seal};
use crate::identity::Identity;
use crate::wire;
use frame::{blocks, encode_to};
use std::io;
use std::mem;
use std::sync::Arc;

mod frame;
mod replay;

pub(crate) use frame::encode;
pub(crate) use replay::{End, read_frame, replay};

/// Their names.
pub(crate) const NAMES: [&str; 2] = ["wal-0", "wal-1"];

/// The unit of alignment: a page, so that the page cache never rewrites an acknowledged frame either.
pub(crate) const BLOCK_BYTES: usize = 4096;
const HEADER_BLOCKS: u64 = 2;
/// What an empty frame takes.
const EMPTY_BLOCKS: u64 = 2;
static ZEROS: [u8; 16 * BLOCK_BYTES] = [0; 16 * BLOCK_BYTES];

/// A frame that was longer leaves no more than this behind.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

/// The smallest segment that makes sense.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 10 * BLOCK_BYTES as u64;

/// The current segment, being written.
#[derive(Debug)]
pub(crate) struct Wal {
    files: [Arc<dyn File>; 2],
    header: wire::Segment,
    next_block: u64,
    /// Both copies of a frame, as they are written; kept for the next one.
    buffer: Vec<u8>,
}

impl Wal {
    pub(crate) fn new(files: [Arc<dyn File>; 2], identity: &Identity, segment_bytes: u64, lap: u64) -> Self {
        let cluster = identity.cluster.0.to_vec();
        let header = wire::Segment { lap, segment_bytes, cluster, incarnation: identity.incarnation.0 };
        Self { files, header, next_block: HEADER_BLOCKS, buffer: Vec::new() }
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
        let mut both = mem::take(&mut self.buffer);
        both.clear();
        encode_to(&mut both, self.header.lap, seq, self.next_block, payload);
        both.extend_from_within(..);
        let file = self.file(self.header.lap);
        file.write_at(self.next_block * BLOCK_BYTES as u64, &both)?;
        file.sync_data()?;
        both.clear();
        both.shrink_to(BUFFER_BYTES_KEPT);
        self.buffer = both;
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

/// The name of the segment that `lap` uses.
pub(crate) fn name(lap: u64) -> &'static str {
    let [even, odd] = NAMES;
    if lap.is_multiple_of(2) { even } else { odd }
}
