//! The micro-benchmarks in the report: every figure, what the seam adds, what grows with the ranges.

use super::figures::Table;
use super::html::figure;
use super::svg::{Axis, Line, Scale, plot};
use super::target::{Judge, Limit, Needs};
use super::{Report, html};
use crate::latency::median;
use crate::run::ENGINES;
use crate::section::Section;
use serde::{Deserialize, Serialize};

/// One micro-benchmark, a value for each round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MicroSeries {
    /// `group/what/size`; not all have a size.
    pub(crate) id: String,
    pub(crate) values_ns: Vec<f64>,
}

impl MicroSeries {
    pub(crate) fn median_ns(&self) -> f64 {
        median(&self.values_ns)
    }

    /// What it is, and its size.
    fn parts(&self) -> (&str, Option<f64>) {
        let sized = self.id.rsplit_once('/');
        sized.and_then(|(what, size)| Some((what, Some(size.parse().ok()?)))).unwrap_or((&self.id, None))
    }
}

/// What stands between a proposal and an engine.
#[derive(Debug, Clone, PartialEq)]
struct Added {
    engine: &'static str,
    place: &'static str,
    proposers: u64,
    /// Medians over the rounds, of each round by itself: the machine's noise is in both.
    alone_us: f64,
    added_us: f64,
}

impl Added {
    fn share(&self) -> f64 {
        self.added_us / self.alone_us
    }
}

/// How much may be added to a proposal: the larger of the two.
const ADDED_US_MAX: f64 = 1.0;
const ADDED_SHARE_MAX: f64 = 0.03;

/// Who works where, and how many proposals are under way.
const PLACES: [(&str, u64); 4] = [("one thread", 1), ("one thread", 64), ("threads", 1), ("threads", 64)];

fn added(series: &[MicroSeries]) -> Vec<Added> {
    let mut all = Vec::new();
    for engine in ENGINES {
        for (place, proposers) in PLACES {
            let of = |what: &str| find(series, &format!("seam on {engine}/{what}, {place}/{proposers}"));
            let (Some(alone), Some(adapter)) = (of("engine alone"), of("adapter")) else { continue };
            let pairs = alone.values_ns.iter().zip(&adapter.values_ns);
            let added: Vec<_> = pairs.map(|(alone, adapter)| adapter - alone).collect();
            let (alone_us, added_us) = (alone.median_ns() / 1e3, median(&added) / 1e3);
            all.push(Added { engine, place, proposers, alone_us, added_us });
        }
    }
    all
}

fn find<'a>(series: &'a [MicroSeries], id: &str) -> Option<&'a MicroSeries> {
    series.iter().find(|series| series.id == id)
}

/// What the seam itself adds: calls by table, futures on the heap.
fn itself_us(series: &[MicroSeries]) -> Option<f64> {
    let of = |what: &str| find(series, &format!("seam/propose and outcome, {what}")).map(MicroSeries::median_ns);
    Some((of("the seam")? - of("the type")?) / 1e3)
}

/// What both sides of the comparison run on.
const SETTING: &str =
    "seam, driver and cp-store on a memory disk, next to the bare engine on a memory store of its own";

pub(super) fn judge(report: &Report, judge: &mut Judge<'_>) {
    let needs = Needs::of(&[Section::Micro]);
    let itself = itself_us(&report.micro);
    judge.put("us that the seam itself adds to a proposal", "both", Limit::AtMost(ADDED_US_MAX), needs, itself);
    let added = added(&report.micro);
    for engine in ENGINES {
        for (place, proposers) in PLACES {
            let is = |added: &&Added| (added.engine, added.place, added.proposers) == (engine, place, proposers);
            let added = added.iter().find(is);
            let limit = added.map_or(ADDED_US_MAX, |added| (added.alone_us * ADDED_SHARE_MAX).max(ADDED_US_MAX));
            let in_production = if place == "threads" { ", as in production" } else { "" };
            let what =
                format!("us added to a proposal, {place}{in_production}, {proposers} at once: {SETTING} (1 us or 3 %)");
            judge.put(&what, engine, Limit::AtMost(limit), needs, added.map(|added| added.added_us));
        }
    }
}

pub(super) fn tables(report: &Report) -> Vec<Table> {
    let series = &report.micro;
    let added = added(series).into_iter().map(|added| {
        let share = format!("{:.0} %", added.share() * 100.0);
        let [alone, us] = [added.alone_us, added.added_us].map(|us| format!("{us:.2}"));
        vec![format!("{}, {}", added.engine, added.place), added.proposers.to_string(), alone, us, share]
    });
    let added = Table {
        title: format!("what is added to a proposal: {SETTING}"),
        head: vec!["", "proposers", "engine alone us", "added us", "added"],
        names: 1,
        rows: added.collect(),
    };
    let rows = series.iter().map(|series| {
        let (what, size) = series.parts();
        let size = size.map(|size| format!("{size}")).unwrap_or_default();
        vec![what.to_owned(), size, duration(series.median_ns())]
    });
    let (title, head) = ("micro-benchmarks, the median of the rounds".to_owned(), vec!["", "size", "each"]);
    let all = Table { title, head, names: 1, rows: rows.collect() };
    [added, all].into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn duration(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 1e3 => format!("{nanos:.1} ns"),
        nanos if nanos < 1e6 => format!("{:.2} us", nanos / 1e3),
        nanos => format!("{:.2} ms", nanos / 1e6),
    }
}

pub(super) fn page(report: &Report, body: &mut String) {
    if report.micro.is_empty() {
        return;
    }
    *body += "<h2>Micro-benchmarks</h2><div class=\"plots\">";
    let plots = [
        ("catalog/", "Scaling by ranges", "ranges"),
        ("store/", "A durable batch by its entries", "entries in the batch"),
    ];
    for (group, caption, title) in plots {
        let lines = lines(&report.micro, group);
        if !lines.is_empty() {
            let x = Axis { title, scale: Scale::Logarithmic, marks: Vec::new() };
            let y = Axis { title: "microseconds", scale: Scale::Logarithmic, marks: Vec::new() };
            figure(body, caption, &plot(&lines, &x, &y));
        }
    }
    *body += "</div>";
    for table in tables(report) {
        *body += &format!("<h3>{}</h3>", table.title);
        *body += &html::table(&table);
    }
}

/// A line for each benchmark of the group that has sizes, in microseconds.
fn lines(series: &[MicroSeries], group: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for series in series {
        let (Some(name), (_, Some(size))) = (series.parts().0.strip_prefix(group), series.parts()) else { continue };
        let point = (size, series.median_ns() / 1e3);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: name.to_owned(), points: vec![point], dashed: false }),
        }
    }
    lines.iter_mut().for_each(|line| line.points.sort_by(|one, other| one.0.total_cmp(&other.0)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(id: &str, values_ns: &[f64]) -> MicroSeries {
        MicroSeries { id: id.to_owned(), values_ns: values_ns.to_vec() }
    }

    /// A round that was slow as a whole is no overhead.
    #[test]
    fn what_is_added_is_taken_round_by_round() {
        let all = [
            series("seam on raftrs/engine alone, one thread/1", &[10_000.0, 30_000.0, 11_000.0]),
            series("seam on raftrs/adapter, one thread/1", &[12_000.0, 32_000.0, 14_000.0]),
        ];
        let added = added(&all);
        let [one] = added.as_slice() else { panic!("{added:?}") };
        assert_eq!((one.engine, one.alone_us, one.added_us), ("raftrs", 11.0, 2.0));
    }

    #[test]
    fn what_has_sizes_is_a_line() {
        let all = [
            series("catalog/apply/10000", &[3000.0]),
            series("catalog/apply/1000", &[2000.0]),
            series("codec/encode", &[100.0]),
            series("catalog/sizeless", &[100.0]),
        ];
        let lines = lines(&all, "catalog/");
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((line.name.as_str(), line.points.as_slice()), ("apply", [(1e3, 2.0), (1e4, 3.0)].as_slice()));
    }

    /// A target that is missed as run in production is said to be.
    #[test]
    fn what_is_added_is_judged_wherever_it_is_measured() {
        let mut report = super::super::target::tests::report(Vec::new(), Vec::new());
        for (what, nanos) in [("engine alone", 10_000.0), ("adapter", 24_000.0)] {
            report.micro.push(series(&format!("seam on raftrs/{what}, threads/1"), &[nanos]));
        }
        report.judge();
        let added: Vec<_> = report.targets.iter().filter(|target| target.what.starts_with("us added")).collect();
        assert_eq!(added.len(), 8, "both engines, one thread and threads, 1 and 64");
        let judged: Vec<_> =
            added.iter().filter_map(|target| Some((target.subject.as_str(), target.is_met()?))).collect();
        assert_eq!(judged, [("raftrs", false)]);
    }
}
