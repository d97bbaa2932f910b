//! How a run is set up. Everything that a seed does not say is here, so a
//! violation prints both.

use crate::disk::Latency;
use crate::network::Conditions;
use crate::schedule::Kept;
use cp_driver::Settings;
use std::time::Duration;

/// The leases of a data plane beside the nodes.
#[derive(Debug, Clone, Copy)]
pub struct Leases {
    /// How long the longest is.
    pub length: Duration,
    /// Whether some processes grant shorter ones.
    pub lengths_differ: bool,
    /// By how much the rate of a clock may be wrong, and the margin allows for.
    pub drift_ppm: u32,
    /// How often a member asks for a renewal.
    pub renewal: Duration,
}

/// The setting of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many founding members, 1 to 7.
    pub nodes: usize,
    /// How many of them, the last ones, are witnesses.
    pub witnesses: usize,
    /// The tuning of each node; its seed is drawn.
    pub settings: Settings,
    /// The network at the start.
    pub network: Conditions,
    /// About how long the chunks of snapshots are; small ones make transfers of many steps.
    pub chunk_bytes: usize,
    /// How long disks take.
    pub disk: Latency,
    /// How long a storm of faults lasts, in runs that have one.
    pub storm: Duration,
    /// How many clients write during a storm.
    pub clients: usize,
    /// The longest time between two requests of a client.
    pub think: Duration,
    /// Whether members come and go in a storm.
    pub churn: bool,
    /// Whether callers ask for every transition of ranges that there is, rather than for
    /// promotions and copies alone.
    pub every_transition: bool,
    /// A data plane beside the nodes, whose leases are these. Callers close gates before they
    /// hand over, and force now and then.
    pub leases: Option<Leases>,
    /// Whether each storm has kinds of fault of its own, rather than all of them.
    pub swarm: bool,
    /// Which steps of the storm's schedule take place.
    pub kept: Kept,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            witnesses: 0,
            settings: Settings { snapshot_every: 64, retained: 16, proposals_max: 64, ..Settings::default() },
            network: Conditions::default(),
            chunk_bytes: 512 << 10,
            disk: Latency::default(),
            storm: Duration::from_secs(20),
            clients: 3,
            think: Duration::from_millis(80),
            churn: false,
            every_transition: false,
            leases: None,
            swarm: false,
            kept: Kept::All,
        }
    }
}

impl Options {
    /// The default with so many nodes.
    pub fn nodes(nodes: usize) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// For storms: snapshots are frequent, so that members fall behind them.
    pub fn storm(nodes: usize) -> Self {
        let calm = Self::nodes(nodes);
        Self { settings: Settings { snapshot_every: 24, retained: 8, ..calm.settings.clone() }, ..calm }
    }

    /// T.
    pub fn election_timeout(&self) -> Duration {
        self.settings.election_timeout
    }
}
