//! What moved between two runs, beyond their noise.

use super::target::PEER;
use super::{CatchUp, LoadSeries, Report, Restart, Round, Series, Source};
use crate::latency::median;
use crate::subject::Way;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// A change below this share is no change, however steady both runs were.
const SMALLEST: f64 = 0.05;
/// Of fewer values nobody knows how far their median strays.
const VALUES_MIN: usize = 3;

/// One figure in both runs.
#[derive(Debug, Clone, PartialEq)]
struct Moved {
    what: String,
    before: f64,
    after: f64,
    /// How far the two may lie apart by chance, as a share; none where that is not known.
    noise: Option<f64>,
}

impl Moved {
    fn of(what: String, before: &[f64], after: &[f64]) -> Self {
        let noise = strays(before).zip(strays(after)).map(|(before, after)| before.hypot(after).max(SMALLEST));
        Self { what, before: median(before), after: median(after), noise }
    }

    fn share(&self) -> f64 {
        self.after / self.before - 1.0
    }

    fn is_beyond(&self, share: f64) -> bool {
        self.share().is_finite() && self.share().abs() > share
    }

    fn is_beyond_noise(&self) -> bool {
        self.noise.is_some_and(|noise| self.is_beyond(noise))
    }

    /// Whether it moved, and nobody knows whether that is noise.
    fn is_in_doubt(&self) -> bool {
        self.noise.is_none() && self.is_beyond(SMALLEST)
    }

    fn print(&self) {
        let noise = self.noise.map_or_else(|| "unknown".to_owned(), |noise| format!("{:.0} %", noise * 100.0));
        let Self { what, before, after, .. } = self;
        anstream::println!(
            "{:>+7.1} %  {before:>10.2} -> {after:>10.2}  (noise {noise})  {what}",
            self.share() * 100.0
        );
    }
}

/// How far the median of these values strays, as a share of it: twice its standard error, which is
/// that of a mean times the root of pi over two.
fn strays(values: &[f64]) -> Option<f64> {
    if values.len() < VALUES_MIN {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = std::f64::consts::FRAC_PI_2.sqrt() * (variance / count).sqrt();
    Some(2.0 * error / median(values)).filter(|share| share.is_finite())
}

pub(crate) fn run(files: &[PathBuf]) -> Result<()> {
    let [before, after] = files else { anyhow::bail!("two reports are compared, {} are given", files.len()) };
    let (before, after) = (read(before)?, read(after)?);
    if before.machine != after.machine {
        anstream::println!("taken on different machines: compare ratios, not figures");
    }
    for (when, report) in [("before", &before), ("after", &after)] {
        anstream::println!("{when}: {}", report.setup.describe());
    }
    let [one, other] = [&before, &after].map(|report| report.floor.whole);
    anstream::println!(
        "the floor, us: p50 {:.0} -> {:.0}, p99 {:.0} -> {:.0}, p99.9 {:.0} -> {:.0}",
        one.p50_us,
        other.p50_us,
        one.p99_us,
        other.p99_us,
        one.p999_us,
        other.p999_us
    );
    let moved = compare(&before, &after);
    ensure!(!moved.is_empty(), "the two runs have no figure in common");
    let (beyond, doubt): (Vec<_>, Vec<_>) = moved
        .iter()
        .filter(|moved| moved.is_beyond_noise() || moved.is_in_doubt())
        .partition(|moved| moved.is_beyond_noise());
    beyond.iter().for_each(|moved| moved.print());
    anstream::println!("{} of {} figures moved beyond the noise", beyond.len(), moved.len());
    if !doubt.is_empty() {
        anstream::println!("with fewer than {VALUES_MIN} values, so that their noise is not known, moved by over 5 %:");
        doubt.iter().for_each(|moved| moved.print());
    }
    Ok(())
}

fn read(file: &Path) -> Result<Report> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let report: Report = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no report of this bench; take it anew", file.display()))?;
    ensure!(
        report.format == Report::FORMAT,
        "{} is of format {}, this bench reads {}; take it anew",
        file.display(),
        report.format,
        Report::FORMAT
    );
    Ok(report)
}

fn compare(before: &Report, after: &Report) -> Vec<Moved> {
    let mut moved = Vec::new();
    for one in &before.loads {
        let Some(other) = after.load(&one.subject, one.way, one.proposers) else { continue };
        loads((before, one), (after, other), &mut moved);
    }
    for ((what, before), (_, after)) in before.timed().into_iter().zip(after.timed()) {
        for one in before {
            let Some(other) = after.iter().find(|series: &&Series| series.subject == one.subject) else { continue };
            moved.push(Moved::of(format!("{what}, ms, {}", one.subject), &one.values_ms, &other.values_ms));
        }
    }
    nodes(before, after, &mut moved);
    for one in &before.micro {
        let Some(other) = after.micro.iter().find(|series| series.id == one.id) else { continue };
        moved.push(Moved::of(format!("ns, {}", one.id), &one.values_ns, &other.values_ns));
    }
    moved
}

/// A report, and one of its loads.
type Loaded<'a> = (&'a Report, &'a LoadSeries);

fn loads(before: Loaded<'_>, after: Loaded<'_>, moved: &mut Vec<Moved>) {
    let LoadSeries { subject, way, proposers, .. } = before.1;
    let name = |what: &str| format!("{what}, {proposers} proposers, {way}, {subject}");
    let mut put = |what: &str, of: fn(&Round) -> Option<f64>| {
        let values = |(_, load): Loaded<'_>| load.rounds.iter().filter_map(of).collect::<Vec<_>>();
        let (one, other) = (values(before), values(after));
        // Not every system says what was written.
        if !one.is_empty() && !other.is_empty() {
            moved.push(Moved::of(name(what), &one, &other));
        }
        (one, other)
    };
    let (one, other) = put("p50 us", |round| Some(round.latency.p50_us));
    put("p99 us", |round| Some(round.latency.p99_us));
    put("commits/s", |round| Some(round.throughput));
    put("bytes/commit", |round| round.written_bytes);
    // Its value is of all rounds at once; how far it strays is seen in each by itself, which is too far rather than not.
    let each = |(_, load): Loaded<'_>| load.rounds.iter().map(|round| round.latency.p999_us).collect::<Vec<_>>();
    let tail = Moved::of(name("p99.9 us"), &each(before), &each(after));
    moved.push(Moved { before: before.1.p999_us(), after: after.1.p999_us(), ..tail });
    let over = |values: Vec<f64>, (report, _): Loaded<'_>| -> Vec<f64> {
        values.into_iter().map(|us| us / report.floor.whole.p50_us).collect()
    };
    moved.push(Moved::of(name("p50 over the floor"), &over(one, before), &over(other, after)));
    let mut over_peers = |what: &str, of: fn(&Round) -> f64| {
        if let Some((one, other)) = over_peer(before, of).zip(over_peer(after, of)) {
            moved.push(Moved::of(name(what), &one, &other));
        }
    };
    over_peers("p50 over etcd's", |round| round.latency.p50_us);
    over_peers("p99 over etcd's", |round| round.latency.p99_us);
    over_peers("commits/s over etcd's", |round| round.throughput);
}

/// Round by round, as both were measured in turns.
fn over_peer((report, load): Loaded<'_>, of: fn(&Round) -> f64) -> Option<Vec<f64>> {
    let peer = report.load(PEER, Way::Client, load.proposers).filter(|_| load.subject != PEER)?;
    Some(load.rounds.iter().zip(&peer.rounds).map(|(own, peer)| of(own) / of(peer)).collect())
}

/// What single nodes came to.
fn nodes(before: &Report, after: &Report, moved: &mut Vec<Moved>) {
    for one in &before.restarts {
        let like = |other: &&Restart| other.subject == one.subject && other.is_like(one.before, one.after);
        let Some(other) = after.restarts.iter().find(like) else { continue };
        let what =
            format!("restart ms, {} entries before the snapshot, {} after, {}", one.before, one.after, one.subject);
        moved.push(Moved::of(what, &one.applied_ms, &other.applied_ms));
    }
    for one in &before.catch_ups {
        let like = |other: &&CatchUp| other.subject == one.subject && other.source == one.source;
        let Some(other) = after.catch_ups.iter().find(like) else { continue };
        let name = |what: &str| format!("catching up from {}, {what}, {}", one.source, one.subject);
        moved.push(Moved::of(name("ms"), &one.times_ms(), &other.times_ms()));
        if one.source == Source::Log {
            moved.push(Moved::of(name("entries/s"), &one.rates(), &other.rates()));
        }
    }
    for one in &before.memory {
        let Some(other) = after.memory.iter().find(|other| one.is_like(other)) else { continue };
        let what = format!("memory MiB, {} ranges, {} entries, {}, {}", one.ranges, one.entries, one.role, one.subject);
        moved.push(Moved::of(what, &[one.resident_mib], &[other.resident_mib]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::target::tests;

    #[test]
    fn noise_is_not_a_change_and_a_change_is_not_noise() {
        let moved = |before: &[f64], after: &[f64]| Moved::of(String::new(), before, after).is_beyond_noise();
        assert!(!moved(&[100.0, 120.0, 90.0, 110.0, 95.0], &[115.0, 95.0, 125.0, 105.0, 110.0]));
        assert!(moved(&[100.0, 101.0, 99.0, 100.0, 100.5], &[110.0, 111.0, 109.0, 110.0, 110.5]));
        assert!(!moved(&[100.0, 100.0, 100.0], &[104.0, 104.0, 104.0]), "below what counts");
        assert!(!moved(&[0.0], &[0.0]));
    }

    #[test]
    fn of_two_values_the_noise_is_not_known() {
        let moved = Moved::of(String::new(), &[100.0, 100.0], &[200.0, 200.0, 200.0]);
        assert_eq!(moved.noise, None);
        assert!(!moved.is_beyond_noise() && moved.is_in_doubt());
        assert!(!Moved::of(String::new(), &[100.0], &[104.0]).is_in_doubt(), "below what counts");
    }

    #[test]
    fn a_median_of_many_strays_less_than_each() {
        let few = [90.0, 100.0, 110.0, 95.0, 105.0];
        let (few, many) = (strays(&few).unwrap(), strays(&few.repeat(16)).unwrap());
        assert!((few / many - 4.0).abs() < 0.5, "{few} {many}");
    }

    /// A machine that was slower for all moves the figures and not the ratios.
    #[test]
    fn ratios_stay_where_figures_move() {
        let report = |slower: u64| {
            let mut report = tests::report(Vec::new(), Vec::new());
            report.floor.whole.p50_us = 50.0 * slower as f64;
            report.loads = vec![
                tests::load("raftrs", Way::Client, 1, 100 * slower),
                tests::load(PEER, Way::Client, 1, 200 * slower),
            ];
            report
        };
        let moved = compare(&report(1), &report(2));
        let beyond: Vec<_> =
            moved.iter().filter(|moved| moved.is_in_doubt()).map(|moved| moved.what.as_str()).collect();
        assert!(beyond.iter().any(|what| what.starts_with("p50 us")), "{beyond:?}");
        assert!(!beyond.iter().any(|what| what.contains("over")), "{beyond:?}");
        let has = |what: &str| moved.iter().any(|moved| moved.what.starts_with(what) && moved.what.ends_with("raftrs"));
        assert!(["p99.9 us", "p50 over the floor", "p50 over etcd's"].into_iter().all(has), "{moved:?}");
        assert!(!moved.iter().any(|moved| moved.what.starts_with("bytes")), "nobody said what was written");
    }
}
