//! How long the simulated disk takes, and stalls.

use super::Disk;
use crate::life::Life;
use crate::sync::locked;
use cp_store::{Pace, WriterWork};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Seeded {
    pub(super) disk: Disk,
    pub(super) life: Arc<Life>,
}

impl Pace for Seeded {
    fn wait(&self, work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (disk, life) = (self.disk.clone(), Arc::clone(&self.life));
        Box::pin(async move {
            let pause = {
                let mut state = locked(&disk.state);
                let latency = state.latency;
                let drawn = state.rng.between(latency.low_us, latency.high_us);
                // Chunks are written and not synced, at about 100 MB/s. Absorption takes several commits' time.
                let bytes = match work {
                    WriterWork::Commit { bytes } | WriterWork::Chunk { bytes } => bytes,
                    WriterWork::Seal => 0,
                    WriterWork::Absorb => 256 << 10,
                };
                let chance = state.faults.slow;
                let hiccup = if chance > 0 && state.rng.per_mille(chance) {
                    state.effects.slowed += 1;
                    state.rng.between(20_000, 250_000)
                } else {
                    0
                };
                drawn + hiccup + u64::try_from(bytes).unwrap_or_default() / 100
            };
            tokio::time::sleep(Duration::from_micros(pause)).await;
            let mut stalled = disk.stalled.subscribe();
            if *stalled.borrow_and_update() {
                locked(&disk.state).effects.stalls += 1;
                tokio::select! {
                    biased;
                    () = life.finished() => {}
                    resumed = stalled.wait_for(|stalled| !stalled) => drop(resumed),
                }
            }
            life.freezer().run(async {}).await;
        })
    }
}
