//! One run: everything is started, measured in turns, and reported.

use crate::floor::{Floor, Gauge};
use crate::machine::Machine;
use crate::micro;
use crate::nodes;
use crate::ours::{Ours, defaults};
use crate::peer::Etcd;
use crate::report::micro::MicroSeries;
use crate::report::{FloorReport, Report, Setup, SubjectReport, html, table};
use crate::section::{self, Extent, Section};
use crate::subject::Subject;
use crate::{Options, Peer};
use anyhow::{Context, Result};
use std::path::Path;
use xtask_cluster::{Binary, Steps, port};

/// Those that we have.
pub(crate) const ENGINES: [&str; 2] = ["openraft", "raftrs"];

pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = Box::pin(measure(&options)) => ended,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted; every process has been ended"),
        }
    })
}

async fn measure(options: &Options) -> Result<()> {
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

    // Before the members, which are never quite idle.
    let micro = if has(Section::Micro) { micros(options, &steps).await } else { Ok(Vec::new()) };
    let micro = match micro {
        // The rest of a run is of use without them.
        Err(error) if sections != [Section::Micro] => {
            steps.note(&format!("the micro-benchmarks are left out: {error:#}"));
            Vec::new()
        }
        micro => micro?,
    };
    let files = tempfile::Builder::new().prefix("cp-bench-").tempdir()?;
    let mut gauge = Gauge::prepare(files.path())?;
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    let mut entry_len = 0;
    // The micro-benchmarks by themselves need no members.
    let engines: &[&str] = if sections == [Section::Micro] { &[] } else { &ENGINES };
    for engine in engines.iter().copied() {
        let step = steps.step(&format!("three members on {engine}"));
        let file = files.path().join(format!("{engine}.toml"));
        std::fs::write(&file, port::three_members()?)?;
        let mut ours = Ours::found(engine, binary.clone(), &file, defaults(), &step).await?;
        entry_len = ours.entry_len().await?;
        step.done(&format!("entries of {entry_len} bytes"));
        subjects.push(Box::new(ours));
    }
    let mut missing = None;
    if options.peer == Some(Peer::Etcd) {
        let step = steps.step("three nodes of etcd");
        let ours = cp_driver::Settings::default().election_timeout.as_millis();
        let (election, heartbeat) =
            (format!("--election-timeout={ours}"), format!("--heartbeat-interval={}", ours / 5));
        let equal = [election.as_str(), heartbeat.as_str()];
        for (name, flags) in [("etcd", [].as_slice()), ("etcd, equal timeouts", &equal)] {
            match Etcd::start(name, entry_len, flags).await? {
                Some(etcd) => subjects.push(Box::new(etcd)),
                None => missing = Some("etcd is not installed: the package etcd-server has it".to_owned()),
            }
        }
        step.done(missing.as_deref().unwrap_or("the same lengths, mutual TLS, the same disk"));
    }
    let mut report = Report {
        format: Report::FORMAT,
        taken: jiff::Timestamp::now().to_string(),
        quick: options.quick,
        setup: Setup::of(&extent, sections, options.binary.is_some()),
        machine: Machine::of(files.path()),
        subjects: subjects.iter().map(|subject| SubjectReport::of(subject.as_ref())).collect(),
        missing,
        entry_len,
        floor: FloorReport::of(&Floor::none()?),
        loads: Vec::new(),
        failovers: Vec::new(),
        transfers: Vec::new(),
        admissions: Vec::new(),
        removals: Vec::new(),
        restarts: Vec::new(),
        catch_ups: Vec::new(),
        memory: Vec::new(),
        micro,
        targets: Vec::new(),
    };
    if has(Section::Load) {
        let step = steps.step("latency and throughput, in turns");
        // Timeouts make no difference without a failure.
        let all = subjects.len();
        let measured = subjects.get_mut(..all.min(3)).context("no subject")?;
        let (loads, floor) = section::load::loads(measured, &mut gauge, &extent, &step).await?;
        (report.loads, report.floor) = (loads, FloorReport::of(&floor));
        step.done(&format!("{} rounds", extent.rounds));
    } else {
        let mut floor = Floor::none()?;
        tokio::task::block_in_place(|| gauge.measure(extent.floor, &mut floor))?;
        report.floor = FloorReport::of(&floor);
    }
    if has(Section::Transfer) {
        let step = steps.step("leadership handed over, under load");
        let measured = subjects.len().min(3);
        let measured = subjects.get_mut(..measured).context("no subject")?;
        report.transfers = section::pause::transfers(measured, &extent, &step).await?;
        step.done("");
    }
    if has(Section::Membership) {
        let step = steps.step("a fourth member comes and goes, under load");
        let measured = subjects.len().min(3);
        let measured = subjects.get_mut(..measured).context("no subject")?;
        (report.admissions, report.removals) = section::pause::memberships(measured, &extent, &step).await?;
        step.done("");
    }
    if has(Section::Failover) {
        let step = steps.step("leaders killed");
        report.failovers = section::pause::failovers(&mut subjects, &extent, &step).await?;
        step.done(&format!("{} times each", extent.kills));
    }
    // What they do while others are measured is not part of that.
    drop(subjects);
    nodes::measure(&mut report, &binary, sections, &extent, &steps).await?;
    report.judge();
    write(&report, &options.out)?;
    table::print(&report);
    steps.note(&format!("{} has the curves", options.out.join("report.html").display()));
    Ok(())
}

async fn micros(options: &Options, steps: &Steps) -> Result<Vec<MicroSeries>> {
    let step = steps.step("build the micro-benchmarks");
    let built = micro::build().await?;
    step.done("");
    let step = steps.step("micro-benchmarks");
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

fn write(report: &Report, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    std::fs::write(dir.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    std::fs::write(dir.join("report.html"), html::page(report))?;
    Ok(())
}
