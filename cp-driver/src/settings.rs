//! What a node is made of, and how it is tuned.

use crate::node::StartError;
use cp_seam::{ControlPlaneStateMachine, PeerTransport};
use cp_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Far beyond what anybody would wait for a leader; durations are multiplied.
const ELECTION_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Everything an adapter needs to start a node.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The durable half, open.
    pub store: Store,
    /// The replicated state; its content is replaced from the store's snapshot at start.
    pub state: Arc<dyn ControlPlaneStateMachine>,
    /// Frames to and from peers.
    pub transport: Arc<dyn PeerTransport>,
    /// The tuning.
    pub settings: Settings,
}

/// The tuning of a node. Every member of a cluster should have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// T: an undisturbed follower stands between T/2 and T after it last heard
    /// its leader; a leader out of touch refuses within T.
    pub election_timeout: Duration,
    /// How often a leader says that it is there; at most T/5.
    pub heartbeat: Duration,
    /// How long `propose` waits for its position before it answers *unknown*.
    pub propose_deadline: Duration,
    /// How many proposals may wait for a position at once.
    pub proposals_max: usize,
    /// How many applied records call for a new snapshot.
    pub snapshot_every: u64,
    /// How many bytes of applied records call for one, however few they are.
    pub snapshot_bytes: u64,
    /// How many records before the snapshot stay in the log, for members that are a little behind.
    pub retained: u64,
    /// The bytes of log sent in one frame, at most.
    pub append_bytes_max: usize,
    /// Seeds the election timeouts. Different on every node.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            election_timeout: Duration::from_millis(500),
            heartbeat: Duration::from_millis(50),
            propose_deadline: Duration::from_secs(2),
            proposals_max: 4096,
            snapshot_every: 65_536,
            snapshot_bytes: 64 << 20,
            retained: 1024,
            append_bytes_max: 1 << 20,
            seed: 0,
        }
    }
}

impl Settings {
    /// Refuses a tuning that could not keep the promises.
    pub fn check(&self) -> Result<(), StartError> {
        let setting = |name, why: String| Err(StartError::Setting { name, why });
        if self.election_timeout < Duration::from_millis(20) {
            return setting("election_timeout", format!("{:?} is too short; 20 ms at least", self.election_timeout));
        }
        if self.election_timeout > ELECTION_TIMEOUT_MAX {
            let why = format!("{:?} is too long; {ELECTION_TIMEOUT_MAX:?} at most", self.election_timeout);
            return setting("election_timeout", why);
        }
        if self.heartbeat.is_zero() || self.heartbeat.saturating_mul(5) > self.election_timeout {
            return setting(
                "heartbeat",
                format!(
                    "{:?} must be above zero and at most a fifth of the election timeout, {:?}",
                    self.heartbeat, self.election_timeout
                ),
            );
        }
        if self.propose_deadline.is_zero() {
            return setting("propose_deadline", "must be above zero".to_owned());
        }
        if self.proposals_max > Semaphore::MAX_PERMITS {
            return setting("proposals_max", format!("must be at most {}", Semaphore::MAX_PERMITS));
        }
        if self.proposals_max == 0 || self.snapshot_every == 0 || self.snapshot_bytes == 0 {
            return setting("proposals_max, snapshot_every, snapshot_bytes", "must be above zero".to_owned());
        }
        let limit = cp_seam::transport::FRAME_MAX_BYTES / 2;
        if self.append_bytes_max == 0 || self.append_bytes_max > limit {
            return setting(
                "append_bytes_max",
                format!("{} must be above zero and at most {limit}", self.append_bytes_max),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No tuning panics, and what could not keep the promises is refused by name.
    #[test]
    fn a_bad_tuning_is_refused() {
        let refused = |settings: Settings| match settings.check() {
            Err(StartError::Setting { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        let good = Settings::default();
        good.check().expect("the defaults will do");
        let (zero, huge) = (Duration::ZERO, Duration::MAX);
        assert_eq!(refused(Settings { election_timeout: zero, ..good.clone() }), "election_timeout");
        assert_eq!(refused(Settings { election_timeout: huge, ..good.clone() }), "election_timeout");
        assert_eq!(refused(Settings { heartbeat: zero, ..good.clone() }), "heartbeat");
        assert_eq!(refused(Settings { heartbeat: huge, ..good.clone() }), "heartbeat");
        assert_eq!(refused(Settings { propose_deadline: zero, ..good.clone() }), "propose_deadline");
        assert_eq!(refused(Settings { proposals_max: usize::MAX, ..good.clone() }), "proposals_max");
        assert_eq!(refused(Settings { append_bytes_max: usize::MAX, ..good }), "append_bytes_max");
    }
}
