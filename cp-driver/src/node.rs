//! The seam, implemented once for every engine.

use crate::engine::Engine;
use crate::host::Host;
use crate::settings::Parts;
use cp_seam::ControlPlaneConsensus;
use std::future::Future;
use std::sync::Arc;

/// Starts a node: restores the state from the store's snapshot, lets `build` make
/// the engine, replays what is durably committed, attaches to the transport.
///
/// `engine` names the engine in handshakes; `wire_version` is that of its messages.
pub async fn start<F, Fut>(
    _parts: Parts,
    _engine: &'static str,
    _wire_version: u32,
    _build: F,
) -> Result<Arc<dyn ControlPlaneConsensus>, StartError>
where
    F: FnOnce(Arc<Host>) -> Fut,
    Fut: Future<Output = Result<Arc<dyn Engine>, StartError>>,
{
    todo!()
}

/// The node was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] cp_store::Failure),
    /// The snapshot on disk does not restore.
    #[error("the snapshot on disk does not restore; wipe the directory and let the member rejoin as a new incarnation")]
    Snapshot(#[source] cp_seam::SnapshotError),
    /// The state machine halted.
    #[error(transparent)]
    Halt(#[from] cp_seam::Halt),
    /// A setting cannot be used.
    #[error("setting {name}: {why}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What is wrong and what would do.
        why: String,
    },
    /// The engine did not start.
    #[error("the engine did not start")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}
