//! Latency and throughput.

use super::{Extent, PROPOSERS, Subjects};
use crate::floor::{Floor, Gauge};
use crate::latency::Latencies;
use crate::machine;
use crate::report::LoadSeries;
use crate::subject::Way;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use xtask_cluster::Step;

/// Over how many connections they may go; the best counts.
const CONNECTIONS: [usize; 3] = [1, 8, 64];

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
