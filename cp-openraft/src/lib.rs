//! The openraft engine behind the control-plane seam.

use cp_driver::{Parts, StartError};
use cp_seam::ControlPlaneConsensus;
use std::sync::Arc;

/// The engine's name in identities and handshakes.
pub const ENGINE: &str = "openraft";

/// Starts a node driven by this engine.
pub async fn start(_parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
    Err(StartError::Engine("under construction".into()))
}
