//! The reference model: a small, plain Raft behind the seam.
//!
//! It is the oracle that a reader can hold in their head, the template for whoever
//! writes an engine, and the body into which bugs are planted. Obvious before fast:
//! one task takes one input at a time, `core` turns it into an output without any I/O,
//! and `ready` carries the output out, the disk before anything that promises
//! something. It elects through the seam's election half alone (`election`).
//!
//! | job | file |
//! |---|---|
//! | the state, and who does what with an input | `core` |
//! | standing, voting, winning | `election` |
//! | leading: replication, what is committed | `leader` |
//! | following: what a leader sends | `inbound` |
//! | what callers ask; reads; snapshots | `commands`, `reads`, `snapshot` |
//! | the log, as it will be once all is written | `storage` |
//! | messages; ticks and chance | `wire`, `timing` |
//! | the handle, and the loop's I/O | `engine`, `ready` |
//!
//! A configuration counts from the moment it is appended: then "the newest in the
//! log" is the whole rule, a truncation takes it back by itself, and a log written
//! by any other engine is opened safely, because a joint record that another node
//! may have obeyed already is obeyed here as well (CP-M1).
//!
//! It is not for production: a vote's fsync blocks its task, appends go one at a
//! time, and the retained log is kept in memory.

mod commands;
mod core;
mod election;
mod engine;
mod inbound;
mod leader;
mod reads;
mod ready;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;
mod timing;
mod wire;

use bytes::Bytes;
use cp_driver::{Observed, Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation, WireVersions};
use std::sync::Arc;

/// The engine's name in identities and handshakes.
pub const ENGINE: &str = "reference";

/// The version of its messages.
pub const WIRE_VERSIONS: WireVersions = WireVersions::only(1);

/// Starts a node driven by this engine.
pub async fn start(parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
    cp_driver::start(parts, ENGINE, WIRE_VERSIONS, |host| async move { engine::Reference::start(host) }).await
}

/// What a message of this engine, on its way from `from` to `to`, lets its
/// receiver rely on. For observers; garbage says nothing.
pub fn explain(from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
    wire::explain(from, to, message.clone())
}
