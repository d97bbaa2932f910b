//! A node's directory while the node is not running, held under its lock.

use crate::backend::Directory;
use crate::create::{furnish, write_identity};
use crate::error::{CreateError, OpenError};
use crate::fault::Fault;
use crate::file_set::{Home, Scoped, remove_sets};
use crate::identity::{self, Identity};
use crate::open::{inspect, locked};
use crate::snapshot_file::Body;
use crate::store::{Founding, Inspection};
use bytes::Bytes;
use cp_seam::LastVote;
use std::fmt::Debug;
use std::sync::Arc;

/// A directory that nobody else has open, for offline tools (CP-R2).
///
/// Everything was verified when it was opened; nothing is changed before
/// [`replace`](Self::replace). Dropping it lets the directory go.
#[derive(Debug)]
pub struct Offline {
    dir: Arc<dyn Directory>,
    guard: Box<dyn Debug + Send + Sync>,
    home: Home,
    segment_bytes: u64,
    inspection: Inspection,
    body: Arc<Body>,
}

impl Offline {
    /// Takes the directory and reads it; it may be read-only. Blocks.
    ///
    /// Errors: a running node holds it, there is no node in it, or it is damaged.
    pub fn open(dir: Arc<dyn Directory>) -> Result<Self, OpenError> {
        let guard = locked(dir.as_ref())?;
        let (inspection, recovered, home) = inspect(dir.as_ref())?;
        let snapshot = &recovered.state.snapshot;
        let body = snapshot
            .body
            .clone()
            .ok_or_else(|| OpenError::Lost { file: snapshot.file.clone(), member: home.member.clone() })?;
        Ok(Self { dir, guard, home, segment_bytes: recovered.base.segment_bytes, inspection, body })
    }

    /// What it holds.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The chunks of its snapshot, each verified.
    pub fn snapshot_chunks(&self) -> Result<Vec<Bytes>, OpenError> {
        let mut chunks = Vec::new();
        for ordinal in 0..self.body.chunk_count() {
            chunks.extend(self.body.chunk(ordinal).map_err(|fault| fault.opening("the snapshot"))?);
        }
        Ok(chunks)
    }

    /// Replaces the node in it by the one of `identity`, which has voted `vote`
    /// and starts from `founding`. Durable when it returns.
    ///
    /// Atomic: a crash or an error at any point leaves the old node or the new
    /// one, whole. Both sets of files are there until the identity file is
    /// renamed; the next opening removes the one that it does not name. The sizes
    /// that were fixed when the directory was made stay.
    ///
    /// Errors: the old node is there still, unless it is [`CreateError::Unknown`].
    pub fn replace(self, identity: &Identity, founding: Founding, vote: LastVote) -> Result<(), CreateError> {
        let Self { dir, guard, home, segment_bytes, .. } = self;
        let set = home.set.checked_add(1).ok_or_else(|| CreateError::Io {
            file: identity::NAME.to_owned(),
            source: std::io::Error::other("the file sets are used up"),
        })?;
        remove_sets(dir.as_ref(), |found| found != home.set).map_err(|e| Fault::from(e).creating("the directory"))?;
        furnish(&Scoped::new(Arc::clone(&dir), set), identity, founding, vote, segment_bytes)?;
        write_identity(dir.as_ref(), &Home { identity: identity.clone(), set })
            .map_err(|source| CreateError::Unknown { file: identity::NAME.to_owned(), source })?;
        drop(guard);
        Ok(())
    }
}
