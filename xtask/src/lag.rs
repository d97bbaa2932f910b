//! A member that is far behind catches up, in real processes on real files: how long
//! that takes, and what it costs the leader in memory.

use crate::demo::Engine;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use cp_supervisor::cluster_file::ClusterFile;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use xtask_cluster::memory::mebibytes;
use xtask_cluster::{Binary, Cluster, Memory, Steps, port, ranges};

/// What the leader may need for it.
const GROWTH_MAX_BYTES: u64 = 64 << 20;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long catching up may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The consensus engine
    #[arg(long, value_enum, default_value_t = Engine::Openraft)]
    engine: Engine,
    /// How far behind the member is
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// How it catches up
    #[arg(long, value_enum, default_value_t = Way::Snapshot)]
    by: Way,
    /// A cp-supervisor that is built already, with both engines
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// From a snapshot: the log before it is gone
    Snapshot,
    /// From the log: all of it is retained
    Log,
}

impl Way {
    /// How nodes are told to keep the log.
    fn flags(self, entries: u64) -> Vec<String> {
        let (every, retained) = match self {
            Self::Snapshot => ((entries / 4).max(1), 1024),
            Self::Log => (entries.saturating_mul(10), entries.saturating_mul(10)),
        };
        let mut flags = vec!["--snapshot-every".to_owned(), every.to_string()];
        flags.extend(["--snapshot-bytes".to_owned(), (1_u64 << 40).to_string()]);
        flags.extend(["--retained".to_owned(), retained.to_string()]);
        flags
    }
}

/// Measures, prints, and fails if the leader grew beyond the limit.
pub(crate) async fn run(options: Options) -> ExitCode {
    let ended = tokio::select! {
        ended = measure(&options) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; every process has been ended")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<()> {
    let binary = match &options.binary {
        Some(path) => Binary::at(path.clone()),
        None => Binary::build().await?,
    };
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("cluster.toml");
    std::fs::write(&path, port::three_members()?)?;
    let file = ClusterFile::read(&path)?;
    let cluster = Cluster::prepare(binary, &file, path, options.engine.name())?;
    let mut cluster = cluster.with_flags(options.by.flags(options.entries));
    cluster.certify().await?;
    cluster.found().await?;
    let steps = Steps::begin();
    let step = steps.step("three members");
    cluster.join_others(&step).await?;
    step.done("");
    let leader = cluster.leader().await?;
    let away = cluster.addresses().into_iter().map(|(member, _)| member).find(|member| *member != leader);
    let away = away.context("there is no other member")?;
    cluster.kill(&away).await?;

    let step = steps.step(&format!("{} entries without {away}", options.entries));
    let began = Instant::now();
    ranges::make(&cluster, "lag", options.entries).await?;
    step.done(&format!("{:.0} entries/s", options.entries as f64 / began.elapsed().as_secs_f64()));
    // What the load itself left behind is not what is measured.
    sleep(Duration::from_secs(5)).await;
    ensure!(cluster.leader().await? == leader, "{leader} does not lead any more; nothing can be compared");

    let step = steps.step(&format!("{away} catches up"));
    let before = cluster.status(&leader).await?;
    let pid = cluster.node(&leader)?.pid().context("the leader is gone")?;
    let base = Memory::of(pid)?.resident;
    let (mut peak, began) = (base, Instant::now());
    cluster.start(&away)?;
    let deadline = began + PATIENCE;
    loop {
        peak = peak.max(Memory::of(pid)?.resident);
        if let Ok(behind) = cluster.status(&away).await
            && behind.applied >= before.committed
        {
            break;
        }
        if Instant::now() > deadline {
            bail!("{away} has not caught up within {PATIENCE:?}");
        }
        sleep(LOOK).await;
    }
    let took = began.elapsed();
    step.done(&format!("{:.1} s", took.as_secs_f64()));
    let (engine, entries) = (options.engine.name(), options.entries);
    let growth = peak - base;
    anstream::println!(
        "{engine}, {entries} entries, by {:?}: {:.1} s; leader {:.1} MiB before, {:.1} MiB at most, grew by {:.1} MiB",
        options.by,
        took.as_secs_f64(),
        mebibytes(base),
        mebibytes(peak),
        mebibytes(growth)
    );
    ensure!(growth < GROWTH_MAX_BYTES, "the leader grew by {:.1} MiB, at most 64 are allowed", mebibytes(growth));
    Ok(())
}
