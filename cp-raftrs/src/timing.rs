//! Settings as ticks, and election timeouts that a seed decides.

use cp_driver::Settings;
use raft::{Config, ReadOnlyOption};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// The election timeout T in ticks.
pub(crate) const ELECTION_TICKS: u64 = 20;
/// A follower stands at one of these ticks after it last heard its leader. A tick
/// may come right after a message, so tick 11 is later than T/2 and tick 20 not later than T.
const STAND_TICKS: std::ops::RangeInclusive<usize> = 11..=20;
/// What may be in flight to one peer before it answers.
const INFLIGHT_MAX: usize = 32;
/// One append is at most this part of what a frame may hold: the leader has as many of them in
/// memory as are in flight to a peer that is far behind, as entries and as frames.
const APPEND_SHARE: u64 = 8;
/// What may be appended and not committed before proposals are refused.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
/// What one round hands over as committed.
const COMMITTED_BYTES_MAX: u64 = 8 << 20;

/// The engine's configuration.
pub(crate) fn config(id: u64, applied: u64, priority: i64, settings: &Settings) -> Config {
    let tick = tick(settings);
    let per_heartbeat = settings.heartbeat.as_nanos() / tick.as_nanos().max(1);
    Config {
        id,
        applied,
        priority,
        election_tick: 10,
        min_election_tick: *STAND_TICKS.start(),
        max_election_tick: STAND_TICKS.end() + 1,
        heartbeat_tick: usize::try_from(per_heartbeat).unwrap_or(1).clamp(1, 4),
        max_size_per_msg: (settings.append_bytes_max as u64 / APPEND_SHARE).max(1),
        max_inflight_msgs: INFLIGHT_MAX,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        max_committed_size_per_ready: COMMITTED_BYTES_MAX,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        batch_append: true,
        // The loop says so itself, with the next records or a moment later.
        skip_bcast_commit: true,
    }
}

fn tick(settings: &Settings) -> Duration {
    settings.election_timeout / u32::try_from(ELECTION_TICKS).unwrap_or(u32::MAX)
}

/// The engine's clock. A node that was held up does not make up for lost ticks:
/// it would stand before it has read what its leader said meanwhile.
pub(crate) fn ticks(settings: &Settings, timeouts: &mut Timeouts) -> Interval {
    let tick = tick(settings);
    let phase = tick.mul_f64(f64::from(timeouts.next() as u32) / f64::from(u32::MAX));
    let mut ticks = tokio::time::interval_at(Instant::now() + phase, tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Draws election timeouts from a seed: the engine's own come from the system.
#[derive(Debug)]
pub(crate) struct Timeouts {
    state: u64,
}

impl Timeouts {
    /// Each life of a node draws differently.
    pub(crate) fn new(seed: u64, boot: u64) -> Self {
        let mut seeded = Self { state: seed };
        let state = seeded.next() ^ boot.wrapping_mul(0x2545_f491_4f6c_dd1d);
        Self { state }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next timeout, in ticks.
    pub(crate) fn draw(&mut self) -> usize {
        let width = STAND_TICKS.end() - STAND_TICKS.start() + 1;
        STAND_TICKS.start() + usize::try_from(self.next() % width as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seed and boot give the same timeouts, another boot others, all in range.
    #[test]
    fn timeouts_are_seeded_and_in_range() {
        let draws = |seed, boot| {
            let mut timeouts = Timeouts::new(seed, boot);
            std::iter::repeat_with(|| timeouts.draw()).take(64).collect::<Vec<_>>()
        };
        assert_eq!(draws(7, 1), draws(7, 1));
        assert_ne!(draws(7, 1), draws(7, 2));
        assert_ne!(draws(7, 1), draws(8, 1));
        let seen: std::collections::BTreeSet<_> = draws(7, 1).into_iter().collect();
        assert_eq!((seen.first(), seen.last()), (Some(&11), Some(&20)));
    }

    /// The generator is SplitMix64: what its authors' own program prints for this seed.
    #[test]
    fn the_generator_is_the_known_one() {
        let mut timeouts = Timeouts { state: 1_234_567 };
        let drawn = std::iter::repeat_with(|| timeouts.next()).take(3).collect::<Vec<_>>();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    /// Nodes that start together do not tick together; each ticks evenly.
    #[tokio::test(start_paused = true)]
    async fn a_node_ticks_in_a_phase_of_its_own() {
        let settings = Settings { election_timeout: Duration::from_millis(2000), ..Settings::default() };
        let mut phases = std::collections::BTreeSet::new();
        for seed in 0..8 {
            let start = Instant::now();
            let mut ticks = ticks(&settings, &mut Timeouts::new(seed, 1));
            let first = ticks.tick().await - start;
            assert!(first <= Duration::from_millis(101), "{first:?}");
            phases.insert(first);
            let second = ticks.tick().await - start;
            assert_eq!(second - first, Duration::from_millis(100));
        }
        assert!(phases.len() > 4, "{phases:?}");
    }

    /// CP-L1: what the driver accepts as settings, the engine accepts too.
    #[test]
    fn legal_settings_make_a_legal_config() {
        for (election_ms, heartbeat_ms) in [(20, 1), (20, 4), (500, 50), (1000, 200), (10_000, 1)] {
            let settings = Settings {
                election_timeout: Duration::from_millis(election_ms),
                heartbeat: Duration::from_millis(heartbeat_ms),
                ..Settings::default()
            };
            settings.check().expect("the driver accepts it");
            config(1, 0, 0, &settings).validate().expect("the engine accepts it");
        }
    }
}
