//! Latency and throughput.

use super::{Extent, PROPOSERS, Subjects, scout};
use crate::elections::During;
use crate::floor::{Floor, Gauge};
use crate::latency::Latencies;
use crate::load::{Load, Period};
use crate::machine;
use crate::report::{FloorReport, LoadSeries, Report};
use crate::subject::Subject;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;
use xtask_cluster::Step;

/// How often a load that ended early is run again.
const AGAIN_MAX: u64 = 3;
/// What was written for the load before is still under way to the disk as long as more is written between
/// two looks; so often is looked at most.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 5;

/// One load of one subject, and what has come of it so far.
pub(super) struct Measured {
    /// Whose it is, by its place.
    pub(super) at: usize,
    pub(super) series: LoadSeries,
    curve: Latencies,
}

/// Runs every load of every subject in turns, with the floor before each round.
pub(crate) async fn loads(
    subjects: &mut Subjects,
    gauge: &mut Gauge,
    extent: &Extent,
    step: &Step<'_>,
    into: &mut Report,
) -> Result<()> {
    let mut all = Vec::new();
    for proposers in PROPOSERS {
        for (at, subject) in subjects.iter().enumerate() {
            for way in subject.ways() {
                let series = LoadSeries::new(subject.name(), *way, proposers, 1);
                all.push(Measured { at, series, curve: Latencies::none()? });
            }
        }
    }
    let mut floor = Floor::none()?;
    let ended = rounds(subjects, &mut all, gauge, &mut floor, extent, step).await;
    // What there is of it counts, however it ended.
    if floor.whole.count() > 0 {
        into.floor = FloorReport::of(&floor);
    }
    for Measured { mut series, curve, .. } in all {
        if !series.rounds.is_empty() {
            series.curve = curve.curve();
            into.loads.push(series);
        }
    }
    ended
}

async fn rounds(
    subjects: &mut Subjects,
    all: &mut [Measured],
    gauge: &mut Gauge,
    floor: &mut Floor,
    extent: &Extent,
    step: &Step<'_>,
) -> Result<()> {
    scout::scout(subjects, all, extent, step).await?;
    for round in 0..extent.rounds {
        tokio::task::block_in_place(|| gauge.measure(extent.floor, floor))?;
        for which in order(all, subjects.len(), round) {
            let Measured { at, series, curve } = all.get_mut(which).context("a load is gone")?;
            let subject = subjects.get_mut(*at).context("a subject is gone")?.as_mut();
            let (way, proposers) = (series.way, series.proposers);
            step.progress(&format!("round {} of {}: {} {way}, {proposers}", round + 1, extent.rounds, subject.name()));
            subject.look(During::Idle).await?;
            let (load, wrote) = until_whole(subject, series, extent.load, gauge.dir()).await?;
            curve.merge(&load.latencies)?;
            series.add(&load, wrote);
        }
    }
    Ok(())
}

/// The loads of a round, as places in `all`: by concurrency, and each round begins with another subject.
fn order(all: &[Measured], subjects: usize, round: usize) -> Vec<usize> {
    let turn = |at: usize| (at + subjects - round % subjects.max(1)) % subjects.max(1);
    let mut order: Vec<_> = all.iter().enumerate().collect();
    order.sort_by_key(|(_, one)| (one.series.proposers, turn(one.at)));
    order.into_iter().map(|(place, _)| place).collect()
}

/// Runs the load until it comes to its end, and says what the disk wrote meanwhile.
async fn until_whole(
    subject: &mut dyn Subject,
    series: &mut LoadSeries,
    period: Period,
    dir: &Path,
) -> Result<(Load, Option<u64>)> {
    let mut again = 0;
    loop {
        let before = settled(dir).await;
        let load = once(subject, series, period).await;
        let wrote = machine::written(dir).zip(before).map(|(after, before)| after.saturating_sub(before));
        series.elections += subject.look(During::Loads).await?;
        match load {
            Ok(load) => return Ok((load, wrote)),
            Err(error) => may_be_run_again(series, &mut again, error)?,
        }
    }
}

/// As [`until_whole`], where nobody asks what was written.
pub(super) async fn until_scouted(subject: &mut dyn Subject, series: &mut LoadSeries, period: Period) -> Result<Load> {
    let mut again = 0;
    loop {
        let load = once(subject, series, period).await;
        subject.look(During::Scouting).await?;
        match load {
            Ok(load) => return Ok(load),
            Err(error) => may_be_run_again(series, &mut again, error)?,
        }
    }
}

async fn once(subject: &mut dyn Subject, series: &LoadSeries, period: Period) -> Result<Load> {
    let load = subject.load(series.way, series.proposers, series.connections, period).await?;
    ensure!(load.latencies.count() > 0, "{} committed nothing", subject.name());
    Ok(load)
}

/// Leadership that moves ends a load, of every subject alike.
fn may_be_run_again(series: &mut LoadSeries, again: &mut u64, error: anyhow::Error) -> Result<()> {
    series.failures += 1;
    *again += 1;
    if *again > AGAIN_MAX {
        let LoadSeries { subject, way, proposers, .. } = series;
        return Err(
            error.context(format!("{subject}, {way}, {proposers} proposers: ended early {again} times in a row"))
        );
    }
    Ok(())
}

/// How much has been written, once that stands still.
async fn settled(dir: &Path) -> Option<u64> {
    let mut last = machine::written(dir)?;
    for _ in 0..LOOKS_MAX {
        sleep(LOOK).await;
        let now = machine::written(dir)?;
        if now == last {
            break;
        }
        last = now;
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Way;

    fn one(at: usize, way: Way, proposers: u64) -> Measured {
        Measured { at, series: LoadSeries::new("one", way, proposers, 1), curve: Latencies::none().unwrap() }
    }

    #[test]
    fn each_round_begins_with_another_subject() {
        let (embedded, client) = (Way::Embedded, Way::Client);
        let of = |proposers| {
            [
                one(0, embedded, proposers),
                one(0, client, proposers),
                one(1, client, proposers),
                one(2, client, proposers),
            ]
        };
        let all: Vec<_> = of(1).into_iter().chain(of(8)).collect();
        assert_eq!(order(&all, 3, 0), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(order(&all, 3, 1), [2, 3, 0, 1, 6, 7, 4, 5]);
        assert_eq!(order(&all, 3, 2), [3, 0, 1, 2, 7, 4, 5, 6]);
        assert_eq!(order(&all, 3, 3), order(&all, 3, 0));
    }

    /// Fails as often as it is told to.
    struct Fails {
        left: u64,
        loads: u64,
        watch: crate::elections::Watch,
    }

    #[async_trait::async_trait]
    impl Subject for Fails {
        fn name(&self) -> &str {
            "fails"
        }
        fn version(&self) -> &str {
            "0"
        }
        fn ways(&self) -> &[Way] {
            &[Way::Client]
        }
        async fn load(&mut self, _: Way, _: u64, _: usize, period: Period) -> Result<Load> {
            self.loads += 1;
            if let Some(left) = self.left.checked_sub(1) {
                self.left = left;
                anyhow::bail!("there is no leader");
            }
            let mut latencies = Latencies::none()?;
            latencies.add(Duration::from_millis(1));
            Ok(Load { latencies, elapsed: period.counted, committed: 1 })
        }
        /// Each load begins under another leader.
        async fn term(&mut self) -> Result<u64> {
            Ok(self.loads)
        }
        fn watch(&mut self) -> &mut crate::elections::Watch {
            &mut self.watch
        }
        fn keep_files(&mut self) -> std::path::PathBuf {
            std::path::PathBuf::new()
        }
        async fn fail_over(&mut self) -> Result<Duration> {
            Ok(Duration::ZERO)
        }
        async fn mend(&mut self) -> Result<()> {
            Ok(())
        }
        async fn transfer(&mut self, _: u64) -> Result<Duration> {
            Ok(Duration::ZERO)
        }
        async fn change_membership(&mut self, _: u64) -> Result<crate::subject::Paused> {
            anyhow::bail!("there are no others")
        }
    }

    #[tokio::test]
    async fn a_load_that_ends_early_is_run_again_three_times() {
        let period = Period { warm: Duration::ZERO, counted: Duration::from_secs(1) };
        for (fails, comes_through) in [(0, true), (3, true), (4, false)] {
            let mut subject = Fails { left: fails, loads: 0, watch: crate::elections::Watch::begin(1) };
            let mut series = LoadSeries::new("fails", Way::Client, 8, 1);
            let ended = until_whole(&mut subject, &mut series, period, "/".as_ref()).await;
            assert_eq!(ended.is_ok(), comes_through, "{fails}");
            assert_eq!(series.failures, fails);
            assert_eq!(series.elections, fails.min(3));
        }
    }
}
