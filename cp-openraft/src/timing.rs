//! Settings to openraft's configuration, and the seed.
//!
//! openraft counts a follower's patience from the end of the leader's lease: it
//! stands `lease + random(min..max)` after it last heard its leader, and its
//! lease is `max`. So that the sum keeps the promise of
//! [`Settings::election_timeout`] (between T/2 and T), `max` is T/2 and `min` is
//! T/4: an undisturbed follower stands between 3T/4 and T, and a leader that is
//! cut off refuses after T/2 (CP-P2).

use crate::runtime::Runtime;
use cp_driver::{Settings, StartError};
use openraft::{Config, SnapshotPolicy, StepDownPolicy};
use std::future::Future;
use std::time::Duration;

/// openraft's configuration for `settings`, every trap closed.
pub(crate) fn config(settings: &Settings) -> Result<Config, StartError> {
    let heartbeat = millis(settings.heartbeat);
    let patience = millis(settings.election_timeout);
    let lease = patience / 2;
    let config = Config {
        cluster_name: "control-plane".to_owned(),
        election_timeout_min: patience / 4,
        election_timeout_max: lease,
        // Also how long an answer to a heartbeat counts: the longest that openraft takes.
        // The rhythm is ours (`core::beat`).
        heartbeat_interval: (patience / 4).saturating_sub(1).max(heartbeat),
        // One entry fits a frame, so a batch of entries is bounded by its bytes in the log reader.
        max_payload_entries: 4096,
        // The driver says when a snapshot is taken and what is purged.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        install_snapshot_timeout: patience.saturating_mul(120),
        // The driver hands over before a leader leaves; openraft might pick a witness.
        removed_leader_step_down: StepDownPolicy::Never,
        // Stops heartbeats only, and not records that are sent again: see `core::beat`.
        quorum_loss_probe_interval: None,
        enable_pre_vote: Some(true),
        // A restarted leader may have lost its unflushed tail; in the same term it
        // would hand the same positions to other entries (CP-S2).
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        backoff: format!("{heartbeat}ms {}ms ...{lease}ms", heartbeat.saturating_mul(2)),
        ..Config::default()
    };
    config.validate().map_err(|error| StartError::Setting { name: "election_timeout", why: error.to_string() })
}

/// How long an append may take to be acknowledged before it is sent again.
pub(crate) fn append_deadline(settings: &Settings) -> Duration {
    settings.election_timeout / 4
}

/// How long after it was sent an answer still says that the peer is in touch (CP-P2).
pub(crate) fn answer_deadline(settings: &Settings) -> Duration {
    settings.election_timeout / 2
}

/// Whether a leader that lost its quorum so long ago keeps still: it does for T, long
/// enough that others can elect, and speaks for T, so that a way that is free again is found.
pub(crate) fn keeps_still(settings: &Settings, lost: Duration) -> bool {
    (lost.as_nanos() / settings.election_timeout.as_nanos().max(1)).is_multiple_of(2)
}

/// How long a member is asked to take over.
pub(crate) fn transfer_deadline(settings: &Settings) -> Duration {
    settings.election_timeout * 3 / 4
}

/// Runs `future`, and every openraft task begun in it, on randomness from `seed`.
pub(crate) fn seeded<F: Future>(seed: u64, future: F) -> impl Future<Output = F::Output> {
    Runtime::scope(seed, future)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise of `Settings::election_timeout`, by openraft's own arithmetic.
    #[test]
    fn a_follower_stands_within_the_election_timeout() {
        for patience in [20, 500, 3000] {
            let settings = Settings {
                election_timeout: Duration::from_millis(patience),
                heartbeat: Duration::from_millis(patience / 10),
                ..Settings::default()
            };
            let config = config(&settings).expect("valid");
            let lease = config.election_timeout_max;
            assert!(lease + config.election_timeout_min >= patience / 2);
            assert!(lease + config.election_timeout_max <= patience);
            // Two heartbeats in a row that take as long as they may keep the lease.
            assert!(2 * config.heartbeat_interval <= lease);
        }
    }

    /// A peer that was out of reach is asked after a heartbeat at the soonest, and once in a lease at least.
    #[test]
    fn a_peer_out_of_reach_is_asked_again_in_time() {
        for patience in [20, 500, 3000] {
            let (election_timeout, heartbeat) = (Duration::from_millis(patience), Duration::from_millis(patience / 10));
            let settings = Settings { election_timeout, heartbeat, ..Settings::default() };
            let mut pauses = config(&settings).expect("valid").build_backoff();
            for _ in 0..20 {
                let pause = pauses.next().expect("without an end");
                assert!(pause >= heartbeat && pause <= election_timeout / 2, "{pause:?}");
            }
        }
    }

    #[test]
    fn a_leader_without_a_quorum_is_still_half_of_the_time() {
        let settings = Settings { election_timeout: Duration::from_millis(500), ..Settings::default() };
        let still = |ms| keeps_still(&settings, Duration::from_millis(ms));
        assert_eq!([0, 499, 500, 999, 1000].map(still), [true, true, false, false, true]);
    }

    #[test]
    fn the_traps_are_closed() {
        let config = config(&Settings::default()).expect("valid");
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.removed_leader_step_down, StepDownPolicy::Never);
        assert_eq!(config.snapshot_policy, SnapshotPolicy::Never);
    }
}
