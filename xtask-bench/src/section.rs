//! What is measured, a part at a time.

use crate::floor::{Floor, Gauge};
use crate::latency::Latencies;
use crate::load::Period;
use crate::machine;
use crate::report::{LoadSeries, Series};
use crate::subject::{Subject, Way};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::time::Duration;
use xtask_cluster::Step;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Latency and throughput by concurrency, and bytes written
    Load,
    /// How long after a SIGKILL clients are served again
    Failover,
    /// For how long nobody is served while leadership is handed over
    Transfer,
}

impl Section {
    pub(crate) const ALL: &[Self] = &[Self::Load, Self::Failover, Self::Transfer];
}

/// How many proposers there are at once.
pub(crate) const PROPOSERS: [u64; 4] = [1, 8, 64, 256];
/// Over how many connections they may go; the best counts.
pub(crate) const CONNECTIONS: [usize; 3] = [1, 8, 64];
/// How many proposers there are while leadership is handed over.
const STEADY: u64 = 8;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    pub(crate) kills: usize,
    pub(crate) transfers: usize,
    pub(crate) scout: Period,
    pub(crate) load: Period,
    pub(crate) floor: Duration,
}

impl Extent {
    pub(crate) fn whole() -> Self {
        let period = |counted_ms| Period {
            warm: Duration::from_millis(counted_ms / 5),
            counted: Duration::from_millis(counted_ms),
        };
        let floor = Duration::from_secs(2);
        Self { rounds: 5, kills: 30, transfers: 5, scout: period(1000), load: period(4000), floor }
    }

    pub(crate) fn quick() -> Self {
        let period =
            |counted_ms| Period { warm: Duration::from_millis(100), counted: Duration::from_millis(counted_ms) };
        let floor = Duration::from_millis(500);
        Self { rounds: 3, kills: 3, transfers: 1, scout: period(300), load: period(900), floor }
    }
}

type Subjects = [Box<dyn Subject>];

/// One load: of whom, which way, how many at once.
type Which = (usize, Way, u64);

/// Runs every load of every subject in turns, with the floor before each round.
pub(crate) async fn loads(
    subjects: &mut Subjects,
    gauge: &mut Gauge,
    extent: &Extent,
    step: &Step<'_>,
) -> Result<(Vec<LoadSeries>, Floor)> {
    let mut which: Vec<Which> = Vec::new();
    for proposers in PROPOSERS {
        for (at, subject) in subjects.iter().enumerate() {
            which.extend(subject.ways().iter().map(|way| (at, *way, proposers)));
        }
    }
    let best = scout(subjects, &which, extent, step).await?;
    let mut floor = Floor::none()?;
    let mut series: Vec<LoadSeries> = Vec::new();
    let mut curves = Vec::new();
    for (at, way, proposers) in &which {
        let name = subjects.get(*at).context("a subject is gone")?.name();
        let connections = best.get(&(*at, *way, *proposers)).copied().unwrap_or(1);
        series.push(LoadSeries::new(name, *way, *proposers, connections));
        curves.push(Latencies::none()?);
    }
    for round in 0..extent.rounds {
        tokio::task::block_in_place(|| gauge.measure(extent.floor, &mut floor))?;
        for (((at, way, proposers), series), curve) in which.iter().zip(&mut series).zip(&mut curves) {
            let subject = subjects.get_mut(*at).context("a subject is gone")?;
            step.progress(&format!("round {} of {}: {} {way}, {proposers}", round + 1, extent.rounds, subject.name()));
            let (term, before) = (subject.term().await?, machine::written(gauge.dir()));
            let load = subject.load(*way, *proposers, series.connections, extent.load).await?;
            let wrote = machine::written(gauge.dir()).zip(before).map(|(after, before)| after.saturating_sub(before));
            series.elections += subject.term().await?.saturating_sub(term);
            ensure!(load.latencies.count() > 0, "{} committed nothing", subject.name());
            curve.merge(&load.latencies)?;
            series.add(&load, wrote);
        }
    }
    for (series, curve) in series.iter_mut().zip(&curves) {
        series.curve = curve.curve();
    }
    Ok((series, floor))
}

/// Over how many connections each does best, by one short run each.
async fn scout(
    subjects: &mut Subjects,
    which: &[Which],
    extent: &Extent,
    step: &Step<'_>,
) -> Result<BTreeMap<Which, usize>> {
    let mut best: BTreeMap<Which, (f64, usize)> = BTreeMap::new();
    for connections in CONNECTIONS {
        for (at, way, proposers) in which {
            let enough = connections == 1 || connections as u64 <= *proposers;
            if *way == Way::Embedded || !enough {
                continue;
            }
            let subject = subjects.get_mut(*at).context("a subject is gone")?;
            step.progress(&format!("{} with {connections} connections for {proposers}", subject.name()));
            let load = subject.load(*way, *proposers, connections, extent.scout).await?;
            let entry = best.entry((*at, *way, *proposers)).or_insert((0.0, 1));
            if load.throughput() > entry.0 {
                *entry = (load.throughput(), connections);
            }
        }
    }
    Ok(best.into_iter().map(|(which, (_, connections))| (which, connections)).collect())
}

/// Kills each subject's leader in turns.
pub(crate) async fn failovers(subjects: &mut Subjects, extent: &Extent, step: &Step<'_>) -> Result<Vec<Series>> {
    let mut series: Vec<_> = subjects.iter().map(|subject| Series::new(subject.name())).collect();
    for kill in 0..extent.kills {
        for (subject, series) in subjects.iter_mut().zip(&mut series) {
            step.progress(&format!("kill {} of {}: {}", kill + 1, extent.kills, subject.name()));
            series.add(subject.fail_over().await.with_context(|| format!("failover of {}", subject.name()))?);
            subject.mend().await.with_context(|| format!("after a failover of {}", subject.name()))?;
        }
    }
    Ok(series)
}

/// Hands each subject's leadership over in turns.
pub(crate) async fn transfers(subjects: &mut Subjects, extent: &Extent, step: &Step<'_>) -> Result<Vec<Series>> {
    let mut series: Vec<_> = subjects.iter().map(|subject| Series::new(subject.name())).collect();
    for turn in 0..extent.transfers {
        for (subject, series) in subjects.iter_mut().zip(&mut series) {
            step.progress(&format!("transfer {} of {}: {}", turn + 1, extent.transfers, subject.name()));
            series.add(subject.transfer(STEADY).await.with_context(|| format!("transfer of {}", subject.name()))?);
        }
    }
    Ok(series)
}
