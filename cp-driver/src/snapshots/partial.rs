//! What has been pulled of a snapshot so far.
//!
//! It outlives the transfer that pulled it: a link that was lost, a sender that was
//! replaced by another with the same snapshot, and what was pulled stays pulled.

use crate::host::Host;
use crate::wire::{BadFrame, Offer, required};
use bytes::Bytes;
use cp_seam::{LogPosition, SnapshotReader, SnapshotWriter};
use cp_store::{SnapshotMeta, Stage, Staged};

/// How many chunks a snapshot may have: 64 GiB of them.
const CHUNKS_MAX: u64 = 1 << 16;

/// The beginning of a snapshot: its chunks are on disk, and in a state that is being tried.
#[derive(Debug)]
pub(crate) struct Partial {
    meta: SnapshotMeta,
    chunk_count: u64,
    hash: [u8; 32],
    stage: Stage,
    trial: Box<dyn SnapshotWriter>,
    hasher: blake3::Hasher,
    next: u64,
}

impl Partial {
    /// Nothing yet of what `offer` is of.
    pub(crate) fn begin(host: &Host, offer: &Offer) -> Result<Self, String> {
        let meta = required(offer.meta.clone(), "meta").and_then(SnapshotMeta::try_from);
        let meta = meta.map_err(|error: BadFrame| error.to_string())?;
        if offer.chunk_count > CHUNKS_MAX {
            return Err(format!("it has {} chunks; at most {CHUNKS_MAX} are taken", offer.chunk_count));
        }
        let hash = <[u8; 32]>::try_from(offer.hash.as_ref())
            .map_err(|_| format!("its hash has {} bytes, not 32", offer.hash.len()))?;
        let trial = host.parts.state.restore().map_err(|halt| halt.reason)?;
        let (stage, hasher) = (host.store().stage(), blake3::Hasher::new());
        Ok(Self { meta, chunk_count: offer.chunk_count, hash, stage, trial, hasher, next: 0 })
    }

    /// Whether this is the beginning of what `other` is to be.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        (&self.meta, self.chunk_count, self.hash) == (&other.meta, other.chunk_count, other.hash)
    }

    /// Where the snapshot ends.
    pub(crate) fn position(&self) -> LogPosition {
        self.meta.position
    }

    /// The chunk that is wanted next; none once all are there.
    pub(crate) fn wants(&self) -> Option<u64> {
        (self.next < self.chunk_count).then_some(self.next)
    }

    /// Takes that chunk. After an error this is good for nothing.
    pub(crate) async fn push(&mut self, chunk: Bytes) -> Result<(), String> {
        if chunk.len() > <dyn SnapshotReader>::CHUNK_MAX_BYTES {
            return Err(format!("chunk {} has {} bytes", self.next, chunk.len()));
        }
        self.hasher.update(&chunk);
        self.trial.push(chunk.clone()).map_err(|error| crate::chain(&error))?;
        self.stage.push(chunk).await.map_err(|failure| crate::chain(&failure))?;
        self.next += 1;
        Ok(())
    }

    /// The whole snapshot, if it is the one that was offered and restores to the state
    /// that it is of. Nothing has been installed, and nothing stops if it is not (CP-R1).
    pub(crate) async fn seal(self) -> Result<Staged, String> {
        if *self.hasher.finalize().as_bytes() != self.hash {
            return Err("its chunks do not have the hash that was offered".to_owned());
        }
        self.trial.check(self.meta.digest).map_err(|error| crate::chain(&error))?;
        self.stage.seal(self.meta).await.map_err(|failure| crate::chain(&failure))
    }
}
