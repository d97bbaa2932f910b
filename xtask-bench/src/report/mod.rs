//! What a run came to, as it is kept: `report.json`.

pub(crate) mod compare;
mod figures;
pub(crate) mod html;
pub(crate) mod micro;
mod node;
mod setup;
mod svg;
pub(crate) mod table;
mod target;

use crate::elections::Elections;
use crate::floor::Floor;
use crate::latency::{Summary, median};
use crate::load::Load;
use crate::machine::Machine;
use crate::subject::{Subject, Way};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use micro::MicroSeries;
pub(crate) use node::{CatchUp, Held, Restart, Role, Source};
pub(crate) use setup::{Setup, engine_version};
pub(crate) use target::Target;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    pub(crate) taken: String,
    pub(crate) quick: bool,
    pub(crate) setup: Setup,
    pub(crate) machine: Machine,
    pub(crate) subjects: Vec<SubjectReport>,
    /// What was asked for and is not here.
    pub(crate) missing: Option<String>,
    /// How long a value is, in bytes: a log entry of ours, a value of the peer's.
    pub(crate) entry_len: usize,
    pub(crate) floor: FloorReport,
    pub(crate) loads: Vec<LoadSeries>,
    pub(crate) failovers: Vec<Series>,
    pub(crate) transfers: Vec<Series>,
    /// Pauses while a member is admitted and given its vote.
    pub(crate) admissions: Vec<Series>,
    /// Pauses while it is removed.
    pub(crate) removals: Vec<Series>,
    pub(crate) restarts: Vec<Restart>,
    pub(crate) catch_ups: Vec<CatchUp>,
    pub(crate) memory: Vec<Held>,
    /// None in reports of before there were any.
    #[serde(default)]
    pub(crate) micro: Vec<MicroSeries>,
    /// Elections that nobody asked for, in the whole run.
    #[serde(default)]
    pub(crate) elections: Vec<Elections>,
    /// Sections that failed, and why; what they had measured before is here.
    #[serde(default)]
    pub(crate) failed: Vec<String>,
    pub(crate) targets: Vec<Target>,
}

impl Report {
    pub(crate) const FORMAT: u32 = 3;

    /// What was timed again and again while something happened, and what that was.
    fn timed(&self) -> [(&'static str, &Vec<Series>); 4] {
        [
            ("failover: SIGKILL to the first client served", &self.failovers),
            ("leadership handed over under load: longest time without service", &self.transfers),
            ("a member admitted and given its vote, under load: longest time without service", &self.admissions),
            ("a member removed, under load: longest time without service", &self.removals),
        ]
    }

    /// That load, if it was measured.
    pub(crate) fn load(&self, subject: &str, way: Way, proposers: u64) -> Option<&LoadSeries> {
        self.loads.iter().find(|load| load.subject == subject && load.way == way && load.proposers == proposers)
    }

    /// Holds the figures to the floor and to the targets.
    pub(crate) fn judge(&mut self) {
        for load in &mut self.loads {
            load.over_floor = Multiples::of(load, self.floor.whole.p50_us);
        }
        self.targets = target::judge(self);
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubjectReport {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl SubjectReport {
    pub(crate) fn of(subject: &dyn Subject) -> Self {
        Self { name: subject.name().to_owned(), version: subject.version().to_owned() }
    }
}

/// The physical floor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FloorReport {
    /// Two dependent writes and a round trip.
    pub(crate) whole: Summary,
    /// One durable write.
    pub(crate) sync: Summary,
    /// One round trip.
    pub(crate) trip: Summary,
    pub(crate) curve: Vec<(f64, f64)>,
}

impl FloorReport {
    pub(crate) fn of(floor: &Floor) -> Self {
        let (whole, sync, trip) = (floor.whole.summary(), floor.sync.summary(), floor.trip.summary());
        Self { whole, sync, trip, curve: floor.whole.curve() }
    }
}

/// One load, round by round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadSeries {
    pub(crate) subject: String,
    pub(crate) way: Way,
    pub(crate) proposers: u64,
    pub(crate) connections: usize,
    /// What was tried before that was settled; empty if there was no choice.
    #[serde(default)]
    pub(crate) scouted: Vec<Scouted>,
    pub(crate) rounds: Vec<Round>,
    /// Over all rounds: quantile and microseconds.
    pub(crate) curve: Vec<(f64, f64)>,
    /// How often leadership changed meanwhile, which nobody asked for.
    pub(crate) elections: u64,
    /// How often it ended early, in scouting too, and was run again.
    #[serde(default)]
    pub(crate) failures: u64,
    /// None before it is judged, and without a floor.
    pub(crate) over_floor: Option<Multiples>,
}

/// A number of connections, and what it came to in short runs, commits a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scouted {
    pub(crate) connections: usize,
    pub(crate) throughputs: Vec<f64>,
}

/// Latencies as multiples of the floor's median.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Multiples {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Multiples {
    fn of(load: &LoadSeries, floor_us: f64) -> Option<Self> {
        let [p50, p99, p999] = [load.p50_us(), load.p99_us(), load.p999_us()].map(|us| us / floor_us);
        [p50, p99, p999].iter().all(|multiple| multiple.is_finite()).then_some(Self { p50, p99, p999 })
    }
}

/// One round of a load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) latency: Summary,
    /// A second.
    pub(crate) throughput: f64,
    /// By the disk for each committed entry: all members, their logs and the filesystem's journal; where the system says.
    pub(crate) written_bytes: Option<f64>,
}

impl LoadSeries {
    pub(crate) fn new(subject: &str, way: Way, proposers: u64, connections: usize) -> Self {
        let (subject, scouted, rounds, curve) = (subject.to_owned(), Vec::new(), Vec::new(), Vec::new());
        let (elections, failures, over_floor) = (0, 0, None);
        Self { subject, way, proposers, connections, scouted, rounds, curve, elections, failures, over_floor }
    }

    pub(crate) fn add(&mut self, load: &Load, written: Option<u64>) {
        let written_bytes = written.map(|bytes| bytes as f64 / load.committed as f64);
        self.rounds.push(Round { latency: load.latencies.summary(), throughput: load.throughput(), written_bytes });
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    pub(crate) fn p50_us(&self) -> f64 {
        self.median(|round| round.latency.p50_us)
    }

    pub(crate) fn p99_us(&self) -> f64 {
        self.median(|round| round.latency.p99_us)
    }

    /// Of all rounds at once: a round has too few that are slower.
    pub(crate) fn p999_us(&self) -> f64 {
        let at = self.curve.iter().find(|(quantile, _)| (quantile - 0.999).abs() < 1e-9);
        at.map_or(f64::NAN, |(_, micros)| *micros)
    }

    pub(crate) fn throughput(&self) -> f64 {
        self.median(|round| round.throughput)
    }

    pub(crate) fn written_bytes(&self) -> f64 {
        median(&self.rounds.iter().filter_map(|round| round.written_bytes).collect::<Vec<_>>())
    }
}

/// The same thing measured again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) subject: String,
    pub(crate) values_ms: Vec<f64>,
}

impl Series {
    pub(crate) fn new(subject: &str) -> Self {
        Self { subject: subject.to_owned(), values_ms: Vec::new() }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.values_ms.push(took.as_secs_f64() * 1e3);
    }

    pub(crate) fn median_ms(&self) -> f64 {
        median(&self.values_ms)
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.values_ms.iter().copied().fold(f64::NAN, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;

    /// A few that are slow in one round of three are in no median of rounds.
    #[test]
    fn the_tail_is_of_all_rounds_at_once() {
        let mut series = LoadSeries::new("one", Way::Client, 1, 1);
        let mut pooled = Latencies::none().unwrap();
        for slow in [0, 0, 10] {
            let mut latencies = Latencies::none().unwrap();
            (0..1000).for_each(|at| latencies.add(Duration::from_micros(if at < slow { 5000 } else { 100 })));
            pooled.merge(&latencies).unwrap();
            series.add(&Load { latencies, elapsed: Duration::from_secs(1), committed: 1000 }, None);
        }
        assert!(series.p999_us().is_nan(), "nothing is pooled yet");
        series.curve = pooled.curve();
        assert!((series.p999_us() - 5000.0).abs() < 10.0, "{}", series.p999_us());
        assert!((series.p99_us() - 100.0).abs() < 1.0, "{}", series.p99_us());
        let multiples = Multiples::of(&series, 50.0).unwrap();
        let near = |one: f64, other: f64| (one / other - 1.0).abs() < 0.01;
        assert!(near(multiples.p50, 2.0) && near(multiples.p99, 2.0) && near(multiples.p999, 100.0), "{multiples:?}");
        assert_eq!(Multiples::of(&series, 0.0), None, "there is no floor");
    }
}
