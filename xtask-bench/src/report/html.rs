//! The report as one page that needs nothing else.

use super::figures::{self, Table};
use super::svg::{Axis, Line, Scale, plot};
use super::table::limit;
use super::target::Figure;
use super::{LoadSeries, Report};
use crate::elections::Elections;
use crate::section::{LONG_LOG, PROPOSERS};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--faint:#8885;--good:#00734c;--bad:#b03a00}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--paper:#161616;--good:#4fc79a;--bad:#ff9a5c}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1200px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:1rem}\
figure{margin:0;border:1px solid var(--faint);border-radius:8px;padding:.75rem}figcaption{font-weight:600}\
svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--ink)}.grid{stroke:var(--faint)}\
.legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid var(--faint);white-space:nowrap}td:first-child,th:first-child{text-align:left}\
.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}";

pub(crate) fn page(report: &Report) -> String {
    let mut body = String::new();
    let machine = &report.machine;
    let subjects: Vec<_> = report.subjects.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    body += "<h1>Control plane: the engines side by side</h1>";
    body += &format!(
        "<p>{}{}. {}, {} cores, {:.0} GiB, Linux {}, {} on {}. {}. Values of {} bytes.</p><p>{}</p>",
        text(&report.taken),
        if report.quick { ", a quick run" } else { "" },
        text(&machine.cpu),
        machine.cores,
        machine.memory_gib,
        text(&machine.kernel),
        text(&machine.filesystem),
        text(&machine.disk()),
        text(&subjects.join(", ")),
        report.entry_len,
        text(&report.setup.describe())
    );
    if let Some(missing) = &report.missing {
        body += &format!("<p class=\"bad\">Left out: {}</p>", text(missing));
    }
    for failed in &report.failed {
        body += &format!("<p class=\"bad\">Failed: {}</p>", text(failed));
    }
    targets(report, &mut body);
    loads(report, &mut body);
    series(report, &mut body);
    elections(report, &mut body);
    nodes(report, &mut body);
    super::micro::page(report, &mut body);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Control plane bench</title><style>{STYLE}</style><body>{body}</body></html>"
    )
}

fn targets(report: &Report, body: &mut String) {
    if report.targets.is_empty() {
        return;
    }
    *body += "<h2>Targets</h2>";
    let rows = report.targets.iter().map(|target| {
        let (class, word) = match target.is_met() {
            Some(true) => ("good", "met".to_owned()),
            Some(false) => ("bad", "missed".to_owned()),
            None => ("", "not measured".to_owned()),
        };
        let (value, word) = match &target.figure {
            Figure::Value(value) => (format!("{value:.2}"), word),
            Figure::NotMeasured(why) => ("-".to_owned(), format!("{word}: {why}")),
        };
        let cells = [target.what.clone(), target.subject.clone(), limit(target), value];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", text(cell))).collect();
        format!("<tr>{cells}<td class=\"{class}\">{}</td></tr>", text(&word))
    });
    *body += &wide(&["", "of", "target", "figure", ""], &rows.collect::<String>());
}

fn name(load: &LoadSeries) -> String {
    format!("{}, {}", load.subject, load.way)
}

fn loads(report: &Report, body: &mut String) {
    if report.loads.is_empty() {
        return;
    }
    *body += "<h2>Latency and throughput</h2><div class=\"plots\">";
    let micros = || Axis { title: "microseconds", scale: Scale::Logarithmic, marks: Vec::new() };
    let marks = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")].map(|(at, text)| (at, text.to_owned()));
    let quantile = Axis { title: "quantile", scale: Scale::Nines, marks: marks.into() };
    for proposers in PROPOSERS {
        let of: Vec<_> = report.loads.iter().filter(|load| load.proposers == proposers).collect();
        let mut lines: Vec<_> =
            of.iter().map(|load| Line { name: name(load), points: load.curve.clone(), dashed: false }).collect();
        lines.push(Line { name: "floor".to_owned(), points: report.floor.curve.clone(), dashed: true });
        let plural = if proposers == 1 { "" } else { "s" };
        figure(body, &format!("Latency, {proposers} proposer{plural}"), &plot(&lines, &quantile, &micros()));
    }
    let marks = PROPOSERS.iter().map(|count| (*count as f64, count.to_string())).collect();
    let count = Axis { title: "proposers at once", scale: Scale::Logarithmic, marks };
    let mut names: Vec<_> = report.loads.iter().map(name).collect();
    names.sort();
    names.dedup();
    let by = |of: fn(&LoadSeries) -> f64| -> Vec<Line> {
        let line = |one: &String| {
            let own = report.loads.iter().filter(|load| name(load) == *one);
            Line {
                name: one.clone(),
                points: own.map(|load| (load.proposers as f64, of(load))).collect(),
                dashed: false,
            }
        };
        names.iter().map(line).collect()
    };
    let rate = Axis { title: "commits a second", scale: Scale::Logarithmic, marks: Vec::new() };
    figure(body, "Throughput by concurrency", &plot(&by(LoadSeries::throughput), &count, &rate));
    let bytes = Axis { title: "bytes a commit, all members", scale: Scale::Logarithmic, marks: Vec::new() };
    figure(body, "Bytes written", &plot(&by(LoadSeries::written_bytes), &count, &bytes));
    *body += "</div>";
    if let Some(loads) = figures::loads(report) {
        *body += &table(&loads);
    }
    *body += "<p>Multiples are of the floor's median. Latencies of commits have one, each of them; throughput and bytes \
              have none, nor has what follows: other times are of waits and of work that no commit does, memory is no time.</p>";
}

fn series(report: &Report, body: &mut String) {
    for (title, all) in report.timed().into_iter().filter(|(_, all)| !all.is_empty()) {
        let lines = all.iter().map(|series| {
            let mut values = series.values_ms.clone();
            values.sort_by(f64::total_cmp);
            let count = values.len().max(1) as f64;
            let points = values.iter().enumerate().map(|(at, value)| ((at as f64 + 0.5) / count, *value)).collect();
            Line { name: series.subject.clone(), points, dashed: false }
        });
        let share = Axis { title: "share of runs", scale: Scale::Linear, marks: Vec::new() };
        let millis = Axis { title: "milliseconds", scale: Scale::Linear, marks: Vec::new() };
        *body += &format!("<h2>{}</h2><div class=\"plots\">", capital(title));
        figure(body, "In ascending order", &plot(&lines.collect::<Vec<_>>(), &share, &millis));
        *body += &table(&figures::timed(title, all));
        *body += "</div>";
    }
}

/// Those that nobody asked for, by what went on.
fn elections(report: &Report, body: &mut String) {
    let some: Vec<_> = report.elections.iter().filter(|row| row.count > 0).collect();
    if some.is_empty() {
        return;
    }
    let row = |row: &&Elections| {
        format!("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", text(&row.subject), row.during, row.count)
    };
    *body += "<h2>Elections that nobody asked for</h2>";
    *body += &wide(&["", "while", "how many"], &some.iter().map(row).collect::<String>());
}

/// What single nodes came to.
fn nodes(report: &Report, body: &mut String) {
    for of in figures::nodes(report) {
        *body += &format!("<h2>{}</h2>", capital(&of.title));
        *body += &table(&of);
    }
    // What is retained before the snapshot is another axis.
    let (longest, _) = LONG_LOG;
    let short: Vec<_> = report.restarts.iter().filter(|one| one.before < longest).collect();
    if short.is_empty() {
        return;
    }
    let mut names: Vec<_> = short.iter().map(|one| one.subject.clone()).collect();
    names.sort();
    names.dedup();
    let line = |name: &String| {
        let own = short.iter().filter(|one| one.subject == *name);
        let points = own.map(|one| (one.after as f64, one.median_applied_ms())).collect();
        Line { name: name.clone(), points, dashed: false }
    };
    let entries = Axis { title: "entries after the snapshot", scale: Scale::Linear, marks: Vec::new() };
    let millis = Axis { title: "milliseconds", scale: Scale::Linear, marks: Vec::new() };
    *body += "<div class=\"plots\">";
    figure(
        body,
        "Restart by the length of the log",
        &plot(&names.iter().map(line).collect::<Vec<_>>(), &entries, &millis),
    );
    *body += "</div>";
}

fn capital(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub(super) fn figure(body: &mut String, caption: &str, drawing: &str) {
    *body += &format!("<figure><figcaption>{caption}</figcaption>{drawing}</figure>");
}

pub(super) fn table(table: &Table) -> String {
    let cells = |row: &Vec<String>| row.iter().map(|cell| format!("<td>{}</td>", text(cell))).collect::<String>();
    let rows = table.rows.iter().map(|row| format!("<tr>{}</tr>", cells(row)));
    wide(&table.head, &rows.collect::<String>())
}

fn wide(head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    format!("<div class=\"wide\"><table><tr>{head}</tr>{rows}</table></div>")
}

pub(super) fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::target::tests;
    use super::*;
    use crate::subject::Way;

    #[test]
    fn a_page_says_what_is_not_known() {
        let mut report = tests::report(Vec::new(), Vec::new());
        report.loads.push(tests::load("raftrs", Way::Embedded, 1, 100));
        report.judge();
        let page = page(&report);
        for said in ["Commit ", "p99.9 us", "not measured: ", "<td>floor</td>", "Latencies of commits have one"] {
            assert!(page.contains(said), "{said} is not in it: {page}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf<"), "{page}");
    }
}
