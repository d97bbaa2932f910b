//! Settings as ticks, and election timeouts that a seed decides.

use crate::rng::Rng;
use cp_driver::Settings;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// The election timeout T in ticks.
pub(super) const ELECTION_TICKS: u64 = 20;
/// A follower stands at one of these ticks after it last heard its leader: later than T/2, not later than T.
const STAND_TICKS: std::ops::RangeInclusive<u64> = 11..=20;
/// Whoever heard its leader less long ago listens to no other candidate.
pub(super) const STICKY_TICKS: u64 = 11;
/// How much longer a witness waits: long enough for any data member to win first.
pub(super) const WITNESS_TICKS: u64 = 2 * ELECTION_TICKS;

/// Draws from a seed; each life of a node draws differently.
#[derive(Debug)]
pub(super) struct Timeouts {
    rng: Rng,
    tick: Duration,
    heartbeat_ticks: u64,
}

impl Timeouts {
    pub(super) fn new(settings: &Settings, boot: u64) -> Self {
        let tick = settings.election_timeout / 20;
        let ticks = settings.heartbeat.as_nanos() / tick.as_nanos().max(1);
        let heartbeat_ticks = u64::try_from(ticks).unwrap_or(1).clamp(1, 4);
        Self { rng: Rng::new(settings.seed, &format!("boot {boot}")), tick, heartbeat_ticks }
    }

    pub(super) fn heartbeat_ticks(&self) -> u64 {
        self.heartbeat_ticks
    }

    /// The next timeout, in ticks.
    pub(super) fn draw(&mut self) -> u64 {
        self.rng.between(*STAND_TICKS.start(), *STAND_TICKS.end())
    }

    /// The engine's clock. Ticks that were missed are not made up for: a node that was
    /// held up would stand before it has read what its leader said meanwhile.
    pub(super) fn clock(&mut self) -> Interval {
        let phase = self.tick.mul_f64(self.rng.below(1000) as f64 / 1000.0);
        let mut clock = tokio::time::interval_at(Instant::now() + phase, self.tick);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock
    }
}
