//! A cluster of three etcd processes on loopback.

mod membership;

use super::certificates::{self, CA, CERTIFICATE, KEY};
use super::rpc::{Caller, NodeStatus};
use crate::dial::{Gaps, Turn};
use crate::load::{self, Load, Period, Proposer};
use crate::subject::{Paused, Subject, Way};
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use xtask_cluster::port;

const PATIENCE: Duration = Duration::from_secs(20);
/// After so long a probe tries another node.
const ATTEMPT: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(20);

/// A cluster of three.
#[derive(Debug)]
pub(crate) struct Etcd {
    name: &'static str,
    version: String,
    value_len: usize,
    nodes: Vec<Node>,
    lost: Option<usize>,
    flags: Vec<String>,
    root: TempDir,
}

#[derive(Debug)]
struct Node {
    name: String,
    peer: u16,
    client: u16,
    process: Option<Child>,
}

/// Whether etcd is installed, and which release.
pub(crate) async fn installed() -> Option<String> {
    let output = Command::new("etcd").arg("--version").output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("etcd Version: ")).map(|version| version.trim().to_owned())
}

impl Etcd {
    /// Starts one. `None` if it is not installed.
    pub(crate) async fn start(name: &'static str, value_len: usize, flags: &[&str]) -> Result<Option<Self>> {
        let Some(version) = installed().await else { return Ok(None) };
        let root = tempfile::Builder::new().prefix("cp-bench-etcd-").tempdir()?;
        certificates::write(root.path())?;
        let node = |number| {
            let [peer, client] = port::free()?;
            Ok(Node { name: format!("e{number}"), peer, client, process: None })
        };
        let nodes = (0..3).map(node).collect::<Result<Vec<_>>>()?;
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let mut cluster = Self { name, version, value_len, nodes, lost: None, flags, root };
        for at in 0..cluster.nodes.len() {
            cluster.spawn(at, "new")?;
        }
        cluster.agreed().await?;
        Ok(Some(cluster))
    }

    /// Starts a node's process; `state` is what its cluster is while it has no directory.
    fn spawn(&mut self, at: usize, state: &str) -> Result<()> {
        let of = |name: &str| self.root.path().join(name).display().to_string();
        let all: Vec<_> = self.nodes.iter().map(|node| format!("{}={}", node.name, url(node.peer))).collect();
        let node = self.nodes.get(at).context("no such node")?;
        let log = File::options().create(true).append(true).open(of(&format!("{}.log", node.name)))?;
        let (peer, client) = (url(node.peer), url(node.client));
        let mut command = Command::new("etcd");
        command.args(["--name", &node.name, "--data-dir", &of(&node.name)]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", state]);
        for prefix in ["--", "--peer-"] {
            command.args([format!("{prefix}cert-file"), of(CERTIFICATE), format!("{prefix}key-file"), of(KEY)]);
            command.args([format!("{prefix}trusted-ca-file"), of(CA), format!("{prefix}client-cert-auth")]);
        }
        command.args(["--logger", "zap", "--log-level", "error"]).args(&self.flags);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?;
        if let Some(node) = self.nodes.get_mut(at) {
            node.process = Some(child);
        }
        Ok(())
    }

    fn certificates(&self) -> PathBuf {
        self.root.path().to_path_buf()
    }

    fn caller(&self, at: usize) -> Result<Caller> {
        Caller::new(self.nodes.get(at).context("no such node")?.client, &self.certificates())
    }

    async fn statuses(&self) -> Result<Vec<(usize, NodeStatus)>> {
        let mut statuses = Vec::new();
        for (at, _) in self.nodes.iter().enumerate().filter(|(_, node)| node.process.is_some()) {
            if let Ok(Ok(status)) = timeout(Duration::from_millis(500), self.caller(at)?.status()).await {
                statuses.push((at, status));
            }
        }
        Ok(statuses)
    }

    /// Waits until all three are there and one leads.
    async fn agreed(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let statuses = self.statuses().await?;
            let highest = statuses.iter().map(|(_, status)| status.raft_index).max().unwrap_or_default();
            let near = statuses.iter().all(|(_, status)| status.raft_index + 10 >= highest);
            if statuses.len() == self.nodes.len() && near && statuses.iter().any(|(_, status)| status.leads()) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("etcd is not whole within {PATIENCE:?}: {}", tail(self.root.path()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn leader(&self) -> Result<(usize, u64)> {
        let began = Instant::now();
        loop {
            if let Some((at, status)) = self.statuses().await?.into_iter().find(|(_, status)| status.leads()) {
                return Ok((at, status.member()));
            }
            ensure!(began.elapsed() < PATIENCE, "no etcd node leads within {PATIENCE:?}");
            sleep(PAUSE).await;
        }
    }

    /// Proposers with this many connections to the leader.
    async fn proposers(&self, proposers: u64, connections: usize) -> Result<Vec<Putter>> {
        let (leader, _) = self.leader().await?;
        let callers = (0..connections).map(|_| self.caller(leader)).collect::<Result<Vec<_>>>()?;
        let putter = |(number, caller): (u64, &Caller)| Putter {
            callers: vec![caller.clone()],
            key: format!("bench/{number:04}").into_bytes(),
            value: vec![7; self.value_len],
            turn: 0,
        };
        Ok((0..proposers).zip(callers.iter().cycle()).map(putter).collect())
    }

    /// Each asks one node after the other.
    fn probes(&self) -> Result<Vec<Putter>> {
        let callers = (0..self.nodes.len()).map(|at| self.caller(at)).collect::<Result<Vec<_>>>()?;
        let probe = |turn| {
            let (key, value) = (format!("probe/{turn:04}").into_bytes(), vec![7; self.value_len]);
            Putter { callers: callers.clone(), key, value, turn }
        };
        Ok((0..self.nodes.len()).map(probe).collect())
    }

    /// At least so many probes, served at a pace.
    async fn steady(&self, proposers: u64) -> Result<Gaps> {
        let mut probes = Vec::new();
        while (probes.len() as u64) < proposers {
            probes.extend(self.probes()?);
        }
        let gaps = Gaps::begin(probes);
        gaps.steady(PATIENCE).await?;
        Ok(gaps)
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn tail(root: &Path) -> String {
    let text = std::fs::read_to_string(root.join("e0.log")).unwrap_or_default();
    text.lines().rev().take(5).collect::<Vec<_>>().join("\n")
}

/// Writes its own key again and again.
#[derive(Debug)]
struct Putter {
    callers: Vec<Caller>,
    key: Vec<u8>,
    value: Vec<u8>,
    turn: usize,
}

#[async_trait]
impl Proposer for Putter {
    async fn propose(&mut self) -> Result<()> {
        let caller = self.callers.first().context("no connection")?;
        Ok(caller.put(self.key.clone(), self.value.clone()).await?)
    }
}

#[async_trait]
impl Turn for Putter {
    async fn turn(&mut self) -> bool {
        let Some(caller) = self.callers.get(self.turn % self.callers.len().max(1)) else { return false };
        let began = Instant::now();
        if let Ok(Ok(())) = timeout(ATTEMPT, caller.put(self.key.clone(), self.value.clone())).await {
            return true;
        }
        self.turn += 1;
        // What refuses at once is not pressed.
        if began.elapsed() < Duration::from_millis(1) {
            sleep(Duration::from_millis(1)).await;
        }
        false
    }
}

#[async_trait]
impl Subject for Etcd {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn ways(&self) -> &[Way] {
        &[Way::Client]
    }

    async fn load(&mut self, _way: Way, proposers: u64, connections: usize, period: Period) -> Result<Load> {
        load::drive(self.proposers(proposers, connections).await?, period).await
    }

    async fn term(&mut self) -> Result<u64> {
        let statuses = self.statuses().await?;
        statuses.iter().map(|(_, status)| status.raft_term).max().context("no etcd node answers")
    }

    async fn fail_over(&mut self) -> Result<Duration> {
        let (leader, _) = self.leader().await?;
        let gaps = Gaps::begin(self.probes()?);
        gaps.steady(PATIENCE).await?;
        self.lost = Some(leader);
        let killed = gaps.mark();
        if let Some(mut process) = self.nodes.get_mut(leader).and_then(|node| node.process.take()) {
            process.kill().await?;
        }
        gaps.served_after(killed, PATIENCE).await
    }

    async fn mend(&mut self) -> Result<()> {
        if let Some(at) = self.lost.take() {
            self.spawn(at, "existing")?;
        }
        self.agreed().await?;
        sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    async fn transfer(&mut self, proposers: u64) -> Result<Duration> {
        let (leader, member) = self.leader().await?;
        let other = self.statuses().await?.into_iter().map(|(_, status)| status.member()).find(|id| *id != member);
        let gaps = self.steady(proposers).await?;
        let from = gaps.mark();
        self.caller(leader)?.move_leader(other.context("there is no other node")?).await?;
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        Ok(gaps.longest_after(from))
    }

    async fn change_membership(&mut self, proposers: u64) -> Result<Paused> {
        self.come_and_go(proposers).await
    }
}
