//! One run: everything is started, measured in turns, and reported. A section that fails is a line of
//! the report; what was measured beside it stays.

use crate::clusters::Clusters;
use crate::floor::{Floor, Gauge};
use crate::machine::Machine;
use crate::micro;
use crate::nodes;
use crate::report::micro::MicroSeries;
use crate::report::{FloorReport, Report, Setup, html, table};
use crate::section::{self, Extent, Section};
use crate::{Options, Peer, signals};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use xtask_cluster::{Binary, Steps};

/// Those that we have.
pub(crate) const ENGINES: [&str; 2] = ["openraft", "raftrs"];

pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = Box::pin(measure(&options)) => ended,
            signal = signals::any() => bail!("{}: the run has ended, and every process that it started", signal?),
        }
    });
    // A build that is under way is not waited for.
    runtime.shutdown_background();
    ended
}

/// What every section is given.
pub(crate) struct Bench<'a> {
    pub(crate) binary: &'a Binary,
    pub(crate) steps: &'a Steps,
    pub(crate) extent: &'a Extent,
    pub(crate) report: Report,
}

impl Bench<'_> {
    /// Puts what failed into the report; the files that tell why were kept in these directories.
    pub(crate) fn failed(&mut self, section: Section, error: &anyhow::Error, kept: &[PathBuf]) {
        let line = format!("{section}: {error:#}");
        self.steps.note(&line);
        for dir in kept {
            self.steps.note(&format!("its files, logs among them, are kept in {}", dir.display()));
        }
        self.report.failed.push(line);
    }
}

async fn measure(options: &Options) -> Result<()> {
    let files = tempfile::Builder::new().prefix("cp-bench-").tempdir()?;
    let machine = Machine::of(files.path());
    ensure_a_disk(files.path(), &machine.filesystem)?;
    let mut steps = Steps::begin();
    let step = steps.step("build cp-supervisor with both engines");
    let binary = match &options.binary {
        Some(path) => Binary::at(path.clone()),
        None => Binary::build_as("release").await?,
    };
    step.done("");
    steps.restart();
    let extent = extent(options);
    let sections = if options.only.is_empty() { Section::ALL } else { &options.only };
    let has = |section| sections.contains(&section);

    let report = Report {
        format: Report::FORMAT,
        taken: jiff::Timestamp::now().to_string(),
        quick: options.quick,
        setup: Setup::of(&extent, sections, options.binary.is_some()),
        machine,
        subjects: Vec::new(),
        missing: None,
        entry_len: 0,
        floor: FloorReport::of(&Floor::none()?),
        loads: Vec::new(),
        failovers: Vec::new(),
        transfers: Vec::new(),
        admissions: Vec::new(),
        removals: Vec::new(),
        restarts: Vec::new(),
        catch_ups: Vec::new(),
        memory: Vec::new(),
        micro: Vec::new(),
        elections: Vec::new(),
        failed: Vec::new(),
        targets: Vec::new(),
    };
    let mut bench = Bench { binary: &binary, steps: &steps, extent: &extent, report };
    // Before the members, which are never quite idle.
    if has(Section::Micro) {
        match micros(options, &steps).await {
            Ok(micro) => bench.report.micro = micro,
            Err(error) => bench.failed(Section::Micro, &error, &[]),
        }
    }
    let mut gauge = Gauge::prepare(files.path())?;
    let mut clusters = Clusters::new(&binary, &steps, files.path(), options.peer == Some(Peer::Etcd));
    for section in Section::COMPARED.iter().copied().filter(|section| has(*section)) {
        if let Err(error) = compared(section, &mut clusters, &mut gauge, &mut bench).await {
            let kept = clusters.keep_files();
            bench.failed(section, &error, &kept);
            // The next one has others.
            clusters.end(&mut bench.report);
        }
    }
    // What they do while others are measured is not part of that.
    clusters.end(&mut bench.report);
    if bench.report.floor.whole.count == 0 {
        let mut floor = Floor::none()?;
        tokio::task::block_in_place(|| gauge.measure(extent.floor, &mut floor))?;
        bench.report.floor = FloorReport::of(&floor);
    }
    nodes::measure(&mut bench, sections).await;
    conclude(bench.report, &options.out, &steps)
}

/// Measures one section of clusters next to each other.
async fn compared(
    section: Section,
    clusters: &mut Clusters<'_>,
    gauge: &mut Gauge,
    bench: &mut Bench<'_>,
) -> Result<()> {
    let (steps, extent, report) = (bench.steps, bench.extent, &mut bench.report);
    let subjects = match section {
        Section::Failover => clusters.ready_to_fail(report).await?,
        _ => clusters.ready(report).await?,
    };
    let step = steps.step(section.title());
    let detail = match section {
        Section::Load => {
            section::load::loads(subjects, gauge, extent, &step, report).await?;
            format!("{} rounds", extent.rounds)
        }
        Section::Transfer => {
            section::pause::transfers(subjects, extent, &step, &mut report.transfers).await?;
            String::new()
        }
        Section::Membership => {
            let (admissions, removals) = (&mut report.admissions, &mut report.removals);
            section::pause::memberships(subjects, extent, &step, admissions, removals).await?;
            String::new()
        }
        Section::Failover => {
            section::pause::failovers(subjects, extent, &step, &mut report.failovers).await?;
            format!("{} times each", extent.kills)
        }
        Section::Restart | Section::CatchUp | Section::Memory | Section::Micro => String::new(),
    };
    step.done(&detail);
    Ok(())
}

async fn micros(options: &Options, steps: &Steps) -> Result<Vec<MicroSeries>> {
    let step = steps.step("build the micro-benchmarks");
    let built = micro::build().await?;
    step.done("");
    let step = steps.step(Section::Micro.title());
    let extent = if options.quick { micro::Extent::quick() } else { micro::Extent::whole() };
    let series = micro::run(&built, extent, &step).await?;
    step.done(&format!("{} of them", series.len()));
    Ok(series)
}

fn extent(options: &Options) -> Extent {
    let extent = if options.quick { Extent::quick() } else { Extent::whole() };
    Extent {
        rounds: options.rounds.unwrap_or(extent.rounds).max(1),
        kills: options.kills.unwrap_or(extent.kills).max(1),
        ..extent
    }
}

/// Fails where a durable write costs nothing, and every figure would be one of something else.
fn ensure_a_disk(dir: &Path, filesystem: &str) -> Result<()> {
    ensure!(
        !["tmpfs", "ramfs"].contains(&filesystem),
        "{} is on {filesystem}, which is memory: fsync costs nothing there; set TMPDIR to a directory on a disk",
        dir.display()
    );
    Ok(())
}

/// Writes and prints what there is; fails if a section did.
fn conclude(mut report: Report, out: &Path, steps: &Steps) -> Result<()> {
    report.judge();
    write(&report, out)?;
    table::print(&report);
    steps.note(&format!("{} has the curves", out.join("report.html").display()));
    ensure!(report.failed.is_empty(), "not all was measured:\n  {}", report.failed.join("\n  "));
    Ok(())
}

fn write(report: &Report, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    std::fs::write(dir.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    std::fs::write(dir.join("report.html"), html::page(report))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_no_disk() {
        let refused = ensure_a_disk("/tmp/bench".as_ref(), "tmpfs").unwrap_err().to_string();
        assert!(refused.contains("/tmp/bench is on tmpfs") && refused.contains("TMPDIR"), "{refused}");
        ensure_a_disk("/tmp/bench".as_ref(), "ext4").unwrap();
    }
}
