//! The engines that can be put to the suite.

use clap::ValueEnum;
use cp_conformance::Backend;
use cp_conformance::backend::{Bytes, ControlPlaneConsensus, Incarnation, Observed, Parts, StartError, async_trait};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

cp_conformance::backend!(Openraft = cp_openraft);
cp_conformance::backend!(Raftrs = cp_raftrs);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Openraft,
    Raftrs,
    /// Each in turn: the other one whenever all nodes are down
    Alternating,
}

impl Engine {
    /// The engines proper.
    pub(crate) const ALL: [Self; 2] = [Self::Openraft, Self::Raftrs];

    pub(crate) fn backend(self) -> &'static dyn Backend {
        match self {
            Self::Openraft => &Openraft,
            Self::Raftrs => &Raftrs,
            Self::Alternating => &Alternating,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.backend().name())
    }
}

thread_local! {
    /// A run is one thread.
    static BLACKOUTS: Cell<u64> = const { Cell::new(0) };
}

/// A cluster whose engine is swapped whenever all of it is down (CP-E1).
#[derive(Debug)]
struct Alternating;

impl Alternating {
    fn now() -> &'static dyn Backend {
        match BLACKOUTS.get() % 2 {
            0 => &Openraft,
            _ => &Raftrs,
        }
    }
}

#[async_trait]
impl Backend for Alternating {
    fn name(&self) -> &'static str {
        "alternating"
    }

    async fn start(&self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
        Self::now().start(parts).await
    }

    fn explain(&self, from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
        Self::now().explain(from, to, message)
    }

    fn all_are_down(&self, times: u64) {
        BLACKOUTS.set(times);
    }
}
