//! Reading a backup, and believing none of it before its hash was seen to be right.

use super::{Backup, BackupError, BackupMeta, CHUNK_MAX_BYTES, HEADER_MAX_BYTES, Header, MAGIC, damaged};
use bytes::Bytes;
use prost::Message;
use std::io::{ErrorKind, Read};

struct Reader<R> {
    from: R,
    hash: blake3::Hasher,
}

impl<R: Read> Reader<R> {
    fn exact<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn many(&mut self, length: u32, max: u32) -> Result<Vec<u8>, BackupError> {
        if length > max {
            return Err(damaged(format!("a part of it has {length} bytes")));
        }
        // A length that was damaged costs no more memory than the file has bytes.
        let mut bytes = Vec::new();
        self.from.by_ref().take(length.into()).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != u64::from(length) {
            return Err(damaged("it is cut short"));
        }
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, BackupError> {
        Ok(u32::from_le_bytes(self.exact()?))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => damaged("it is cut short"),
            _ => error.into(),
        })
    }
}

impl Backup {
    /// Reads a whole backup and verifies it: every byte is under its hash.
    pub fn read(from: impl Read) -> Result<Self, BackupError> {
        let mut reader = Reader { from, hash: blake3::Hasher::new() };
        if reader.exact()? != *MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        let length = reader.number()?;
        let header = reader.many(length, HEADER_MAX_BYTES)?;
        if reader.number()? != crc32c::crc32c(&header) {
            return Err(damaged("its header does not match its checksum"));
        }
        let header = Header::decode(&*header).map_err(|_| damaged("its header is no message"))?;
        let meta = BackupMeta::try_from(header)?;
        let mut chunks = Vec::new();
        loop {
            match reader.number()? {
                0 => break,
                length => chunks.push(reader.chunk(length, chunks.len())?),
            }
        }
        let count = u64::from_le_bytes(reader.exact()?);
        let expected = reader.hash.finalize();
        let found: [u8; 32] = reader.exact()?;
        if expected != found || count != chunks.len() as u64 {
            return Err(damaged("it does not match its hash"));
        }
        match reader.from.read(&mut [0])? {
            0 => Ok(Self { meta, chunks }),
            _ => Err(damaged("it goes on after its end")),
        }
    }
}

impl<R: Read> Reader<R> {
    fn chunk(&mut self, length: u32, at: usize) -> Result<Bytes, BackupError> {
        let sum = self.number()?;
        let chunk = self.many(length, CHUNK_MAX_BYTES)?;
        if crc32c::crc32c(&chunk) != sum {
            return Err(damaged(format!("chunk {at} does not match its checksum")));
        }
        Ok(chunk.into())
    }
}
