//! One client that has a list of things decided, in order, each exactly once.

use super::{Up, World};
use crate::monitor::Monitor;
use crate::rng::Rng;
use crate::sync::locked;
use cp_catalog::Verdict;
use cp_seam::{ControlPlaneEntry, LogPosition, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long an outcome is waited for before the request is tried again.
const PATIENCE: Duration = Duration::from_millis(800);

impl World {
    /// Has each of `entries` decided before the next, by whoever leads, however
    /// often it must be tried again; answers the verdicts. A request keeps its id,
    /// so the verdict of a retry is that of the first (CP-P5).
    pub(crate) fn ask(&self, entries: Vec<ControlPlaneEntry>) -> JoinHandle<Vec<Verdict>> {
        let (roster, monitor) = (Arc::clone(&self.roster), Arc::clone(&self.monitor));
        let (mut rng, think) = (Rng::new(self.seed, "asking"), self.options.think);
        let think_ms = u64::try_from(think.as_millis()).unwrap_or(u64::MAX);
        tokio::spawn(async move {
            let mut verdicts = Vec::with_capacity(entries.len());
            for entry in entries {
                tokio::time::sleep(Duration::from_millis(rng.between(1, think_ms))).await;
                loop {
                    let leading = locked(&roster).values().find(|up| up.node.is_leader()).cloned();
                    if let Some(up) = leading
                        && let Some(verdict) = decided(&monitor, &up, &entry).await
                    {
                        verdicts.push(verdict);
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(rng.between(5, 60))).await;
                }
            }
            verdicts
        })
    }
}

/// The verdict on `entry`, if this attempt gets one. A refusal is not told to the
/// monitor: the same entry may be in a log by another attempt.
async fn decided(monitor: &Monitor, up: &Up, entry: &ControlPlaneEntry) -> Option<Verdict> {
    let since = monitor.begin();
    let position: LogPosition = up.node.propose(entry.clone()).await.ok()?;
    monitor.placed(position, entry);
    let outcome = up.node.outcome(position, PATIENCE).await;
    monitor.told(&up.life, position, outcome, Some(since));
    if outcome == Outcome::Committed && up.life.goes_on() { up.state.verdict(position.index) } else { None }
}
