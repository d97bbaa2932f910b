//! A cluster that was stopped, or lost power anywhere, goes on under the other engine:
//! same disks, same promises, same checkers (CP-E1).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod joint;
mod power;

use async_trait::async_trait;
use bytes::Bytes;
use cp_conformance::disk::Survivors;
use cp_conformance::{Backend, Broken, Observed, Scenario, World};
use cp_driver::{Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EVERY_KIND: [Survivors; 4] =
    [Survivors::Nothing, Survivors::Everything, Survivors::Prefix, Survivors::Torn { unit_bytes: 512 }];

/// Whichever engine is in use now, for all nodes alike.
#[derive(Debug)]
struct EitherEngine {
    openraft: AtomicBool,
}

impl EitherEngine {
    const fn openraft() -> Self {
        Self { openraft: AtomicBool::new(true) }
    }

    const fn raftrs() -> Self {
        Self { openraft: AtomicBool::new(false) }
    }

    /// The other engine from the next start on.
    fn swap(&self) {
        self.openraft.fetch_xor(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Backend for EitherEngine {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    async fn start(&self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
        match self.openraft.load(Ordering::SeqCst) {
            true => cp_openraft::start(parts).await,
            false => cp_raftrs::start(parts).await,
        }
    }

    fn explain(&self, from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
        match self.openraft.load(Ordering::SeqCst) {
            true => cp_openraft::explain(from, to, message),
            false => cp_raftrs::explain(from, to, message),
        }
    }
}

/// Power loss at all of `running`, and a start of `next` under the other engine.
async fn swap(
    world: &mut World,
    engine: &EitherEngine,
    running: &[usize],
    next: &[usize],
    survivors: Survivors,
) -> Result<(), Broken> {
    for slot in running {
        world.kill(*slot, survivors)?;
    }
    world.network().heal();
    engine.swap();
    for slot in next {
        world.start(*slot).await?;
    }
    Ok(())
}

/// Runs a scenario to its end, which must be a good one.
fn run<F>(scenario: Scenario, engine: &'static EitherEngine, body: F)
where
    F: AsyncFnOnce(&mut World) -> Result<(), Broken>,
{
    println!("{}", scenario.run(engine, body).unwrap_or_else(|violation| panic!("{violation}")));
}
