//! Building a snapshot of the applied state.

use crate::engine::Engine;
use crate::host::Host;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine, ControlPlaneWatch, Halt, LogPosition, SnapshotReader};
use cp_store::{Failure, Founding, SnapshotMeta, Staged, Store};
use std::sync::Arc;

/// Captures the applied state as what a joining member's store is founded on: it
/// then starts like any member that was once at this index, on either engine.
///
/// The state must have been fed from `store` by a running node.
pub fn founding(store: &Store, state: &dyn ControlPlaneStateMachine) -> Result<Founding, Halt> {
    let mut reader = state.snapshot()?;
    let meta = describe(store, reader.as_ref())?;
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        chunks.push(chunk);
    }
    Ok(Founding { meta, chunks })
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

/// Builds a snapshot whenever enough has been applied since the last, until the node stops.
pub(crate) async fn run(host: Arc<Host>, engine: Arc<dyn Engine>) {
    let mut status = host.board.watch();
    loop {
        let applied = host.parts.state.applied();
        let due = host.store().snapshot().position.index.0.saturating_add(host.settings().snapshot_every);
        if applied.0 >= due
            && let Err(error) = build(&host, engine.as_ref()).await
        {
            tracing::warn!(error = crate::chain(error.as_ref()), "no snapshot was built");
        }
        tokio::select! {
            () = host.until_halted() => return,
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}

async fn build(host: &Host, engine: &dyn Engine) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let reader = host.parts.state.snapshot()?;
    let meta = describe(host.store(), reader.as_ref())?;
    let index = meta.position.index;
    let staged = stage(host.store(), reader, meta).await??;
    let compact_to = ControlPlaneLogIndex(index.0.saturating_sub(host.settings().retained));
    engine.adopt(staged, compact_to).await?;
    Ok(())
}

async fn stage(
    store: &Store,
    mut reader: Box<dyn SnapshotReader>,
    meta: SnapshotMeta,
) -> Result<Result<Staged, Failure>, Halt> {
    let mut stage = store.stage();
    while let Some(chunk) = reader.next_chunk()? {
        if let Err(failure) = stage.push(chunk).await {
            return Ok(Err(failure));
        }
    }
    Ok(stage.seal(meta).await)
}
