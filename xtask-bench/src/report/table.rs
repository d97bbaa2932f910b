//! The report on a terminal.

use super::target::{Limit, Target};
use super::{Report, Source};
use crate::latency::median;
use comfy_table::{CellAlignment, Table, presets};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

pub(crate) fn print(report: &Report) {
    let floor = &report.floor;
    anstream::println!(
        "\n{BOLD}floor{OFF}: two dependent durable writes and a round trip {:.0} us p50 (one write {:.0} us, the round trip {:.0} us)",
        floor.whole.p50_us,
        floor.sync.p50_us,
        floor.trip.p50_us
    );
    if let Some(missing) = &report.missing {
        anstream::println!("{RED}left out{OFF}: {missing}");
    }
    if !report.loads.is_empty() {
        let head = [
            "",
            "way",
            "proposers",
            "connections",
            "p50 us",
            "x floor",
            "p99 us",
            "p99.9 us",
            "commits/s",
            "bytes/commit",
        ];
        let rows = report.loads.iter().map(|load| {
            vec![
                load.subject.clone(),
                load.way.to_string(),
                load.proposers.to_string(),
                load.connections.to_string(),
                format!("{:.0}", load.p50_us()),
                format!("{:.2}", load.p50_us() / floor.whole.p50_us),
                format!("{:.0}", load.p99_us()),
                format!("{:.0}", load.p999_us()),
                format!("{:.0}", load.throughput()),
                format!("{:.0}", load.written_bytes()),
            ]
        });
        show("latency and throughput, the median of the rounds", &head, rows, 2);
    }
    for (what, series) in report.timed() {
        if !series.is_empty() {
            let rows = series.iter().map(|series| {
                let [median, max] = [series.median_ms(), series.max_ms()].map(|ms| format!("{ms:.0}"));
                vec![series.subject.clone(), series.values_ms.len().to_string(), median, max]
            });
            show(&format!("{what}, ms"), &["", "times", "median", "max"], rows, 1);
        }
    }
    for (title, head, rows) in nodes(report) {
        show(title, &head, rows.into_iter(), 1);
    }
    for table in super::micro::tables(report) {
        show(table.title, table.head, table.rows.into_iter(), 1);
    }
    if !report.targets.is_empty() {
        anstream::println!("\n{BOLD}targets{OFF}");
        for target in &report.targets {
            let (colour, word) = if target.is_met() { (GREEN, "met   ") } else { (RED, "missed") };
            anstream::println!(
                "  {colour}{word}{OFF} {:>7.2} {:<10} {} [{}]",
                target.value,
                limit(target),
                target.what,
                target.subject
            );
        }
    }
}

/// A title, the head, the rows.
pub(super) type Tabled = (&'static str, Vec<&'static str>, Vec<Vec<String>>);

/// What single nodes came to; tables without a row are left out.
pub(super) fn nodes(report: &Report) -> Vec<Tabled> {
    let restarts = report.restarts.iter().map(|one| {
        let [applied, following] = [one.median_applied_ms(), one.median_following_ms()].map(|ms| format!("{ms:.0}"));
        let times = one.applied_ms.len().to_string();
        vec![one.subject.clone(), one.before.to_string(), one.after.to_string(), times, applied, following]
    });
    let catch_ups = report.catch_ups.iter().map(|one| {
        let rate = median(&one.rates());
        let rate = if rate.is_finite() { format!("{rate:.0}") } else { "-".to_owned() };
        let mib = one.median(|caught| caught.snapshot_bytes as f64) / f64::from(1 << 20);
        let mib = if one.source == Source::Snapshot { format!("{mib:.2}") } else { "-".to_owned() };
        let [behind, took] = [one.median(|caught| caught.entries as f64), median(&one.times_ms())];
        let (behind, took) = (format!("{behind:.0}"), format!("{took:.0}"));
        vec![one.subject.clone(), one.source.to_string(), one.rounds.len().to_string(), behind, took, rate, mib]
    });
    let memory = report.memory.iter().map(|one| {
        let [resident, own] = [one.resident_mib, one.anonymous_mib].map(|mib| format!("{mib:.1}"));
        let (ranges, entries) = (one.ranges.to_string(), one.entries.to_string());
        vec![one.subject.clone(), one.role.to_string(), ranges, entries, resident, own]
    });
    let tables = [
        (
            "a follower restarted, ms from the start of its process, the median",
            vec!["", "before the snapshot", "after it", "times", "all applied", "knows its leader"],
            restarts.collect::<Vec<_>>(),
        ),
        (
            "a follower catching up, the median",
            vec![
                "",
                "from",
                "times",
                "entries behind",
                "ms from its start",
                "entries/s from its first ack",
                "snapshot MiB",
            ],
            catch_ups.collect(),
        ),
        (
            "memory of an idle node, MiB",
            vec!["", "", "ranges", "after entries", "resident", "of it allocated"],
            memory.collect(),
        ),
    ];
    tables.into_iter().filter(|(_, _, rows)| !rows.is_empty()).collect()
}

pub(super) fn limit(target: &Target) -> String {
    match target.limit {
        Limit::AtMost(limit) => format!("<= {limit}"),
        Limit::AtLeast(limit) => format!(">= {limit}"),
    }
}

fn show(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>, names: usize) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head.to_vec()).add_rows(rows);
    table.column_iter_mut().skip(names).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    anstream::println!("\n{BOLD}{title}{OFF}\n{table}");
}
