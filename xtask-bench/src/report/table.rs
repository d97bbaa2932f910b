//! The report on a terminal.

use super::target::{Figure, Limit, Target};
use super::{Report, figures};
use comfy_table::{CellAlignment, presets};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const OFF: &str = "\x1b[0m";

pub(crate) fn print(report: &Report) {
    let floor = &report.floor;
    anstream::println!("\n{}", report.setup.describe());
    anstream::println!(
        "{BOLD}floor{OFF}: two dependent durable writes and a round trip {:.0} us p50 (one write {:.0} us, the round trip {:.0} us)",
        floor.whole.p50_us,
        floor.sync.p50_us,
        floor.trip.p50_us
    );
    if let Some(missing) = &report.missing {
        anstream::println!("{RED}left out{OFF}: {missing}");
    }
    for table in figures::all(report) {
        show(table);
    }
    if !report.targets.is_empty() {
        anstream::println!("\n{BOLD}targets{OFF}");
        for target in &report.targets {
            let (colour, word) = match target.is_met() {
                Some(true) => (GREEN, "met"),
                Some(false) => (RED, "missed"),
                None => ("", "not measured"),
            };
            let (value, why) = match &target.figure {
                Figure::Value(value) => (format!("{value:.2}"), String::new()),
                Figure::NotMeasured(why) => ("-".to_owned(), format!(": {why}")),
            };
            let (limit, what, subject) = (limit(target), &target.what, &target.subject);
            anstream::println!("  {colour}{word:<12}{OFF} {value:>7} {limit:<10} {what} [{subject}]{why}");
        }
    }
}

pub(super) fn limit(target: &Target) -> String {
    match target.limit {
        Limit::AtMost(limit) => format!("<= {}", short(limit)),
        Limit::AtLeast(limit) => format!(">= {}", short(limit)),
    }
}

/// To three places at most.
fn short(limit: f64) -> f64 {
    (limit * 1e3).round() / 1e3
}

fn show(figures::Table { title, head, names, rows }: figures::Table) {
    let mut table = comfy_table::Table::new();
    table.load_preset(presets::NOTHING).set_header(head).add_rows(rows);
    table.column_iter_mut().skip(names).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    anstream::println!("\n{BOLD}{title}{OFF}\n{table}");
}
