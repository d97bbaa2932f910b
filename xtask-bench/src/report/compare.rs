//! What moved between two runs, beyond their noise.

use super::{CatchUp, LoadSeries, Report, Restart, Round, Series, Source};
use crate::latency::median;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// A change below this share is no change, however steady both runs were.
const SMALLEST: f64 = 0.05;

/// One figure in both runs.
#[derive(Debug, Clone, PartialEq)]
struct Moved {
    what: String,
    before: f64,
    after: f64,
    /// What either run strayed by, as a share.
    noise: f64,
}

impl Moved {
    fn of(what: String, before: &[f64], after: &[f64]) -> Self {
        let noise = spread(before).max(spread(after)).max(SMALLEST);
        Self { what, before: median(before), after: median(after), noise }
    }

    fn share(&self) -> f64 {
        self.after / self.before - 1.0
    }

    fn is_beyond_noise(&self) -> bool {
        self.share().is_finite() && self.share().abs() > self.noise
    }
}

/// How far values lie apart: the median distance from their median, scaled to a standard
/// deviation, twice, as a share.
fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    let distances: Vec<_> = values.iter().map(|value| (value - middle).abs()).collect();
    2.0 * 1.4826 * median(&distances) / middle
}

pub(crate) fn run(files: &[PathBuf]) -> Result<()> {
    let [before, after] = files else { anyhow::bail!("two reports are compared, {} are given", files.len()) };
    let (before, after) = (read(before)?, read(after)?);
    if before.machine != after.machine {
        anstream::println!("taken on different machines: compare ratios, not figures");
    }
    let moved = compare(&before, &after);
    ensure!(!moved.is_empty(), "the two runs have no figure in common");
    let beyond: Vec<_> = moved.iter().filter(|moved| moved.is_beyond_noise()).collect();
    for moved in &beyond {
        let (share, noise) = (moved.share() * 100.0, moved.noise * 100.0);
        anstream::println!(
            "{share:>+7.1} %  {:>10.1} -> {:>10.1}  (noise {noise:.0} %)  {}",
            moved.before,
            moved.after,
            moved.what
        );
    }
    anstream::println!("{} of {} figures moved beyond the noise", beyond.len(), moved.len());
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
        let name = |what: &str| format!("{what}, {} proposers, {}, {}", one.proposers, one.way, one.subject);
        let mut put = |what: &str, of: fn(&Round) -> f64| {
            let values = |load: &LoadSeries| load.rounds.iter().map(of).collect::<Vec<_>>();
            moved.push(Moved::of(name(what), &values(one), &values(other)));
        };
        put("p50 us", |round| round.latency.p50_us);
        put("p99 us", |round| round.latency.p99_us);
        put("commits/s", |round| round.throughput);
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

    #[test]
    fn noise_is_not_a_change_and_a_change_is_not_noise() {
        let moved = |before: &[f64], after: &[f64]| Moved::of(String::new(), before, after).is_beyond_noise();
        assert!(!moved(&[100.0, 120.0, 90.0, 110.0, 95.0], &[115.0, 95.0, 125.0, 105.0, 110.0]));
        assert!(moved(&[100.0, 101.0, 99.0, 100.0, 100.5], &[110.0, 111.0, 109.0, 110.0, 110.5]));
        assert!(!moved(&[100.0, 100.0, 100.0], &[104.0, 104.0, 104.0]), "below what counts");
        assert!(!moved(&[0.0], &[0.0]));
    }
}
