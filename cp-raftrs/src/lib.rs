//! The raft-rs engine behind the control-plane seam.
//!
//! One task owns the engine (`core`) and carries out what it wants done in the
//! only safe order (`ready`); the store is its log (`storage`), and records,
//! votes, configurations (`translate`) and messages (`wire`) are ours, so the
//! engine's own encoding is on no disk and no network (CP-E1).
//!
//! Absences: no clock but tokio's, no randomness but the seed's, no thread, and
//! nothing that an embedder could call besides [`start`] and [`explain`].

mod books;
mod commands;
mod core;
mod engine;
#[doc(hidden)]
pub mod fuzz;
mod inbound;
mod reads;
mod ready;
mod snapshot;
mod storage;
mod timing;
mod trace;
mod translate;
mod wire;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use cp_driver::{Observed, Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation, WireVersions};
use std::sync::Arc;

/// The engine's name in identities and handshakes.
pub const ENGINE: &str = "raftrs";

/// Which versions of its messages are read.
pub const WIRE_VERSIONS: WireVersions = WireVersions::only(1);

/// Starts a node driven by this engine.
pub async fn start(parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
    cp_driver::start(parts, ENGINE, WIRE_VERSIONS, |host| async move { engine::RaftRs::start(host) }).await
}

/// What a message of this engine, on its way from `from` to `to`, lets its
/// receiver rely on. For observers; garbage says nothing.
pub fn explain(from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
    wire::explain(from, to, message.clone())
}
