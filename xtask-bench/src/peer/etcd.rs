//! A cluster of three etcd processes on loopback.

mod membership;
mod node;
mod putter;

use super::certificates;
use super::rpc::{Caller, NodeStatus};
use crate::dial::Gaps;
use crate::elections::{During, Watch};
use crate::load::{self, Load, Period};
use crate::subject::{Paused, Subject, Way};
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use node::Node;
pub(crate) use node::installed;
use putter::Putter;

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// How many probe while a leader is killed.
const PROBES: u64 = 3;

/// A cluster of three.
#[derive(Debug)]
pub(crate) struct Etcd {
    name: &'static str,
    version: String,
    value_len: usize,
    nodes: Vec<Node>,
    lost: Option<usize>,
    flags: Vec<String>,
    /// Connections to the node that led when they were made.
    callers: (usize, Vec<Caller>),
    watch: Watch,
    root: TempDir,
}

impl Etcd {
    /// Starts one of this release, which is [`installed`].
    pub(crate) async fn start(name: &'static str, version: &str, value_len: usize, flags: Vec<String>) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("cp-bench-etcd-").tempdir()?;
        certificates::write(root.path())?;
        let nodes = (0..3).map(|number| Node::new(format!("e{number}"))).collect::<Result<Vec<_>>>()?;
        let (version, callers, watch) = (version.to_owned(), (0, Vec::new()), Watch::default());
        let mut cluster = Self { name, version, value_len, nodes, lost: None, flags, callers, watch, root };
        for at in 0..cluster.nodes.len() {
            cluster.spawn(at, "new")?;
        }
        if let Err(error) = cluster.agreed().await {
            let kept = cluster.keep_files();
            return Err(error.context(format!("{name} does not come up; its files are kept in {}", kept.display())));
        }
        // Three that start at once may need more than one election.
        cluster.watch = Watch::begin(cluster.term().await?);
        Ok(cluster)
    }

    /// Starts a node's process; `state` is what its cluster is while it has no directory.
    fn spawn(&mut self, at: usize, state: &str) -> Result<()> {
        let all: Vec<_> = self.nodes.iter().map(|node| format!("{}={}", node.name, node.peer_url())).collect();
        let node = self.nodes.get_mut(at).context("no such node")?;
        node.spawn(self.root.path(), &all.join(","), state, &self.flags)
    }

    fn caller(&self, at: usize) -> Result<Caller> {
        Caller::new(self.nodes.get(at).context("no such node")?.client, self.root.path())
    }

    /// Of those that answer; fails if one has ended by itself.
    async fn statuses(&mut self) -> Result<Vec<(usize, NodeStatus)>> {
        for node in &mut self.nodes {
            node.check(self.root.path())?;
        }
        let mut statuses = Vec::new();
        for (at, _) in self.nodes.iter().enumerate().filter(|(_, node)| node.runs()) {
            if let Ok(Ok(status)) = timeout(Duration::from_millis(500), self.caller(at)?.status()).await {
                statuses.push((at, status));
            }
        }
        Ok(statuses)
    }

    /// Waits until all three are there and one leads.
    async fn agreed(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let statuses = self.statuses().await?;
            let highest = statuses.iter().map(|(_, status)| status.raft_index).max().unwrap_or_default();
            let near = |status: &NodeStatus| status.raft_index + 10 >= highest;
            let all_near = statuses.iter().all(|(_, status)| near(status));
            if statuses.len() == self.nodes.len() && all_near && statuses.iter().any(|(_, status)| status.leads()) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let well = |at: usize| statuses.iter().any(|(of, status)| *of == at && near(status));
                let late = self.nodes.iter().enumerate().filter(|(at, _)| !well(*at));
                let late: Vec<_> = late.map(|(_, node)| node.log_tail(self.root.path())).collect();
                bail!("{} is not whole within {PATIENCE:?}: {}", self.name, late.join("\n"));
            }
            sleep(PAUSE).await;
        }
    }

    async fn leader(&mut self) -> Result<(usize, u64)> {
        let began = Instant::now();
        loop {
            if let Some((at, status)) = self.statuses().await?.into_iter().find(|(_, status)| status.leads()) {
                return Ok((at, status.member()));
            }
            ensure!(began.elapsed() < PATIENCE, "no etcd node leads within {PATIENCE:?}");
            sleep(PAUSE).await;
        }
    }

    /// So many connections to the leader, kept from before where it is the same; each has just been used.
    async fn connect(&mut self, count: usize) -> Result<Vec<Caller>> {
        let (leader, _) = self.leader().await?;
        if self.callers.0 != leader {
            self.callers = (leader, Vec::new());
        }
        while self.callers.1.len() < count {
            let caller = self.caller(leader)?;
            self.callers.1.push(caller);
        }
        let callers: Vec<_> = self.callers.1.iter().take(count).cloned().collect();
        load::each(callers.iter().cloned().map(|caller| async move { Ok(caller.status().await.map(drop)?) })).await?;
        Ok(callers)
    }

    /// Proposers with this many connections to the leader.
    async fn proposers(&mut self, proposers: u64, connections: usize) -> Result<Vec<Putter>> {
        let callers = self.connect(connections).await?;
        let putter = |(number, caller): (u64, &Caller)| Putter {
            callers: vec![caller.clone()],
            key: format!("bench/{number:04}").into_bytes(),
            value: vec![7; self.value_len],
            turn: 0,
        };
        Ok((0..proposers).zip(callers.iter().cycle()).map(putter).collect())
    }

    /// So many clients that do not know each other, served at a pace. Each asks one node after the other.
    async fn probed(&self, by: u64) -> Result<Gaps> {
        let probe = |turn: u64| {
            let callers = (0..self.nodes.len()).map(|at| self.caller(at)).collect::<Result<Vec<_>>>()?;
            let (key, value) = (format!("probe/{turn:04}").into_bytes(), vec![7; self.value_len]);
            Ok(Putter { callers, key, value, turn: usize::try_from(turn)? })
        };
        let gaps = Gaps::begin((0..by).map(probe).collect::<Result<Vec<_>>>()?);
        gaps.steady(PATIENCE).await?;
        Ok(gaps)
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

    fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    fn keep_files(&mut self) -> PathBuf {
        self.root.disable_cleanup(true);
        self.root.path().to_path_buf()
    }

    async fn fail_over(&mut self) -> Result<Duration> {
        let (leader, _) = self.leader().await?;
        let gaps = self.probed(PROBES).await?;
        self.look(During::Probing).await?;
        self.lost = Some(leader);
        let killed = gaps.mark();
        self.nodes.get_mut(leader).context("no such node")?.kill().await?;
        let took = gaps.served_after(killed, PATIENCE).await?;
        let term = self.term().await?;
        self.watch.pardon(term);
        Ok(took)
    }

    async fn mend(&mut self) -> Result<()> {
        self.callers.1.clear();
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
        let gaps = self.probed(proposers).await?;
        let from = gaps.mark();
        self.caller(leader)?.move_leader(other.context("there is no other node")?).await?;
        self.watch.grant(1);
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        Ok(gaps.longest_after(from))
    }

    async fn change_membership(&mut self, proposers: u64) -> Result<Paused> {
        self.come_and_go(proposers).await
    }
}
