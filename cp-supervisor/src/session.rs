//! Request ids, so that a retry is the same request (CP-P5).

use cp_catalog::{ClientId, RequestId};
use cp_seam::ControlPlaneLogIndex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One client's numbering of its requests.
///
/// Take an id per request and keep it for every retry of that request. At most
/// [`IN_FLIGHT_MAX`](Self::IN_FLIGHT_MAX) requests of one session may be open at
/// once, or the oldest is forgotten and its retry refused as expired.
///
/// Share one session among all that a process asks. The state remembers 65,536 requests
/// of all sessions together ([`REPLY_TOTAL_MAX`](cp_catalog::REPLY_TOTAL_MAX)); where
/// there are more, it forgets the session that asked least recently, even if that was a
/// moment ago. Every request of a forgotten session is refused as expired: begin another.
#[derive(Debug)]
pub struct Session {
    client: ClientId,
    since: ControlPlaneLogIndex,
    last: AtomicU64,
}

impl Session {
    /// How many requests of one session are remembered.
    pub const IN_FLIGHT_MAX: usize = cp_catalog::REPLY_COUNT_MAX;

    /// A session of a fresh random client that starts now, `since` being an index
    /// that has been applied.
    pub fn begin(since: ControlPlaneLogIndex) -> Result<Self, NoRandomness> {
        Ok(Self { client: ClientId(random()?), since, last: AtomicU64::new(0) })
    }

    /// Which client it is.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// The id of the next request.
    pub fn next_id(&self) -> RequestId {
        let sequence = self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        RequestId { client: self.client, since: self.since, sequence }
    }
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| NoRandomness { reason: error.to_string() })?;
    Ok(bytes)
}

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {reason}")]
pub struct NoRandomness {
    /// What it said.
    pub reason: String,
}
