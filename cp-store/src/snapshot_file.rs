//! The file of a snapshot body.
//!
//! ```text
//! chunks, one after the other | sealed footer | footer length (u64 LE) | magic
//! ```
//!
//! The footer holds the metadata, each chunk's length and crc32c, and the BLAKE3
//! of all chunks. The pointer in the log of writes holds the BLAKE3 of the
//! footer, so a file that was swapped or rolled back is noticed.

use crate::backend::{Directory, File};
use crate::codec::{Bad, Kind, seal, unseal};
use crate::convert::array;
use crate::fault::Fault;
use crate::snapshot::SnapshotMeta;
use crate::state::Pointer;
use crate::wire;
use bytes::Bytes;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"cpsnap01";
const TRAILER_LEN: u64 = 16;
const FOOTER_MAX_BYTES: u64 = 256 << 20;

const PREFIX: &str = "snapshot-";

/// The name of the file that is the `stage`th of a boot.
pub(crate) fn name(boot: u64, stage: u64) -> String {
    format!("{PREFIX}{boot}-{stage}")
}

/// Whether [`name`] gives this name.
pub(crate) fn is_name(text: &str) -> bool {
    let numbers = text.strip_prefix(PREFIX).and_then(|numbers| numbers.split_once('-'));
    numbers.is_some_and(|(boot, stage)| [boot, stage].into_iter().all(|text| number::<u64>(text).is_some()))
}

/// The number that is written as `text`, with no sign and no leading zero.
pub(crate) fn number<N: FromStr + ToString>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| number.to_string() == text)
}

/// A sealed file, open for reading.
#[derive(Debug)]
pub(crate) struct Body {
    file: Arc<dyn File>,
    chunks: Vec<Slot>,
    hash: [u8; 32],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u64,
    len: u32,
    crc: u32,
}

impl Body {
    pub(crate) fn chunk_count(&self) -> u64 {
        self.chunks.len() as u64
    }

    /// The BLAKE3 of all chunks.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The chunk at `ordinal`, verified.
    pub(crate) fn chunk(&self, ordinal: u64) -> Result<Option<Bytes>, Fault> {
        let slot = usize::try_from(ordinal).ok().and_then(|i| self.chunks.get(i));
        slot.map(|slot| {
            let mut chunk = vec![0; slot.len as usize];
            self.file.read_at(slot.offset, &mut chunk)?;
            if crc32c::crc32c(&chunk) != slot.crc {
                return Err(Bad::damaged(format!("chunk {ordinal} does not match its checksum")).into());
            }
            Ok(chunk.into())
        })
        .transpose()
    }
}

/// A file being written.
#[derive(Debug)]
pub(crate) struct Draft {
    name: String,
    file: Arc<dyn File>,
    chunks: Vec<Slot>,
    len: u64,
    unsynced: u64,
    hash: blake3::Hasher,
}

/// A draft is synced as often as this, so that the fsync of a large one does not
/// hold up the votes and entries that wait behind it.
const UNSYNCED_BYTES_MAX: u64 = 1 << 20;

impl Draft {
    pub(crate) fn create(dir: &dyn Directory, name: &str) -> io::Result<Self> {
        let file = dir.create(&temporary(name))?;
        let (name, chunks, hash) = (name.to_owned(), Vec::new(), blake3::Hasher::new());
        Ok(Self { name, file, chunks, len: 0, unsynced: 0, hash })
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) -> io::Result<()> {
        let len = u32::try_from(chunk.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.file.write_at(self.len, chunk)?;
        self.chunks.push(Slot { offset: self.len, len, crc: crc32c::crc32c(chunk) });
        self.len += u64::from(len);
        self.hash.update(chunk);
        self.unsynced += u64::from(len);
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Makes the file and its name durable.
    pub(crate) fn seal(self, dir: &dyn Directory, meta: SnapshotMeta) -> io::Result<Pointer> {
        let hash = *self.hash.finalize().as_bytes();
        let footer = wire::Footer {
            meta: (&meta).into(),
            chunks: self.chunks.iter().map(|slot| wire::Chunk { len: slot.len, crc: slot.crc }).collect(),
            body_hash: hash.to_vec(),
        };
        let mut tail = seal(Kind::Footer, &footer);
        let footer_hash = *blake3::hash(&tail).as_bytes();
        let footer_len = tail.len() as u64;
        tail.extend_from_slice(&footer_len.to_le_bytes());
        tail.extend_from_slice(MAGIC);
        self.file.write_at(self.len, &tail)?;
        self.file.sync_data()?;
        dir.rename(&temporary(&self.name), &self.name)?;
        dir.sync()?;
        let body = Some(Arc::new(Body { file: self.file, chunks: self.chunks, hash }));
        Ok(Pointer { file: self.name, footer_hash, meta, body })
    }

    /// Whether `name` is this file's.
    pub(crate) fn is_at(&self, name: &str) -> bool {
        name == temporary(&self.name)
    }

    /// Removes the unfinished file.
    pub(crate) fn abandon(self, dir: &dyn Directory) -> io::Result<()> {
        dir.remove(&temporary(&self.name))
    }
}

const TEMPORARY: &str = ".tmp";

/// The name under which a file is written.
pub(crate) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// The name that a file has once it is written, of this or of its temporary name.
pub(crate) fn settled(name: &str) -> &str {
    name.strip_suffix(TEMPORARY).unwrap_or(name)
}

/// Opens and verifies the whole file that `pointer` names.
pub(crate) fn verify(file: Arc<dyn File>, pointer: &Pointer) -> Result<Body, Fault> {
    let (footer, footer_start) = read_footer(file.as_ref(), &pointer.footer_hash)?;
    let meta: SnapshotMeta = footer.meta.try_into()?;
    if meta != pointer.meta {
        return Err(Bad::damaged("its metadata are not those it was sealed with").into());
    }
    let mut chunks = Vec::with_capacity(footer.chunks.len());
    let mut offset = 0_u64;
    for chunk in &footer.chunks {
        chunks.push(Slot { offset, len: chunk.len, crc: chunk.crc });
        offset = offset.saturating_add(chunk.len.into());
    }
    if offset != footer_start {
        return Err(Bad::damaged("its chunks do not fill it").into());
    }
    let body = Body { file, chunks, hash: array::<32>(&footer.body_hash, "the body hash")? };
    let mut hash = blake3::Hasher::new();
    for ordinal in 0..body.chunk_count() {
        if let Some(chunk) = body.chunk(ordinal)? {
            hash.update(&chunk);
        }
    }
    if *hash.finalize().as_bytes() != body.hash {
        return Err(Bad::damaged("its body does not match its hash").into());
    }
    Ok(body)
}

fn read_footer(file: &dyn File, footer_hash: &[u8; 32]) -> Result<(wire::Footer, u64), Fault> {
    let short = || Fault::from(Bad::damaged("it is shorter than its footer"));
    let trailer_start = file.len()?.checked_sub(TRAILER_LEN).ok_or_else(short)?;
    let mut len = [0; 8];
    let mut magic = [0; 8];
    file.read_at(trailer_start, &mut len)?;
    file.read_at(trailer_start + 8, &mut magic)?;
    let len = u64::from_le_bytes(len);
    let footer_start = trailer_start.checked_sub(len).ok_or_else(short)?;
    if magic != *MAGIC || len > FOOTER_MAX_BYTES {
        return Err(Bad::damaged("its trailer is not one").into());
    }
    let mut sealed = vec![0; usize::try_from(len).map_err(|_| short())?];
    file.read_at(footer_start, &mut sealed)?;
    let footer = unseal(Kind::Footer, &sealed)?;
    if blake3::hash(&sealed).as_bytes() != footer_hash {
        return Err(Bad::damaged("its footer is not the one it was sealed with").into());
    }
    Ok((footer, footer_start))
}
