//! Writing a backup, chunk by chunk.

use super::{BackupError, BackupMeta, CHUNK_MAX_BYTES, MAGIC, damaged, header_of};
use std::fmt;
use std::io::Write;

/// A backup being written.
pub struct Writer<W> {
    out: W,
    hash: blake3::Hasher,
    chunks: u64,
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("chunks", &self.chunks).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Begins a backup of the state that `meta` describes.
    pub fn begin(out: W, meta: &BackupMeta) -> Result<Self, BackupError> {
        Self::under(out, &header_of(meta))
    }

    /// Begins one with the bytes of its header.
    pub(crate) fn under(out: W, header: &[u8]) -> Result<Self, BackupError> {
        let mut writer = Self { out, hash: blake3::Hasher::new(), chunks: 0 };
        let length = u32::try_from(header.len()).map_err(|_| damaged("its header is too long"))?;
        writer.put(MAGIC)?;
        writer.put(&length.to_le_bytes())?;
        writer.put(header)?;
        writer.put(&crc32c::crc32c(header).to_le_bytes())?;
        Ok(writer)
    }

    /// Adds the next chunk of the state: 1 byte to 1 MiB.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), BackupError> {
        let length = u32::try_from(chunk.len()).ok().filter(|length| (1..=CHUNK_MAX_BYTES).contains(length));
        let length = length.ok_or_else(|| damaged(format!("a chunk has {} bytes", chunk.len())))?;
        self.put(&length.to_le_bytes())?;
        self.put(&crc32c::crc32c(chunk).to_le_bytes())?;
        self.put(chunk)?;
        self.chunks += 1;
        Ok(())
    }

    /// Ends it with its hash. What it is written to must still be made durable.
    pub fn finish(mut self) -> Result<W, BackupError> {
        let chunks = self.chunks;
        self.put(&0_u32.to_le_bytes())?;
        self.put(&chunks.to_le_bytes())?;
        let hash = self.hash.finalize();
        self.out.write_all(hash.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.hash.update(bytes);
        Ok(self.out.write_all(bytes)?)
    }
}
