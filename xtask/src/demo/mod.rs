//! Three real processes with real certificates and real disks: elect, commit, lose
//! the leader, recover, and prove that nothing was lost.

mod load;
mod verify;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use cp_seam::ControlPlaneLogIndex;
use cp_supervisor::cluster_file::ClusterFile;
use load::Account;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use xtask_cluster::{Binary, Cluster, Step, Steps};

/// How many writers keep writing.
const WRITERS: usize = 4;
/// How long the writers write before the leader is killed, and after another leads.
const UNDISTURBED: Duration = Duration::from_millis(1500);

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The consensus engine
    #[arg(long, value_enum, default_value_t = Engine::Openraft)]
    engine: Engine,
    /// Another cluster file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also kill every node while the writers write, and start it with the other engine; and back again
    #[arg(long)]
    swap_engine: bool,
    /// Leave the cluster running at the end, and say how to talk to it
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Openraft,
    Raftrs,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Openraft => "openraft",
            Self::Raftrs => "raftrs",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Openraft => Self::Raftrs,
            Self::Raftrs => Self::Openraft,
        }
    }
}

/// Runs the demonstration; Ctrl-C ends it and every process that it began.
pub(crate) async fn run(options: Options) -> ExitCode {
    let mut steps = Steps::begin();
    let ended = tokio::select! {
        ended = show(&options, &mut steps) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; every process has been ended")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            steps.verdict(false, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn show(options: &Options, steps: &mut Steps) -> Result<()> {
    let path = options.file.clone().unwrap_or_else(|| xtask_cluster::cargo::workspace().join("examples/cluster.toml"));
    let file = ClusterFile::read(&path)?;
    ensure!(
        file.members.len() >= 3,
        "{}: the demo needs three members or more, so that one can be lost",
        path.display()
    );

    let step = steps.step("build cp-supervisor with both engines");
    let binary = Binary::build().await?;
    let built = step.elapsed();
    step.done(&format!("{:.1} s", built.as_secs_f64()));
    steps.restart();

    steps.headline(&format!(
        "\nA control plane of {} members on the {} engine",
        file.members.len(),
        options.engine.name()
    ));
    let mut cluster = Cluster::prepare(binary, &file, path, options.engine.name())?;
    let shown = demonstrate(&mut cluster, steps, options).await;
    if shown.is_err() {
        steps.note(&format!("logs are kept in {}", cluster.keep_files().display()));
    } else if options.keep {
        cluster.leave_running(steps);
    }
    shown
}

async fn demonstrate(cluster: &mut Cluster, steps: &Steps, options: &Options) -> Result<()> {
    let step = steps.step("make a certificate authority and certificates");
    let count = cluster.certify().await?;
    step.done(&format!("{count} certificates, one name each"));

    let step = steps.step("found the cluster on one node");
    cluster.found().await?;
    step.done("genesis is on disk; the node leads itself");

    let step = steps.step("let the others join by one-time tokens");
    cluster.join_others(&step).await?;
    step.done("each started from a snapshot, caught up, and got its vote");

    let step = steps.step("apply the cluster file");
    let ranges = cluster.apply().await?;
    step.done(&format!(
        "{} collections, {} ranges, fenced by epoch and version",
        ranges.collections,
        ranges.ranges.len()
    ));

    let from = cluster.mark().await?;
    let account = Arc::new(Account::default());
    let mut writers = JoinSet::new();
    for shard in 0..WRITERS {
        let own: BTreeMap<_, _> = ranges
            .ranges
            .iter()
            .skip(shard)
            .step_by(WRITERS)
            .map(|(key, range)| (key.clone(), range.clone()))
            .collect();
        writers.spawn(load::write(Arc::clone(&account), cluster.endpoints(), cluster.credentials()?, own));
    }
    let step = steps.step(&format!("{WRITERS} writers move ownership without a pause"));
    watch_for(UNDISTURBED, &account, &step).await;
    let before = account.acknowledged();
    ensure!(before > 0, "no transition was acknowledged within {UNDISTURBED:?}");
    step.done(&format!("{before} transitions acknowledged, {:.0} a second", before as f64 / UNDISTURBED.as_secs_f64()));

    let leader = cluster.leader().await?;
    let step = steps.step(&format!("kill the leader, {leader}, with SIGKILL"));
    let killed_at = Instant::now();
    let pid = cluster.kill(&leader).await?;
    let successor = cluster.successor(&leader).await?;
    step.done(&format!("process {pid} is gone; {successor} leads after {} ms", killed_at.elapsed().as_millis()));

    let step = steps.step("the writers go on");
    watch_for(UNDISTURBED, &account, &step).await;
    let since = account.acknowledged().saturating_sub(before);
    ensure!(since > 0, "no transition was acknowledged after the failover");
    let pause = account.longest_pause(killed_at);
    step.remarkable(&format!("longest pause any client saw: {} ms", pause.as_millis()));

    let step = steps.step(&format!("start {leader} again"));
    cluster.restart(&leader).await?;
    step.done("it has caught up under the same name and disk");

    if options.swap_engine {
        for engine in [options.engine.other(), options.engine] {
            swap(cluster, steps, &account, engine).await?;
        }
    }

    account.stop();
    while let Some(ended) = writers.join_next().await {
        ended.context("a writer panicked")?.context("a writer could not go on")?;
    }
    prove(cluster, steps, &account, from).await
}

/// Kills every node at once, amid the writers, and goes on with the other engine.
async fn swap(cluster: &mut Cluster, steps: &Steps, account: &Account, engine: Engine) -> Result<()> {
    let (from, before) = (Instant::now(), account.acknowledged());
    let step = steps.step(&format!("kill every node, and start each with {} on the same directory", engine.name()));
    cluster.swap_engine(engine.name()).await?;
    step.done(&format!("{} leads after {} ms", cluster.leader().await?, from.elapsed().as_millis()));
    let step = steps.step(&format!("the writers go on under {}", engine.name()));
    watch_for(UNDISTURBED, account, &step).await;
    let since = account.acknowledged().saturating_sub(before);
    ensure!(since > 0, "no transition was acknowledged after the swap");
    step.remarkable(&format!("longest pause any client saw: {} ms", account.longest_pause(from).as_millis()));
    Ok(())
}

async fn watch_for(period: Duration, account: &Account, step: &Step<'_>) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
        step.progress(&format!("{} acknowledged", account.acknowledged()));
    }
}

/// Every node, on its own word: the same log, the same state, and in it what the writers were told.
async fn prove(cluster: &mut Cluster, steps: &Steps, account: &Account, from: ControlPlaneLogIndex) -> Result<()> {
    let end = cluster.mark().await?;
    let step = steps.step("compare the state of all nodes");
    let (applied, digest) = cluster.agreed().await?;
    step.done(&format!("digest {}… at index {applied}, on every node", digest.get(..16).unwrap_or(&digest)));

    let step = steps.step("hold what the writers were told against every node's log");
    let credentials = cluster.credentials()?;
    let mut findings = None;
    for (member, address) in cluster.addresses() {
        let effects = verify::effects(&address, &credentials, from, end).await?;
        let found = verify::hold(account, &effects).with_context(|| format!("by the log of {member}"))?;
        ensure!(findings.is_none_or(|other| other == found), "{member} has another log than the nodes before it");
        findings = Some(found);
    }
    let found = findings.context("there is no node")?;
    step.done(&format!("on {} nodes", cluster.addresses().len()));
    steps.note(&format!("{} acknowledged: every one is there, none twice", found.acknowledged));
    steps.note(&format!(
        "{} unknown: {} took effect, {} did not; {} refused: none took effect",
        found.unknown_done + found.unknown_not_done,
        found.unknown_done,
        found.unknown_not_done,
        found.refused
    ));
    steps.verdict(true, &format!("nothing acknowledged was lost, in {:.1} s", steps.elapsed().as_secs_f64()));
    Ok(())
}
