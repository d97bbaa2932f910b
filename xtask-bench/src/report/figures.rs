//! The report's figures as tables, for the terminal and the page alike.

use super::{Report, Series, Source, micro};
use crate::latency::{Summary, median};
use crate::subject::Way;

/// A table of the report.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) head: Vec<&'static str>,
    /// How many columns, from the first, are no figures.
    pub(super) names: usize,
    pub(super) rows: Vec<Vec<String>>,
}

/// A figure, or that there is none.
pub(super) fn figure(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

/// Latency and throughput, below the floor that they are multiples of.
pub(super) fn loads(report: &Report) -> Option<Table> {
    let head = vec![
        "",
        "way",
        "proposers",
        "connections",
        "p50 us",
        "x floor",
        "p99 us",
        "x floor",
        "p99.9 us",
        "x floor",
        "commits/s",
        "bytes/commit",
    ];
    let latencies = |all: [f64; 3]| {
        all.into_iter().flat_map(|us| [figure(us, 0), figure(us / report.floor.whole.p50_us, 2)]).collect::<Vec<_>>()
    };
    let Summary { p50_us, p99_us, p999_us, .. } = report.floor.whole;
    let dashes = |count| vec!["-".to_owned(); count];
    let floor = [vec!["floor".to_owned()], dashes(3), latencies([p50_us, p99_us, p999_us]), dashes(2)].concat();
    let rows = report.loads.iter().map(|load| {
        let connections = if load.way == Way::Embedded { "-".to_owned() } else { load.connections.to_string() };
        let of = vec![load.subject.clone(), load.way.to_string(), load.proposers.to_string(), connections];
        let rates = vec![figure(load.throughput(), 0), figure(load.written_bytes(), 0)];
        [of, latencies([load.p50_us(), load.p99_us(), load.p999_us()]), rates].concat()
    });
    let rows: Vec<_> = std::iter::once(floor).chain(rows).collect();
    let title = "latency and throughput, the median of the rounds, p99.9 of all rounds at once".to_owned();
    (!report.loads.is_empty()).then_some(Table { title, head, names: 2, rows })
}

/// What was timed again and again.
pub(super) fn timed(title: &str, all: &[Series]) -> Table {
    let rows = all.iter().map(|series| {
        let [median, max] = [series.median_ms(), series.max_ms()].map(|ms| figure(ms, 0));
        vec![series.subject.clone(), series.values_ms.len().to_string(), median, max]
    });
    let head = vec!["", "times", "median", "max"];
    Table { title: format!("{title}, ms"), head, names: 1, rows: rows.collect() }
}

/// What single nodes came to; tables without a row are left out.
pub(super) fn nodes(report: &Report) -> Vec<Table> {
    let restarts = report.restarts.iter().map(|one| {
        let [applied, following] = [one.median_applied_ms(), one.median_following_ms()].map(|ms| figure(ms, 0));
        let times = one.applied_ms.len().to_string();
        vec![one.subject.clone(), one.before.to_string(), one.after.to_string(), times, applied, following]
    });
    let catch_ups = report.catch_ups.iter().map(|one| {
        let mib = one.median(|caught| caught.snapshot_bytes as f64) / f64::from(1 << 20);
        let mib = if one.source == Source::Snapshot { mib } else { f64::NAN };
        let [behind, took] = [one.median(|caught| caught.entries as f64), median(&one.times_ms())];
        let (rate, mib) = (figure(median(&one.rates()), 0), figure(mib, 2));
        let (behind, took, times) = (figure(behind, 0), figure(took, 0), one.rounds.len().to_string());
        vec![one.subject.clone(), one.source.to_string(), times, behind, took, rate, mib]
    });
    let memory = report.memory.iter().map(|one| {
        let [resident, own] = [one.resident_mib, one.anonymous_mib].map(|mib| figure(mib, 1));
        let (ranges, entries) = (one.ranges.to_string(), one.entries.to_string());
        vec![one.subject.clone(), one.role.to_string(), ranges, entries, resident, own]
    });
    let table = |title: &str, head: &[&'static str], rows| Table {
        title: title.to_owned(),
        head: head.to_vec(),
        names: 1,
        rows,
    };
    let restarts = table(
        "a follower restarted, ms from the start of its process, the median",
        &["", "before the snapshot", "after it", "times", "all applied", "knows its leader"],
        restarts.collect(),
    );
    let catch_ups = table(
        "a follower catching up, the median",
        &["", "from", "times", "entries behind", "ms from its start", "entries/s from its first ack", "snapshot MiB"],
        catch_ups.collect(),
    );
    let memory = table(
        "memory of an idle node, MiB",
        &["", "", "ranges", "after entries", "resident", "of it allocated"],
        memory.collect(),
    );
    [restarts, catch_ups, memory].into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// All of them.
pub(super) fn all(report: &Report) -> Vec<Table> {
    let timed = report.timed().into_iter().filter(|(_, all)| !all.is_empty()).map(|(title, all)| timed(title, all));
    loads(report).into_iter().chain(timed).chain(nodes(report)).chain(micro::tables(report)).collect()
}
