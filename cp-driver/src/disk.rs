//! The disk gate: a leader whose disk stalls falls silent (CP-L2).

use cp_store::{Batch, Store};
use std::time::Duration;
use tokio::time::Instant;

/// Judges the store by the age of its oldest unfinished write.
///
/// Not by that of an absorption, which holds up no batch before the next segment is full; what does
/// wait for it is an unfinished write.
#[derive(Debug)]
pub(crate) struct DiskGate {
    store: Store,
    limit: Duration,
}

impl DiskGate {
    /// Closed once a write is older than half the election timeout.
    pub(crate) fn new(store: Store, election_timeout: Duration) -> Self {
        Self { store, limit: election_timeout / 2 }
    }

    /// For how long the disk has stalled, if beyond the limit.
    pub(crate) fn stalled(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.store.oldest_unfinished()?);
        (age > self.limit).then_some(age)
    }

    /// Writes something if nothing is being written, so that an idle leader
    /// notices a stalled disk too.
    pub(crate) fn probe(&self) {
        if self.store.oldest_unfinished().is_none()
            && let Err(error) = self.store.submit(Batch::default())
        {
            tracing::debug!(%error, "the disk was not probed");
        }
    }
}
