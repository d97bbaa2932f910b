//! What the daemon measures, as Prometheus text.

use crate::supervisor::Supervisor;
use cp_net::PeerStatus;
use cp_seam::{ControlPlaneRole, Incarnation};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type PeerLabel = [(&'static str, String); 1];
type ReasonLabel = [(&'static str, &'static str); 1];

/// The metrics of one node. Cheap to clone; clones share the values.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    has_leader: Gauge,
    is_leader: Gauge,
    term: Gauge,
    leader_changes: Counter,
    committed: Counter,
    applied: Counter,
    failed: Counter,
    pending: Gauge,
    ranges: Gauge,
    members: Gauge,
    settled: Gauge,
    store_bytes: Gauge,
    absorbing_seconds: Gauge<f64, AtomicU64>,
    commit_seconds: Histogram,
    peer_rtt: Family<PeerLabel, Gauge<f64, AtomicU64>>,
    peer_connected: Family<PeerLabel, Gauge>,
    lag_entries: Family<PeerLabel, Gauge>,
    diverged: Family<PeerLabel, Gauge>,
    diverged_here: Gauge,
    stopped: Gauge,
    leases_granted: Counter,
    leases_refused: Family<ReasonLabel, Counter>,
    gates_closed: Counter,
    leases_settled: Gauge,
    ranges_awaiting: Gauge,
    last_ack_seconds: Family<PeerLabel, Gauge<f64, AtomicU64>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cp");
        macro_rules! metric {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        let has_leader = metric!("has_leader", "Whether this node knows a leader", Gauge::default());
        let is_leader = metric!("is_leader", "Whether this node leads and may accept proposals", Gauge::default());
        let term = metric!("term", "The term of this node", Gauge::default());
        let leader_changes = metric!("leader_changes_seen", "Leaders followed since the start", Counter::default());
        let committed = metric!("proposals_committed", "The durable committed index", Counter::default());
        let applied = metric!("proposals_applied", "The applied index", Counter::default());
        let failed = metric!("proposals_failed", "Proposals refused, superseded or unknown here", Counter::default());
        let pending = metric!("proposals_pending", "Proposals that wait for a verdict here", Gauge::default());
        let ranges = metric!("ranges", "Ranges in the catalog", Gauge::default());
        let members = metric!("members", "Members in the catalog", Gauge::default());
        let settled = metric!("quorum_settled", "Whether no membership change is in flight", Gauge::default());
        let store_bytes = metric!("store_bytes", "The size of the node's directory", Gauge::default());
        let absorbing_seconds = metric!(
            "store_absorbing_seconds",
            "For how long the database has been taking over a full write-ahead segment; 0 if it is not",
            Gauge::<f64, AtomicU64>::default()
        );
        let commit_seconds = metric!(
            "store_commit_duration_seconds",
            "How long the disk took to make a write durable",
            Histogram::new(exponential_buckets(0.000_05, 2.0, 18))
        );
        let peer_rtt = metric!("peer_rtt_seconds", "A smoothed round trip to a peer", Family::default());
        let peer_connected = metric!("peer_connected", "Whether frames can be sent to a peer", Family::default());
        let lag_entries =
            metric!("replication_lag_entries", "Entries a peer lacks, by the leader's books", Family::default());
        let diverged = metric!(
            "peer_diverged_index",
            "Where a peer's state was first seen to differ from a majority's, by the leader's books",
            Family::default()
        );
        let diverged_here = metric!(
            "diverged_index",
            "Where this node's state was first seen to differ from a majority's; 0 if it was not",
            Gauge::default()
        );
        let stopped = metric!("stopped", "Whether this node has stopped and only its pages go on", Gauge::default());
        let leases_granted = metric!("lease_renewals_granted", "Renewals granted by this node", Counter::default());
        let leases_refused =
            metric!("lease_renewals_refused", "Requests for leases refused by this node, by reason", Family::default());
        let gates_closed = metric!("gates_closed", "Gates noted as closed by this node", Counter::default());
        let leases_settled = metric!(
            "leases_settled",
            "Whether this node leads and the leases of all earlier leaders are over",
            Gauge::default()
        );
        let ranges_awaiting = metric!(
            "lease_ranges_awaiting",
            "Ranges whose new owner waits for an earlier one, by the leader's book",
            Gauge::default()
        );
        let last_ack_seconds =
            metric!("peer_last_ack_seconds", "Time since a peer last answered the leader", Family::default());
        Self {
            registry: Arc::new(registry),
            has_leader,
            is_leader,
            term,
            leader_changes,
            committed,
            applied,
            failed,
            pending,
            ranges,
            members,
            settled,
            store_bytes,
            absorbing_seconds,
            commit_seconds,
            peer_rtt,
            peer_connected,
            lag_entries,
            diverged,
            diverged_here,
            stopped,
            leases_granted,
            leases_refused,
            gates_closed,
            leases_settled,
            ranges_awaiting,
            last_ack_seconds,
        }
    }
}

impl Metrics {
    /// Notes a finished fsync.
    pub fn synced(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Notes how large the node's directory is, and for how long its database has been
    /// taking over a full segment.
    pub fn sample_store(&self, bytes: u64, absorbing: Option<Duration>) {
        self.store_bytes.set(signed(bytes));
        self.absorbing_seconds.set(absorbing.unwrap_or_default().as_secs_f64());
    }

    /// Notes how the connections to the peers are.
    pub fn sample_peers(&self, peers: &[PeerStatus]) {
        self.peer_rtt.clear();
        self.peer_connected.clear();
        for status in peers {
            let label = [("peer", status.peer.id.to_string())];
            self.peer_connected.get_or_create(&label).set(i64::from(status.consensus.connected));
            if let Some(round_trip) = status.round_trip {
                self.peer_rtt.get_or_create(&label).set(round_trip.as_secs_f64());
            }
        }
    }

    /// The page that is scraped.
    pub fn page(&self, supervisor: &Supervisor, me: Incarnation) -> Result<String, fmt::Error> {
        self.sample(supervisor, me);
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }

    /// Follows the leadership until the node stops.
    pub async fn follow(self, consensus: Arc<dyn cp_seam::ControlPlaneConsensus>) {
        let mut watch = consensus.watch();
        drop(consensus);
        let mut leader = watch.current().leader;
        while let Ok(status) = watch.changed_beyond_indexes().await {
            if status.leader.is_some() && status.leader != leader {
                self.leader_changes.inc();
                leader = status.leader;
            }
        }
    }

    fn sample(&self, supervisor: &Supervisor, me: Incarnation) {
        let status = supervisor.status();
        let consensus = supervisor.consensus();
        self.has_leader.set(i64::from(status.leader.is_some()));
        self.is_leader.set(i64::from(consensus.is_leader()));
        self.term.set(signed(status.term.0));
        self.committed.inner().store(status.committed.0, Ordering::Relaxed);
        self.applied.inner().store(status.applied.0, Ordering::Relaxed);
        let counts = supervisor.counts();
        self.failed.inner().store(counts.failed, Ordering::Relaxed);
        self.pending.set(signed(counts.pending));
        self.settled.set(i64::from(status.settled));
        self.diverged_here.set(status.diverged_at.map_or(0, |index| signed(index.0)));
        self.stopped.set(i64::from(status.stopped.is_some()));
        let catalog = supervisor.read_stale().catalog;
        self.ranges.set(i64::try_from(catalog.range_count()).unwrap_or(i64::MAX));
        self.members.set(i64::try_from(catalog.members().count()).unwrap_or(i64::MAX));
        self.sample_leases(supervisor);
        self.lag_entries.clear();
        self.last_ack_seconds.clear();
        self.diverged.clear();
        if status.role != ControlPlaneRole::Leader {
            return;
        }
        for peer in consensus.progress().into_iter().filter(|peer| peer.incarnation != me) {
            let label = [("peer", peer.member.to_string())];
            let lag = status.committed.0.saturating_sub(peer.matched.0);
            self.lag_entries.get_or_create(&label).set(signed(lag));
            if let Some(index) = peer.diverged_at {
                self.diverged.get_or_create(&label).set(signed(index.0));
            }
            if let Some(age) = peer.last_ack {
                self.last_ack_seconds.get_or_create(&label).set(age.as_secs_f64());
            }
        }
    }
}

impl Metrics {
    fn sample_leases(&self, supervisor: &Supervisor) {
        let (counts, desk) = (supervisor.leases().counts(), supervisor.leases().status());
        self.leases_granted.inner().store(counts.granted, Ordering::Relaxed);
        self.gates_closed.inner().store(counts.closed, Ordering::Relaxed);
        for (reason, count) in [
            ("not_leader", counts.not_leader),
            ("unconfirmed", counts.unconfirmed),
            ("not_a_member", counts.not_a_member),
            ("earlier_life", counts.earlier_life),
            ("denied", counts.denied),
        ] {
            self.leases_refused.get_or_create(&[("reason", reason)]).inner().store(count, Ordering::Relaxed);
        }
        self.leases_settled.set(i64::from(desk.is_some_and(|desk| desk.settles_in.is_zero())));
        self.ranges_awaiting.set(desk.map_or(0, |desk| i64::try_from(desk.awaiting).unwrap_or(i64::MAX)));
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
