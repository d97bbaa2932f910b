//! What the figures are held to.

use super::{Report, Series};
use crate::run::ENGINES;
use crate::section::{LONG_LOG, PROPOSERS};
use crate::subject::Way;
use serde::{Deserialize, Serialize};

/// A figure or a ratio of two that is to stay on one side of a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) subject: String,
    pub(crate) limit: Limit,
    pub(crate) value: f64,
}

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        }
    }
}

const PEER: &str = "etcd";
const PEER_EQUAL: &str = "etcd, equal timeouts";

/// Each target of which both sides were measured.
pub(crate) fn judge(report: &Report) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut put = |what: &str, subject: &str, limit, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            targets.push(Target { what: what.to_owned(), subject: subject.to_owned(), limit, value });
        }
    };
    for engine in ENGINES {
        let own = |way, proposers| report.load(engine, way, proposers);
        let peer = |proposers| report.load(PEER, Way::Client, proposers);
        let p50 = own(Way::Embedded, 1).map(super::LoadSeries::p50_us);
        put(
            "commit p50, one proposer, embedded, over the floor",
            engine,
            Limit::AtMost(2.0),
            ratio(p50, Some(report.floor.whole.p50_us)),
        );
        let peer_p50 = peer(1).map(super::LoadSeries::p50_us);
        put("the same, over etcd's", engine, Limit::AtMost(0.6), ratio(p50, peer_p50));
        for proposers in [64, 256] {
            let rates = (own(Way::Client, proposers), peer(proposers));
            let rates = ratio(rates.0.map(super::LoadSeries::throughput), rates.1.map(super::LoadSeries::throughput));
            let what = format!("throughput, {proposers} proposers, client API, over etcd's");
            put(&what, engine, Limit::AtLeast(2.5), rates);
        }
        let rates = (own(Way::Embedded, 64), peer(64));
        let rates = ratio(rates.0.map(super::LoadSeries::throughput), rates.1.map(super::LoadSeries::throughput));
        put("throughput, 64 proposers, embedded, over etcd's", engine, Limit::AtLeast(5.0), rates);
        let tails = (own(Way::Client, 64), peer(64));
        let tails = ratio(tails.0.map(super::LoadSeries::p99_us), tails.1.map(super::LoadSeries::p99_us));
        put("p99, 64 proposers, client API, over etcd's", engine, Limit::AtMost(0.5), tails);
        let failover =
            |subject: &str| report.failovers.iter().find(|series| series.subject == subject).map(Series::median_ms);
        put(
            "failover, median, both at their defaults, over etcd's",
            engine,
            Limit::AtMost(0.5),
            ratio(failover(engine), failover(PEER)),
        );
        put(
            "failover, median, equal election timeouts, over etcd's",
            engine,
            Limit::AtMost(1.0),
            ratio(failover(engine), failover(PEER_EQUAL)),
        );
        let elections = report.loads.iter().filter(|load| load.subject == engine).map(|load| load.elections);
        let elections: u64 = elections.sum();
        if !report.loads.is_empty() {
            put("elections that nobody asked for", engine, Limit::AtMost(0.0), Some(elections as f64));
        }
        let (before, after) = LONG_LOG;
        let mut restarts = report.restarts.iter().filter(|one| one.subject == engine);
        let long = restarts.find(|one| one.is_like(before, after)).map(|one| one.median_following_ms() / 1e3);
        let what = format!("restart, {before} entries before the snapshot and {after} after, seconds");
        put(&what, engine, Limit::AtMost(1.0), long);
        for held in report.memory.iter().filter(|held| held.subject == engine) {
            let what =
                format!("memory of an idle {}, {} ranges, after {} entries, MiB", held.role, held.ranges, held.entries);
            put(&what, engine, Limit::AtMost(64.0), Some(held.resident_mib));
        }
    }
    let [one, other] = ENGINES;
    for way in [Way::Embedded, Way::Client] {
        for proposers in PROPOSERS {
            let (Some(one), Some(other)) = (report.load(one, way, proposers), report.load(other, way, proposers))
            else {
                continue;
            };
            let apart = |one: f64, other: f64| Some(one.max(other) / one.min(other));
            let what = format!("p50 of the slower engine over the faster, {proposers} proposers, {way}");
            put(&what, "both", Limit::AtMost(1.3), apart(one.p50_us(), other.p50_us()));
            let what = format!("throughput of the faster engine over the slower, {proposers} proposers, {way}");
            put(&what, "both", Limit::AtMost(1.3), apart(one.throughput(), other.throughput()));
        }
    }
    targets.extend(super::micro::judge(report));
    targets
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::Floor;
    use crate::latency::Latencies;
    use crate::load::Load;
    use crate::machine::Machine;
    use crate::report::{FloorReport, Held, LoadSeries, Restart, Role, Setup};
    use crate::section::{Extent, Section};
    use std::time::Duration;

    fn report(restarts: Vec<Restart>, memory: Vec<Held>) -> Report {
        Report {
            format: Report::FORMAT,
            taken: String::new(),
            quick: false,
            setup: Setup::of(&Extent::whole(), Section::ALL, false),
            machine: Machine::of("/".as_ref()),
            subjects: Vec::new(),
            missing: None,
            entry_len: 84,
            floor: FloorReport::of(&Floor::none().unwrap()),
            loads: Vec::new(),
            failovers: Vec::new(),
            transfers: Vec::new(),
            admissions: Vec::new(),
            removals: Vec::new(),
            restarts,
            catch_ups: Vec::new(),
            memory,
            micro: Vec::new(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn the_long_log_is_judged_by_when_its_node_is_back() {
        let restart = |before, after, following_ms: f64| {
            let (applied_ms, following_ms) = (vec![10.0; 3], vec![following_ms, 1.0, following_ms]);
            Restart { subject: "raftrs".to_owned(), before, after, applied_ms, following_ms }
        };
        let judged = |ms| {
            let targets =
                judge(&report(vec![restart(520, 10_000, 5000.0), restart(1_000_512, 10_001, ms)], Vec::new()));
            let [target] = targets.try_into().unwrap();
            (target.is_met(), target.value)
        };
        assert_eq!(judged(999.0), (true, 0.999));
        assert_eq!(judged(1001.0), (false, 1.001));
        assert_eq!(judge(&report(vec![restart(0, 10_000, 1.0)], Vec::new())), []);
    }

    #[test]
    fn every_idle_node_is_judged() {
        let held = |role, resident_mib| Held {
            subject: "openraft".to_owned(),
            role,
            ranges: 10_000,
            entries: 10_520,
            resident_mib,
            anonymous_mib: 1.0,
        };
        let targets = judge(&report(Vec::new(), vec![held(Role::Leader, 64.5), held(Role::Follower, 63.5)]));
        assert_eq!(targets.iter().map(Target::is_met).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn the_engines_are_compared_at_every_concurrency() {
        let mut report = report(Vec::new(), Vec::new());
        for proposers in PROPOSERS {
            for (engine, micros) in [("openraft", 140), ("raftrs", 100)] {
                report.loads.push(load(engine, proposers, micros));
            }
        }
        let apart = judge(&report).into_iter().filter(|target| target.subject == "both");
        let missed: Vec<_> = apart.filter(|target| !target.is_met()).map(|target| target.what).collect();
        let of = |proposers| format!("p50 of the slower engine over the faster, {proposers} proposers, embedded");
        assert_eq!(missed, PROPOSERS.map(of));
    }

    fn load(engine: &str, proposers: u64, micros: u64) -> LoadSeries {
        let mut latencies = Latencies::none().unwrap();
        latencies.add(Duration::from_micros(micros));
        let load = Load { latencies, elapsed: Duration::from_secs(1), committed: 1 };
        let mut series = LoadSeries::new(engine, Way::Embedded, proposers, 1);
        series.add(&load, None);
        series
    }
}
