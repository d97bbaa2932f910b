//! Over how many connections each does best.

use super::load::{Measured, until_scouted};
use super::{Extent, Subjects};
use crate::latency::median;
use crate::report::Scouted;
use crate::subject::Way;
use anyhow::{Context, Result};
use xtask_cluster::Step;

/// Over how many connections they may go.
const CONNECTIONS: [usize; 3] = [1, 8, 64];
/// How often each is tried, in turns.
const TURNS: usize = 3;

/// Settles for each load over how many connections it goes: what the median of short runs says.
pub(super) async fn scout(
    subjects: &mut Subjects,
    all: &mut [Measured],
    extent: &Extent,
    step: &Step<'_>,
) -> Result<()> {
    for turn in 0..TURNS {
        for place in 0..CONNECTIONS.len() {
            for Measured { at, series, .. } in &mut *all {
                let candidates = candidates(series.way, series.proposers);
                let Some(connections) = candidates.get(place).copied() else { continue };
                let subject = subjects.get_mut(*at).context("a subject is gone")?.as_mut();
                let (name, proposers) = (subject.name(), series.proposers);
                step.progress(&format!(
                    "{} of {TURNS}: {name} with {connections} connections for {proposers}",
                    turn + 1
                ));
                series.connections = connections;
                let throughput = until_scouted(subject, series, extent.scout).await?.throughput();
                match series.scouted.iter_mut().find(|tried| tried.connections == connections) {
                    Some(tried) => tried.throughputs.push(throughput),
                    None => series.scouted.push(Scouted { connections, throughputs: vec![throughput] }),
                }
            }
        }
    }
    for Measured { series, .. } in all {
        series.connections = best(&series.scouted);
    }
    Ok(())
}

/// What there is to choose from; nothing where there is no choice.
fn candidates(way: Way, proposers: u64) -> Vec<usize> {
    let candidates = CONNECTIONS.into_iter().filter(|connections| *connections as u64 <= proposers);
    let candidates: Vec<_> = candidates.filter(|_| way == Way::Client).collect();
    if candidates.len() > 1 { candidates } else { Vec::new() }
}

/// The one with the highest median; the fewest of those that are equal.
fn best(scouted: &[Scouted]) -> usize {
    let mut best = (0.0, 1);
    for tried in scouted {
        let throughput = median(&tried.throughputs);
        if throughput > best.0 {
            best = (throughput, tried.connections);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_median_wins() {
        let tried = |connections, throughputs: [f64; 3]| Scouted { connections, throughputs: throughputs.into() };
        // One lucky run is not enough.
        assert_eq!(best(&[tried(1, [10.0, 11.0, 90.0]), tried(8, [20.0, 21.0, 1.0]), tried(64, [20.0, 2.0, 20.0])]), 8);
        assert_eq!(best(&[tried(1, [5.0; 3]), tried(8, [5.0; 3])]), 1);
        assert_eq!(best(&[]), 1);
    }

    #[test]
    fn nobody_has_more_connections_than_proposers() {
        assert_eq!(candidates(Way::Client, 256), [1, 8, 64]);
        assert_eq!(candidates(Way::Client, 8), [1, 8]);
        assert!(candidates(Way::Client, 1).is_empty());
        assert!(candidates(Way::Embedded, 64).is_empty());
    }
}
