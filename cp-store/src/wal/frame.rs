//! A frame: what one copy of it is, and whether it is valid.

use super::BLOCK_BYTES;
use crate::backend::File;
use crate::fault::Fault;
use std::io;

const HEADER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"cpwf";

/// How many blocks one copy of a frame takes.
pub(super) fn blocks(payload_len: usize) -> u64 {
    (HEADER_BYTES + payload_len).div_ceil(BLOCK_BYTES) as u64
}

/// One copy, padded: magic, crc32c of the rest, lap, sequence, first block, length, payload.
pub(crate) fn encode(lap: u64, seq: u64, start: u64, payload: &[u8]) -> Vec<u8> {
    let mut copy = Vec::new();
    encode_to(&mut copy, lap, seq, start, payload);
    copy
}

/// As `encode`, into an empty buffer.
pub(super) fn encode_to(out: &mut Vec<u8>, lap: u64, seq: u64, start: u64, payload: &[u8]) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lap.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&(start as u32).to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(out.get(8..).unwrap_or_default());
    if let Some(slot) = out.get_mut(4..8) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
}

/// A valid copy of a frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) seq: u64,
    pub(super) start: u64,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The valid copy of a frame at `block` of a segment of so many bytes, if there is
    /// one and it is of a lap that is `wanted`.
    pub(super) fn read(
        segment: &dyn File,
        bytes: u64,
        block: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Option<Self>, Fault> {
        let offset = block.saturating_mul(BLOCK_BYTES as u64);
        let Some(room) = bytes.checked_sub(offset.saturating_add(HEADER_BYTES as u64)) else {
            return Ok(None);
        };
        let mut header = [0; HEADER_BYTES];
        segment.read_at(offset, &mut header)?;
        let [m0, m1, m2, m3, c0, c1, c2, c3, covered @ ..] = header;
        let (lap, rest) = u64_of(&covered);
        let (seq, rest) = u64_of(rest);
        let (start, rest) = u32_of(rest);
        let (len, _) = u32_of(rest);
        if [m0, m1, m2, m3] != MAGIC || !wanted(lap) || u64::from(len) > room {
            return Ok(None);
        }
        let mut payload = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        segment.read_at(offset + HEADER_BYTES as u64, &mut payload)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&covered), &payload);
        let valid = crc == u32::from_le_bytes([c0, c1, c2, c3]);
        #[cfg(planted_bugs)]
        let valid = valid || crate::planted::active(crate::planted::Bug::NothingChecked);
        Ok(valid.then_some(Self { seq, start: start.into(), payload }))
    }
}

fn u64_of(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk().map_or((0, bytes), |(first, rest)| (u64::from_le_bytes(*first), rest))
}

fn u32_of(bytes: &[u8]) -> (u32, &[u8]) {
    bytes.split_first_chunk().map_or((0, bytes), |(first, rest)| (u32::from_le_bytes(*first), rest))
}
