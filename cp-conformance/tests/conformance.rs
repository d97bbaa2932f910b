//! The conformance suite, on the reference model.

use cp_conformance::{Backend, Observed, reference};
use cp_driver::{Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation};

#[derive(Debug)]
struct Reference;

#[async_trait::async_trait]
impl Backend for Reference {
    fn name(&self) -> &'static str {
        reference::ENGINE
    }

    fn package(&self) -> String {
        env!("CARGO_PKG_NAME").to_owned()
    }

    async fn start(&self, parts: Parts) -> Result<std::sync::Arc<dyn ControlPlaneConsensus>, StartError> {
        reference::start(parts).await
    }

    fn explain(&self, from: Incarnation, to: Incarnation, message: &bytes::Bytes) -> Vec<Observed> {
        reference::explain(from, to, message)
    }
}

cp_conformance::suite!(Reference);
