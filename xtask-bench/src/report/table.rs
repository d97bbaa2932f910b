//! The report on a terminal.

use super::Report;
use super::target::{Limit, Target};
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
    for (what, series) in
        [("failover, ms", &report.failovers), ("transfer under load, ms without service", &report.transfers)]
    {
        if !series.is_empty() {
            let rows = series.iter().map(|series| {
                let [median, max] = [series.median_ms(), series.max_ms()].map(|ms| format!("{ms:.0}"));
                vec![series.subject.clone(), series.values_ms.len().to_string(), median, max]
            });
            show(what, &["", "times", "median", "max"], rows, 1);
        }
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
