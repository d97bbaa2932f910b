//! Building a snapshot of the applied state.

use crate::engine::Engine;
use crate::host::Host;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, Halt, LogPosition, SnapshotReader};
use cp_store::{Founding, SnapshotMeta, Store};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

/// Captures the applied state as what a joining member's store is founded on: it
/// then starts like any member that was once at this index, on either engine.
///
/// The state must have been fed from `store` by a running node.
pub fn founding(store: &Store, state: &dyn ControlPlaneStateMachine) -> Result<Founding, Halt> {
    let (meta, mut reader) = capture(store, state)?;
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        chunks.push(chunk);
    }
    Ok(Founding { meta, chunks })
}

/// Captures the applied state, to be read chunk by chunk while it goes on changing.
///
/// The state must have been fed from `store` by a running node.
pub fn capture(
    store: &Store,
    state: &dyn ControlPlaneStateMachine,
) -> Result<(SnapshotMeta, Box<dyn SnapshotReader>), Halt> {
    let reader = state.snapshot()?;
    Ok((describe(store, reader.as_ref())?, reader))
}

fn describe(store: &Store, reader: &dyn SnapshotReader) -> Result<SnapshotMeta, Halt> {
    let index = reader.index();
    let halt =
        |what: &str| Halt { reason: format!("the state is at index {index}, of which the store knows no {what}") };
    let term = store.term_at(index).ok_or_else(|| halt("term"))?;
    let mut known = store.configurations();
    known.retain(|(at, _)| at.index <= index);
    let (configuration_at, configuration) = known.pop().ok_or_else(|| halt("configuration"))?;
    Ok(SnapshotMeta {
        position: LogPosition::new(term, index),
        configuration,
        configuration_at,
        terms: store.terms_to(index),
        digest: reader.digest(),
    })
}

/// How many election timeouts the engine may take to adopt a snapshot; the log grows meanwhile.
const ADOPTION_PATIENCE: u32 = 60;

/// Builds a snapshot whenever enough has been applied since the last, by count or by size (CP-R1).
pub(crate) async fn run(host: Arc<Host>, engine: Arc<dyn Engine>) {
    let (every, bytes) = (host.settings().snapshot_every, host.settings().snapshot_bytes);
    let (mut not_before, mut not_below) = (0, bytes);
    loop {
        let last = host.store().durable().borrow().snapshot.index.0;
        let at = last.saturating_add(every).max(not_before);
        host.snapshot_mark.set(at, not_below);
        let (applied, grown) = (host.parts.state.applied().0, host.grown.load(Ordering::Relaxed));
        if applied >= at || (grown >= not_below && applied > last) {
            match build(&host, engine.as_ref()).await {
                Ok(index) => {
                    not_before = index.0.saturating_add(every);
                    not_below = bytes;
                    // An install may have set it back meanwhile.
                    let rest = |now: u64| Some(now.saturating_sub(grown));
                    let before = host.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
                    tracing::debug!(%index, ?before, "a snapshot was built");
                }
                Err(NotBuilt::Halt(halt)) => return host.halt(&crate::chain(&halt)),
                Err(NotBuilt::Later(why)) => {
                    tracing::warn!(why, "no snapshot was built");
                    not_before = applied.saturating_add(every.div_ceil(8));
                    not_below = grown.saturating_add(bytes.div_ceil(8));
                }
            }
        } else {
            host.snapshot_mark.reached().await;
        }
    }
}

enum NotBuilt {
    /// The state cannot be trusted any more.
    Halt(Halt),
    /// Another time.
    Later(String),
}

impl From<Halt> for NotBuilt {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

async fn build(host: &Host, engine: &dyn Engine) -> Result<ControlPlaneLogIndex, NotBuilt> {
    let mut reader = host.parts.state.snapshot()?;
    let index = reader.index();
    let meta = match describe(host.store(), reader.as_ref()) {
        // The store knows no more of what is older than its snapshot.
        Err(halt) if index < host.store().snapshot().position.index => return Err(NotBuilt::Later(halt.reason)),
        described => described?,
    };
    let later = |error: &(dyn std::error::Error + 'static)| NotBuilt::Later(crate::chain(error));
    let mut stage = host.store().stage();
    while let Some(chunk) = reader.next_chunk()? {
        stage.push(chunk).await.map_err(|failure| later(&failure))?;
    }
    let staged = stage.seal(meta).await.map_err(|failure| later(&failure))?;
    let compact_to = ControlPlaneLogIndex(index.0.saturating_sub(host.settings().retained));
    let patience = host.settings().election_timeout * ADOPTION_PATIENCE;
    match timeout(patience, engine.adopt(staged, compact_to)).await {
        Ok(adopted) => adopted.map_err(|error| later(&error))?,
        Err(_) => return Err(NotBuilt::Later(format!("the engine did not adopt it within {patience:?}"))),
    }
    Ok(index)
}
