//! What is measured, a part at a time.

pub(crate) mod catch_up;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod pause;
pub(crate) mod restart;
mod scout;

use crate::load::Period;
use crate::subject::Subject;
use clap::ValueEnum;
use std::fmt;
use std::time::Duration;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Latency and throughput by concurrency, and bytes written
    Load,
    /// How long after a SIGKILL clients are served again
    Failover,
    /// For how long nobody is served while leadership is handed over
    Transfer,
    /// For how long nobody is served while a member is admitted, and while it is removed
    Membership,
    /// How long a killed node takes to be back, by the length of its log
    Restart,
    /// How fast a node that was away catches up, from the log and from a snapshot
    CatchUp,
    /// What an idle node holds in memory
    Memory,
    /// What each piece costs by itself
    Micro,
}

impl Section {
    pub(crate) const ALL: &[Self] = &[
        Self::Load,
        Self::Failover,
        Self::Transfer,
        Self::Membership,
        Self::Restart,
        Self::CatchUp,
        Self::Memory,
        Self::Micro,
    ];
    /// What is measured of whole clusters next to each other, in this order: leaders are killed last.
    pub(crate) const COMPARED: &[Self] = &[Self::Load, Self::Transfer, Self::Membership, Self::Failover];

    /// What goes on meanwhile.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Load => "latency and throughput, in turns",
            Self::Failover => "leaders killed",
            Self::Transfer => "leadership handed over, under load",
            Self::Membership => "a fourth member comes and goes, under load",
            Self::Restart => "a follower is killed and started",
            Self::CatchUp => "a follower catches up",
            Self::Memory => "memory of idle nodes",
            Self::Micro => "micro-benchmarks",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("a section", |value| value.get_name()))
    }
}

/// How many proposers there are at once.
pub(crate) const PROPOSERS: [u64; 4] = [1, 8, 64, 256];
/// How many proposers there are while leadership is handed over or members change.
const STEADY: u64 = 8;
/// With so many ranges memory is looked at.
pub(crate) const RANGES: u64 = 10_000;
/// The restart that has a target: so many entries retained before the snapshot, and so many after it.
pub(crate) const LONG_LOG: (u64, u64) = (1_000_000, 10_000);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    pub(crate) kills: usize,
    pub(crate) transfers: usize,
    /// How often a member comes and goes.
    pub(crate) changes: usize,
    /// How often each restart is measured.
    pub(crate) restarts: usize,
    /// How many entries there are after the last snapshot, in ascending order.
    pub(crate) after_snapshot: &'static [u64],
    /// Whether [`LONG_LOG`] is measured.
    pub(crate) long_log: bool,
    /// How often a node is left behind, and by how many entries.
    pub(crate) catch_ups: usize,
    pub(crate) behind: u64,
    pub(crate) scout: Period,
    pub(crate) load: Period,
    pub(crate) floor: Duration,
}

impl Extent {
    pub(crate) fn whole() -> Self {
        let period = |counted_ms| Period {
            warm: Duration::from_millis(counted_ms / 5),
            counted: Duration::from_millis(counted_ms),
        };
        Self {
            rounds: 5,
            kills: 30,
            transfers: 5,
            changes: 5,
            restarts: 5,
            after_snapshot: &[0, 1_000, 10_000, 50_000],
            long_log: true,
            catch_ups: 3,
            behind: 50_000,
            scout: period(1000),
            load: period(4000),
            floor: Duration::from_secs(2),
        }
    }

    pub(crate) fn quick() -> Self {
        let period =
            |counted_ms| Period { warm: Duration::from_millis(100), counted: Duration::from_millis(counted_ms) };
        Self {
            rounds: 3,
            kills: 3,
            transfers: 1,
            changes: 1,
            restarts: 1,
            after_snapshot: &[0, 2_000],
            long_log: false,
            catch_ups: 1,
            behind: 20_000,
            scout: Period { warm: Duration::from_millis(50), counted: Duration::from_millis(200) },
            load: period(800),
            floor: Duration::from_millis(500),
        }
    }
}

type Subjects = [Box<dyn Subject>];
