//! The conformance suite, on this engine.

use async_trait::async_trait;
use bytes::Bytes;
use cp_conformance::{Backend, Observed};
use cp_driver::{Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation};
use std::sync::Arc;

#[derive(Debug)]
struct Openraft;

#[async_trait]
impl Backend for Openraft {
    fn name(&self) -> &'static str {
        cp_openraft::ENGINE
    }

    async fn start(&self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
        cp_openraft::start(parts).await
    }

    fn explain(&self, from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
        cp_openraft::explain(from, to, message)
    }
}

cp_conformance::suite!(Openraft);
