//! What the figures are held to.

use super::{LoadSeries, Report, Role, Series, micro};
use crate::peer;
use crate::run::ENGINES;
use crate::section::{LONG_LOG, PROPOSERS, RANGES, Section};
use crate::subject::Way;
use serde::{Deserialize, Serialize};

/// A figure or a ratio of two that is to stay on one side of a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) subject: String,
    pub(crate) limit: Limit,
    #[serde(flatten)]
    pub(crate) figure: Figure,
}

/// What is held to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    Value(f64),
    /// And why.
    NotMeasured(String),
}

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// Nobody knows of what was not measured.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match (&self.figure, self.limit) {
            (Figure::Value(value), Limit::AtMost(limit)) => Some(*value <= limit),
            (Figure::Value(value), Limit::AtLeast(limit)) => Some(*value >= limit),
            (Figure::NotMeasured(_), _) => None,
        }
    }
}

pub(super) const PEER: &str = peer::NAME;

/// Targets as they are judged.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    report: &'a Report,
    targets: Vec<Target>,
}

/// What a figure is measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    sections: &'static [Section],
    peer: bool,
}

impl Needs {
    pub(super) const fn of(sections: &'static [Section]) -> Self {
        Self { sections, peer: false }
    }

    const fn and_peer(self) -> Self {
        Self { peer: true, ..self }
    }
}

impl Judge<'_> {
    pub(super) fn put(&mut self, what: &str, subject: &str, limit: Limit, needs: Needs, value: Option<f64>) {
        let value = value.filter(|value| value.is_finite());
        let figure = value.map_or_else(|| Figure::NotMeasured(self.why_not(needs)), Figure::Value);
        self.targets.push(Target { what: what.to_owned(), subject: subject.to_owned(), limit, figure });
    }

    fn why_not(&self, needs: Needs) -> String {
        let report = self.report;
        let chosen = |section: &&Section| report.setup.has(**section);
        if let Some(section) = needs.sections.iter().find(|section| !chosen(section)) {
            return format!("section {} was not chosen", super::setup::name(*section));
        }
        if needs.peer && !report.subjects.iter().any(|subject| subject.name == PEER) {
            return report.missing.clone().unwrap_or_else(|| "etcd was not asked for: --peer etcd".to_owned());
        }
        let part = if report.quick { "no part of a quick run" } else { "no figure came of it" };
        part.to_owned()
    }
}

/// Every target, always the same ones.
pub(crate) fn judge(report: &Report) -> Vec<Target> {
    let mut judge = Judge { report, targets: Vec::new() };
    for engine in ENGINES {
        loads(&mut judge, engine);
        failovers(&mut judge, engine);
        elections(&mut judge, engine);
        nodes(&mut judge, engine);
    }
    for way in [Way::Embedded, Way::Client] {
        for proposers in PROPOSERS {
            engines(&mut judge, way, proposers);
        }
    }
    micro::judge(report, &mut judge);
    judge.targets
}

const LOAD: Needs = Needs::of(&[Section::Load]);

fn loads(judge: &mut Judge<'_>, engine: &str) {
    let report = judge.report;
    let figure = |subject, way, proposers, of: fn(&LoadSeries) -> f64| report.load(subject, way, proposers).map(of);
    let p50 = figure(engine, Way::Embedded, 1, LoadSeries::p50_us);
    let floor = Some(report.floor.whole.p50_us);
    let what = "commit p50, one proposer, embedded, over the floor";
    judge.put(what, engine, Limit::AtMost(2.0), LOAD, ratio(p50, floor));
    let over = ratio(p50, figure(PEER, Way::Client, 1, LoadSeries::p50_us));
    judge.put("the same, over etcd's", engine, Limit::AtMost(0.6), LOAD.and_peer(), over);
    let over = |way, proposers, of| ratio(figure(engine, way, proposers, of), figure(PEER, Way::Client, proposers, of));
    for proposers in [64, 256] {
        let what = format!("throughput, {proposers} proposers, client API, over etcd's");
        let rates = over(Way::Client, proposers, LoadSeries::throughput);
        judge.put(&what, engine, Limit::AtLeast(2.5), LOAD.and_peer(), rates);
    }
    let rates = over(Way::Embedded, 64, LoadSeries::throughput);
    let what = "throughput, 64 proposers, embedded, over etcd's";
    judge.put(what, engine, Limit::AtLeast(5.0), LOAD.and_peer(), rates);
    let tails = over(Way::Client, 64, LoadSeries::p99_us);
    let what = "p99, 64 proposers, client API, over etcd's";
    judge.put(what, engine, Limit::AtMost(0.5), LOAD.and_peer(), tails);
}

fn failovers(judge: &mut Judge<'_>, engine: &str) {
    let needs = Needs::of(&[Section::Failover]).and_peer();
    let all = &judge.report.failovers;
    let median = |subject: &str| all.iter().find(|series| series.subject == subject).map(Series::median_ms);
    for (what, peer, limit) in [
        ("both at their defaults", PEER, 0.5),
        ("equal election timeouts", peer::EQUAL_SETTING, 1.0),
        ("equal election windows", peer::EQUAL_WINDOW, 1.0),
    ] {
        let what = format!("failover, median, {what}, over etcd's");
        judge.put(&what, engine, Limit::AtMost(limit), needs, ratio(median(engine), median(peer)));
    }
}

fn elections(judge: &mut Judge<'_>, engine: &str) {
    let mut watched = judge.report.elections.iter().filter(|row| row.subject == engine).map(|row| row.count).peekable();
    let any = watched.peek().is_some();
    let count = any.then(|| watched.sum::<u64>() as f64);
    judge.put("elections that nobody asked for", engine, Limit::AtMost(0.0), Needs::of(&[]), count);
}

fn nodes(judge: &mut Judge<'_>, engine: &str) {
    let report = judge.report;
    let (before, after) = LONG_LOG;
    let mut restarts = report.restarts.iter().filter(|one| one.subject == engine);
    let long = restarts.find(|one| one.is_like(before, after)).map(|one| one.median_following_ms() / 1e3);
    let what = format!("restart, {before} entries before the snapshot and {after} after, seconds");
    judge.put(&what, engine, Limit::AtMost(1.0), Needs::of(&[Section::Restart]), long);
    for role in [Role::Leader, Role::Follower] {
        // In the order in which they were looked at.
        let mut held = report.memory.iter().filter(|held| held.subject == engine && held.role == role);
        let looks = [
            ("as they were made", Needs::of(&[Section::Memory])),
            ("after followers caught up", Needs::of(&[Section::Memory, Section::CatchUp])),
        ];
        for (when, needs) in looks {
            let what = format!("memory of an idle {role}, {RANGES} ranges, {when}, MiB");
            judge.put(&what, engine, Limit::AtMost(64.0), needs, held.next().map(|held| held.resident_mib));
        }
    }
}

fn engines(judge: &mut Judge<'_>, way: Way, proposers: u64) {
    let report = judge.report;
    let [one, other] = ENGINES.map(|engine| report.load(engine, way, proposers));
    let apart = |of: fn(&LoadSeries) -> f64| {
        let (one, other) = (of(one?), of(other?));
        Some(one.max(other) / one.min(other))
    };
    let what = format!("p50 of the slower engine over the faster, {proposers} proposers, {way}");
    judge.put(&what, "both", Limit::AtMost(1.3), LOAD, apart(LoadSeries::p50_us));
    let what = format!("throughput of the faster engine over the slower, {proposers} proposers, {way}");
    judge.put(&what, "both", Limit::AtMost(1.3), LOAD, apart(LoadSeries::throughput));
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::floor::Floor;
    use crate::latency::Latencies;
    use crate::load::Load;
    use crate::machine::Machine;
    use crate::report::{FloorReport, Held, LoadSeries, Restart, Role, Setup};
    use crate::section::{Extent, Section};
    use std::time::Duration;

    pub(in crate::report) fn report(restarts: Vec<Restart>, memory: Vec<Held>) -> Report {
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
            elections: Vec::new(),
            failed: Vec::new(),
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
            let measured = targets.into_iter().filter(|target| target.is_met().is_some());
            let [target] = measured.collect::<Vec<_>>().try_into().unwrap();
            (target.is_met(), target.figure)
        };
        assert_eq!(judged(999.0), (Some(true), Figure::Value(0.999)));
        assert_eq!(judged(1001.0), (Some(false), Figure::Value(1.001)));
        let other = judge(&report(vec![restart(0, 10_000, 1.0)], Vec::new()));
        assert!(other.iter().all(|target| target.is_met().is_none()), "{other:?}");
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
        assert_eq!(targets.iter().filter_map(Target::is_met).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn the_engines_are_compared_at_every_concurrency() {
        let mut report = report(Vec::new(), Vec::new());
        for proposers in PROPOSERS {
            for (engine, micros) in [("openraft", 140), ("raftrs", 100)] {
                report.loads.push(load(engine, Way::Embedded, proposers, micros));
            }
        }
        let apart = judge(&report).into_iter().filter(|target| target.subject == "both");
        let missed: Vec<_> = apart.filter(|target| target.is_met() == Some(false)).map(|target| target.what).collect();
        let of = |proposers| format!("p50 of the slower engine over the faster, {proposers} proposers, embedded");
        assert_eq!(missed, PROPOSERS.map(of));
    }

    pub(in crate::report) fn load(subject: &str, way: Way, proposers: u64, micros: u64) -> LoadSeries {
        let mut latencies = Latencies::none().unwrap();
        latencies.add(Duration::from_micros(micros));
        let load = Load { latencies, elapsed: Duration::from_secs(1), committed: 1 };
        let mut series = LoadSeries::new(subject, way, proposers, 1);
        series.add(&load, None);
        series
    }

    #[test]
    fn what_was_not_measured_is_still_listed_and_why() {
        let nothing = judge(&report(Vec::new(), Vec::new()));
        let mut some = report(Vec::new(), vec![]);
        some.loads.extend(ENGINES.map(|engine| load(engine, Way::Embedded, 1, 100)));
        some.setup.sections.retain(|section| section != "failover");
        some.missing = Some("etcd is not installed".to_owned());
        some.quick = true;
        let some = judge(&some);
        let names = |targets: &[Target]| {
            targets.iter().map(|target| (target.what.clone(), target.subject.clone())).collect::<Vec<_>>()
        };
        assert_eq!(names(&nothing), names(&some));
        let why = |targets: &[Target], what: &str| {
            let target = targets.iter().find(|target| target.what.contains(what)).unwrap();
            match &target.figure {
                Figure::NotMeasured(reason) => reason.clone(),
                Figure::Value(value) => value.to_string(),
            }
        };
        assert_eq!(why(&nothing, "throughput, 64"), "etcd was not asked for: --peer etcd");
        assert_eq!(why(&some, "throughput, 64"), "etcd is not installed");
        assert_eq!(why(&some, "failover"), "section failover was not chosen");
        assert_eq!(why(&some, "restart"), "no part of a quick run");
        assert_eq!(why(&nothing, "restart"), "no figure came of it");
        assert_eq!(why(&some, "p50 of the slower engine over the faster, 1 "), "1");
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut report = report(Vec::new(), Vec::new());
        report.loads.push(load("openraft", Way::Embedded, 1, 100));
        report.judge();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}
