//! A process's monotonic clock, as wrong as the policy allows.

use crate::rng::Rng;
use crate::sync::locked;
use cp_lease::Monotonic;
use std::sync::Mutex;
use tokio::time::Instant;

/// Has an origin that nobody else knows, and a rate that is not quite right.
#[derive(Debug)]
pub(super) struct Clock(Mutex<Run>);

#[derive(Debug, Clone, Copy)]
struct Run {
    began: Instant,
    at_nanos: u64,
    /// How far it goes in a million steps of true time.
    per_million: u64,
}

impl Run {
    fn nanos(self) -> u64 {
        let elapsed = self.began.elapsed().as_nanos();
        let gone = elapsed.saturating_mul(u128::from(self.per_million)) / 1_000_000;
        self.at_nanos.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX))
    }
}

/// A rate that is off by as much as `drift_ppm`, mostly by exactly that: where errors show.
pub(super) fn drift(rng: &mut Rng, drift_ppm: u32) -> i64 {
    let most = i64::from(drift_ppm);
    match rng.below(10) {
        0..4 => most,
        4..8 => -most,
        8 => 0,
        _ => i64::try_from(rng.between(0, 2 * u64::from(drift_ppm))).unwrap_or_default() - most,
    }
}

impl Clock {
    pub(super) fn new(origin_nanos: u64, drift_ppm: i64) -> Self {
        let clock = Self(Mutex::new(Run { began: Instant::now(), at_nanos: origin_nanos, per_million: 1_000_000 }));
        clock.drifts(drift_ppm);
        clock
    }

    /// From now on its rate is wrong by `drift_ppm`.
    pub(super) fn drifts(&self, drift_ppm: i64) {
        let mut run = locked(&self.0);
        let per_million = 1_000_000_u64.saturating_add_signed(drift_ppm);
        *run = Run { began: Instant::now(), at_nanos: run.nanos(), per_million };
    }

    pub(super) fn now(&self) -> Monotonic {
        Monotonic::from_nanos(locked(&self.0).nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_clock_runs_at_its_own_rate_and_never_back() {
        let clock = Clock::new(7, 200_000);
        assert_eq!(clock.now(), Monotonic::from_nanos(7));
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(clock.now(), Monotonic::from_nanos(12_000_007));
        clock.drifts(-200_000);
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(clock.now(), Monotonic::from_nanos(20_000_007));
    }

    #[test]
    fn drifts_keep_within_the_bound_and_reach_it() {
        let mut rng = Rng::new(1, "drifts");
        let drawn: Vec<i64> = (0..200).map(|_| drift(&mut rng, 1_000)).collect();
        assert!(drawn.iter().all(|drift| drift.abs() <= 1_000));
        assert!([-1_000, 0, 1_000].iter().all(|drift| drawn.contains(drift)));
    }
}
