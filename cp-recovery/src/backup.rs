//! The backup file: one state, complete, versioned, with its hash inside.
//!
//! ```text
//! magic | header length (u32 LE) | header | crc32c of the header (u32 LE)
//! chunk length (u32 LE, not 0) | crc32c (u32 LE) | chunk        as often as needed
//! 0 (u32 LE) | number of chunks (u64 LE) | BLAKE3 of all bytes before
//! ```
//!
//! It ends there. A file that was cut, extended or changed anywhere is refused.

mod file;
mod read;
mod write;

pub use file::{Draft, FileError, load};
pub use write::Writer;

use crate::error::Violations;
use bytes::Bytes;
use cp_catalog::Catalog;
use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, LogPosition, MemberId, SnapshotError, StateDigest, Term};
use cp_store::{TermRun, TermRuns};
use prost::Message;

/// The format that this release writes, and the newest that it reads.
pub const BACKUP_FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"cpback01";
/// No header is longer; a longer one is damaged.
const HEADER_MAX_BYTES: u32 = 16 << 20;
/// No chunk is longer; a longer one is damaged.
const CHUNK_MAX_BYTES: u32 = 1 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupMeta {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its generation.
    pub generation: Generation,
    /// The member whose state it is.
    pub member: MemberId,
    /// The engine that it ran.
    pub engine: String,
    /// The last position whose effect is in the state.
    pub position: LogPosition,
    /// Up to where that was known to be committed.
    pub committed: ControlPlaneLogIndex,
    /// The history of terms up to `position`.
    pub terms: TermRuns,
    /// The digest of the state.
    pub digest: StateDigest,
}

/// A whole backup, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// What it says of itself.
    pub meta: BackupMeta,
    /// The state, in chunks.
    pub chunks: Vec<Bytes>,
}

impl Backup {
    /// The state, as it was kept: it has the digest that the backup says.
    pub fn state(&self) -> Result<Catalog, BackupError> {
        let catalog = Catalog::from_chunks(&self.chunks)?;
        let found = catalog.digest();
        if found != self.meta.digest {
            return Err(SnapshotError::Digest { expected: self.meta.digest, found }.into());
        }
        let same = catalog.cluster() == Some(self.meta.cluster) && catalog.generation() == self.meta.generation;
        if same { Ok(catalog) } else { Err(damaged("its state is of another cluster or generation than its header")) }
    }

    /// The state to go on from: [`state`](Self::state), if that breaks no invariant.
    pub fn catalog(&self) -> Result<Catalog, BackupError> {
        let catalog = self.state()?;
        match Violations::of(&catalog) {
            Some(violations) => Err(violations.into()),
            None => Ok(catalog),
        }
    }
}

/// A backup that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It is not what was written.
    #[error("the backup is damaged: {what}; take another one")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// A newer release wrote it.
    #[error("the backup has format {found}, this release reads up to {BACKUP_FORMAT}; use a newer release")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is what was written, and the state was wrong then.
    #[error("the backup is whole, and nobody should go on from it; restore an earlier one, or another member's")]
    Violations(#[from] Violations),
    /// Its state is not one.
    #[error("the backup's state cannot be rebuilt; take another backup")]
    State(#[from] SnapshotError),
    /// Reading or writing failed.
    #[error("reading or writing the backup failed")]
    Io(#[from] std::io::Error),
}

fn damaged(what: impl Into<String>) -> BackupError {
    BackupError::Damaged { what: what.into() }
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "vec", tag = "2")]
    cluster: Vec<u8>,
    #[prost(uint32, tag = "3")]
    generation: u32,
    #[prost(bytes = "vec", tag = "4")]
    generation_id: Vec<u8>,
    #[prost(string, tag = "5")]
    member: String,
    #[prost(string, tag = "6")]
    engine: String,
    #[prost(uint64, tag = "7")]
    term: u64,
    #[prost(uint64, tag = "8")]
    index: u64,
    #[prost(uint64, tag = "9")]
    committed: u64,
    /// Term and first index of each run, one after the other.
    #[prost(uint64, repeated, tag = "10")]
    terms: Vec<u64>,
    #[prost(bytes = "vec", tag = "11")]
    digest: Vec<u8>,
}

impl From<&BackupMeta> for Header {
    fn from(meta: &BackupMeta) -> Self {
        Self {
            format: BACKUP_FORMAT,
            cluster: meta.cluster.0.to_vec(),
            generation: meta.generation.number.into(),
            generation_id: meta.generation.id.to_vec(),
            member: meta.member.to_string(),
            engine: meta.engine.clone(),
            term: meta.position.term.0,
            index: meta.position.index.0,
            committed: meta.committed.0,
            terms: meta.terms.0.iter().flat_map(|run| [run.term.0, run.first.0]).collect(),
            digest: meta.digest.0.to_vec(),
        }
    }
}

impl TryFrom<Header> for BackupMeta {
    type Error = BackupError;

    fn try_from(header: Header) -> Result<Self, BackupError> {
        if header.format > BACKUP_FORMAT {
            return Err(BackupError::Newer { found: header.format });
        }
        let number = header.generation.try_into().map_err(|_| damaged("its generation is out of range"))?;
        let run = |pair: &[u64]| match *pair {
            [term, first] => Ok(TermRun { term: Term(term), first: ControlPlaneLogIndex(first) }),
            _ => Err(damaged("its history of terms is cut")),
        };
        Ok(Self {
            cluster: ClusterId(fixed(&header.cluster, "cluster id")?),
            generation: Generation { number, id: fixed(&header.generation_id, "generation id")? },
            member: MemberId::new(&header.member).map_err(|bad| damaged(bad.to_string()))?,
            engine: header.engine,
            position: LogPosition::new(Term(header.term), ControlPlaneLogIndex(header.index)),
            committed: ControlPlaneLogIndex(header.committed),
            terms: TermRuns(header.terms.chunks(2).map(run).collect::<Result<_, _>>()?),
            digest: StateDigest(fixed(&header.digest, "digest")?),
        })
    }
}

/// The bytes of the header that says `meta`.
pub(crate) fn header_of(meta: &BackupMeta) -> Vec<u8> {
    Header::from(meta).encode_to_vec()
}

fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], BackupError> {
    bytes.try_into().map_err(|_| damaged(format!("its {what} has not {N} bytes")))
}

#[cfg(test)]
mod tests;
