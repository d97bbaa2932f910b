//! The openraft engine behind the control-plane seam.
//!
//! The driver implements the seam; this crate implements its [`Engine`](cp_driver::Engine)
//! with openraft and nothing above it. What differs from openraft's own ways:
//!
//! - genesis is the store's snapshot at 0.0, which openraft sees as purged,
//!   applied and snapshot; its `initialize` is never called;
//! - one leader per term (CP-S1) by the standard leader id, and no leader resumes
//!   its term after a restart (CP-S2);
//! - a configuration step is exactly one record, planned by the driver (CP-M1);
//! - openraft's state machine is a shadow: the driver applies what is durably
//!   committed (CP-D3).
//!
//! | file | holds |
//! |---|---|
//! | `engine` | the handle: commands of the driver |
//! | `core` | the tasks around openraft: what it is now, what it does not do by itself |
//! | `storage` | log, vote and committed index over the store |
//! | `snapshot` | the shadow, and snapshots becoming current |
//! | `wire`, `network`, `inbound` | messages; asking; answering |
//! | `pipeline` | several appends to one peer on their way at once |
//! | `translate`, `types` | the store's types to openraft's |
//! | `timing`, `runtime` | settings to openraft's configuration; tasks, clock and chance |

mod confirmed;
mod core;
mod engine;
#[doc(hidden)]
pub mod fuzz;
mod inbound;
mod network;
mod pipeline;
mod runtime;
mod snapshot;
mod storage;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod testing;
mod timing;
mod translate;
mod types;
mod wire;

use bytes::Bytes;
use cp_driver::{Observed, Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation, WireVersions};
use std::sync::Arc;

/// The engine's name in identities and handshakes.
pub const ENGINE: &str = "openraft";

/// Which versions of this engine's messages are read.
pub const WIRE_VERSIONS: WireVersions = WireVersions::only(wire::VERSION);

/// Starts a node driven by this engine.
///
/// It must be called on a tokio runtime with time enabled; everything the engine
/// does runs there as tasks.
pub async fn start(parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
    cp_driver::start(parts, ENGINE, WIRE_VERSIONS, engine::build).await
}

/// What a message of this engine, on its way from one member to `to`, lets its
/// receiver rely on. For observers; garbage says nothing.
pub fn explain(_from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
    wire::explain(to, message.clone())
}
