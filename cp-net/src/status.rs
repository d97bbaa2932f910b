//! How the connections to a peer are doing, for operators.

use crate::handshake::RefusalKind;
use cp_seam::{Lane, QuorumMember};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// How this node's connections to a peer are doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The peer.
    pub peer: QuorumMember,
    /// The connection that carries votes, heartbeats and appends.
    pub consensus: LaneStatus,
    /// The connection that carries snapshot chunks.
    pub bulk: LaneStatus,
    /// Whether the peer's connection for consensus to this node is up.
    pub inbound: bool,
    /// A smoothed round trip, as of the last probe answered.
    pub round_trip: Option<Duration>,
}

/// How one connection is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Whether frames can be sent.
    pub connected: bool,
    /// For how long that has been so.
    pub lasted: Duration,
    /// Why it is not connected, once a try has failed.
    pub error: Option<String>,
    /// Which kind of refusal that was, if one end refused the other.
    pub refusal: Option<RefusalKind>,
}

/// What the two connections of a peer report.
#[derive(Debug)]
pub(crate) struct Report {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    consensus: LaneReport,
    bulk: LaneReport,
    round_trip: Option<Duration>,
    probe: Option<(u64, Instant)>,
    /// Logged last, so that a retry that fails alike is not logged again.
    logged: Option<String>,
}

#[derive(Debug)]
struct LaneReport {
    connected: bool,
    since: Instant,
    error: Option<String>,
    refusal: Option<RefusalKind>,
}

impl LaneReport {
    fn new(now: Instant) -> Self {
        Self { connected: false, since: now, error: None, refusal: None }
    }

    fn status(&self, now: Instant) -> LaneStatus {
        LaneStatus {
            connected: self.connected,
            lasted: now.duration_since(self.since),
            error: self.error.clone(),
            refusal: self.refusal,
        }
    }
}

impl Inner {
    fn lane(&mut self, lane: Lane) -> &mut LaneReport {
        match lane {
            Lane::Consensus => &mut self.consensus,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let inner = Inner {
            consensus: LaneReport::new(now),
            bulk: LaneReport::new(now),
            round_trip: None,
            probe: None,
            logged: None,
        };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected(&self, peer: &QuorumMember, lane: Lane) {
        let mut inner = self.inner();
        *inner.lane(lane) = LaneReport { connected: true, ..LaneReport::new(Instant::now()) };
        inner.logged = None;
        drop(inner);
        info!(peer = %peer.id, incarnation = %peer.incarnation, address = peer.address, ?lane, "connected to peer");
    }

    pub(crate) fn failed(&self, peer: &QuorumMember, lane: Lane, error: &str, refusal: Option<RefusalKind>) {
        let mut inner = self.inner();
        let report = inner.lane(lane);
        if report.connected {
            *report = LaneReport::new(Instant::now());
        }
        report.error = Some(error.to_owned());
        report.refusal = refusal;
        let new = inner.logged.as_deref() != Some(error);
        if new {
            inner.logged = Some(error.to_owned());
        }
        drop(inner);
        if new {
            warn!(peer = %peer.id, incarnation = %peer.incarnation, ?lane, error, "no connection to peer");
        } else {
            debug!(peer = %peer.id, ?lane, error, "still no connection to peer");
        }
    }

    /// The connection was taken down by this end, which is no fault.
    pub(crate) fn stopped(&self, lane: Lane) {
        let mut inner = self.inner();
        if inner.lane(lane).connected {
            *inner.lane(lane) = LaneReport::new(Instant::now());
        }
    }

    pub(crate) fn probe_sent(&self, probe: u64) {
        self.inner().probe = Some((probe, Instant::now()));
    }

    /// Smoothed as TCP does it: an eighth of the new one.
    pub(crate) fn probe_answered(&self, probe: u64) {
        let mut inner = self.inner();
        if let Some((_, sent)) = inner.probe.take_if(|(sent, _)| *sent == probe) {
            let measured = sent.elapsed();
            inner.round_trip = Some(inner.round_trip.map_or(measured, |old| (old * 7 + measured) / 8));
        }
    }

    pub(crate) fn status(&self, peer: QuorumMember, inbound: bool) -> PeerStatus {
        let (inner, now) = (self.inner(), Instant::now());
        PeerStatus {
            peer,
            consensus: inner.consensus.status(now),
            bulk: inner.bulk.status(now),
            inbound,
            round_trip: inner.round_trip,
        }
    }
}
