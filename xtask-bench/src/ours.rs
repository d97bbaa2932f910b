//! Our clusters: three processes of one engine each.

mod caller;
mod catch_up;
mod disk;
mod restart;

pub(crate) use catch_up::CaughtUp;
pub(crate) use disk::LogLen;
pub(crate) use restart::Restarted;

use crate::dial::Gaps;
use crate::elections::{During, Watch};
use crate::embedded;
use crate::load::{self, Load, Period};
use crate::subject::{Paused, Subject, Way};
use crate::transition;
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use cp_catalog::Request;
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use cp_supervisor::cluster_file::ClusterFile;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use xtask_cluster::{Binary, Cluster, Step};

use caller::{Caller, rounds};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a node with a long log may take to be back, and how long one may take to catch up.
const LONG_PATIENCE: Duration = Duration::from_secs(120);
/// How many probe while a leader is killed.
const PROBES: u64 = 3;

/// How many propose where it only matters that much is committed.
const PROPOSERS: u64 = 64;
/// How often their load may end early.
const FAILURES_MAX: usize = 20;
/// Who comes and goes.
const FOURTH: &str = "n3";

/// The flags of nodes that build a snapshot after so many entries, and keep so many before it.
pub(crate) fn flags(snapshot_every: u64, retained: u64) -> Vec<String> {
    let [every, retained] = [snapshot_every, retained].map(|count| count.to_string());
    let bytes = u64::MAX.to_string();
    let flags = ["--log", "error", "--snapshot-every", &every, "--retained", &retained, "--snapshot-bytes", &bytes];
    flags.map(str::to_owned).into()
}

/// The flags of nodes that keep their whole log.
pub(crate) fn whole_log() -> Vec<String> {
    flags(u64::MAX, u64::MAX)
}

/// The flags of nodes at their defaults.
pub(crate) fn defaults() -> Vec<String> {
    ["--log", "error"].map(str::to_owned).into()
}

/// A cluster of three members on one engine.
#[derive(Debug)]
pub(crate) struct Ours {
    engine: &'static str,
    cluster: Cluster,
    clients: Vec<Arc<Client>>,
    lost: Option<String>,
    watch: Watch,
}

impl Ours {
    /// Founds and starts one, with the ranges that the load moves.
    pub(crate) async fn found(
        engine: &'static str,
        binary: Binary,
        file: &Path,
        flags: Vec<String>,
        step: &Step<'_>,
    ) -> Result<Self> {
        let parsed = ClusterFile::read(file)?;
        let own = Binary::at(std::env::current_exe()?);
        let cluster = Cluster::prepare(binary, &parsed, file.to_path_buf(), engine)?;
        let cluster = cluster.served_by(own).with_flags(flags).with_patience(LONG_PATIENCE);
        let mut ours = Self { engine, cluster, clients: Vec::new(), lost: None, watch: Watch::default() };
        if let Err(error) = ours.prepare(step).await {
            let kept = ours.keep_files();
            return Err(error.context(format!("{engine} is not founded; its files are kept in {}", kept.display())));
        }
        Ok(ours)
    }

    async fn prepare(&mut self, step: &Step<'_>) -> Result<()> {
        self.cluster.certify().await?;
        self.cluster.found().await?;
        self.watch = Watch::begin(self.term().await?);
        self.cluster.join_others(step).await?;
        let client = self.cluster.client()?;
        let member = |at: usize| {
            let (member, _) = self.cluster.addresses().into_iter().nth(at).context("there are three members")?;
            Ok::<_, anyhow::Error>(MemberId::new(&member)?)
        };
        for command in transition::founding(&member(0)?, &member(1)?)? {
            let decision = client.submit(command).await?;
            ensure!(decision.verdict.is_done(), "the ranges were not made: {}", decision.verdict);
        }
        self.look(During::Founding).await?;
        Ok(())
    }

    /// Which engine it runs.
    pub(crate) fn engine(&self) -> &'static str {
        self.engine
    }

    /// Its processes.
    pub(crate) fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// A member that does not lead.
    pub(crate) async fn follower(&mut self) -> Result<String> {
        let leader = self.cluster.leader().await?;
        let mut members = self.cluster.addresses().into_iter().map(|(member, _)| member);
        members.rfind(|member| *member != leader).context("there is no other member")
    }

    /// Commits so many entries as fast as it can. Leadership may move meanwhile, on a busy machine.
    pub(crate) async fn commit(&mut self, entries: u64) -> Result<()> {
        let leader = self.cluster.leader().await?;
        let goal = self.cluster.status(&leader).await?.committed + entries;
        let mut failed = 0;
        loop {
            let leader = self.cluster.leader().await?;
            let left = goal.saturating_sub(self.cluster.status(&leader).await?.committed);
            let dir = self.cluster.node(&leader)?.dir.clone();
            match embedded::commit(&dir, PROPOSERS, left).await {
                Ok(()) => return Ok(()),
                Err(error) if failed == FAILURES_MAX => return Err(error),
                Err(_) => failed += 1,
            }
        }
    }

    /// Sees to it that somebody else than `member` leads.
    async fn unseat(&mut self, member: &str) -> Result<()> {
        while self.cluster.leader().await? == member {
            self.cluster.client()?.transfer(None).await?;
            self.watch.grant(1);
        }
        Ok(())
    }

    /// How long the log entry of one transition is, in bytes.
    pub(crate) async fn entry_len(&mut self) -> Result<usize> {
        let client = self.cluster.client()?;
        let round = rounds(&client, 1).await?.pop().context("there is no range")?;
        let entry = Request::new(Some(client.next_id().await?), round.command()?).to_entry()?;
        Ok(entry.payload().as_bytes().len())
    }

    /// So many connections, kept from before; each has just been used.
    async fn connect(&mut self, count: usize) -> Result<Vec<Arc<Client>>> {
        while self.clients.len() < count {
            let (endpoints, credentials) = (self.cluster.endpoints(), self.cluster.credentials()?);
            self.clients.push(Arc::new(Client::new(endpoints, credentials, PATIENCE)));
        }
        let clients: Vec<_> = self.clients.iter().take(count).cloned().collect();
        load::each(clients.iter().cloned().map(|client| async move { Ok(client.collections().await.map(drop)?) }))
            .await?;
        Ok(clients)
    }

    async fn proposers(&mut self, proposers: u64, connections: usize) -> Result<Vec<Caller>> {
        let clients = self.connect(connections).await?;
        let first = clients.first().context("no connection")?;
        let rounds = rounds(first, proposers).await?;
        let with = clients.iter().cycle();
        Ok(rounds.into_iter().zip(with).map(|(round, client)| Caller { client: Arc::clone(client), round }).collect())
    }

    /// The directory of the member that leads.
    async fn leader_dir(&mut self) -> Result<PathBuf> {
        let leader = self.cluster.leader().await?;
        Ok(self.cluster.node(&leader)?.dir.clone())
    }
}

#[async_trait]
impl Subject for Ours {
    fn name(&self) -> &str {
        self.engine
    }

    fn version(&self) -> &str {
        crate::report::engine_version(self.engine)
    }

    fn ways(&self) -> &[Way] {
        &[Way::Embedded, Way::Client]
    }

    async fn load(&mut self, way: Way, proposers: u64, connections: usize, period: Period) -> Result<Load> {
        match way {
            Way::Embedded => embedded::load(&self.leader_dir().await?, proposers, period).await,
            Way::Client => load::drive(self.proposers(proposers, connections).await?, period).await,
        }
    }

    async fn term(&mut self) -> Result<u64> {
        let statuses = self.cluster.statuses().await?;
        statuses.iter().map(|status| status.term).max().context("no node answers")
    }

    fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    fn keep_files(&mut self) -> PathBuf {
        self.cluster.keep_files()
    }

    async fn fail_over(&mut self) -> Result<Duration> {
        let leader = self.cluster.leader().await?;
        let mut probes = Vec::new();
        for number in 0..PROBES {
            // Connections of their own, as clients have that do not know each other.
            let client = Arc::new(self.cluster.client()?);
            let round = rounds(&client, number + 1).await?.pop().context("there is no range")?;
            probes.push(Caller { client, round });
        }
        let gaps = Gaps::begin(probes);
        gaps.steady(PATIENCE).await?;
        self.look(During::Probing).await?;
        self.lost = Some(leader.clone());
        let killed = gaps.mark();
        self.cluster.kill(&leader).await?;
        let took = gaps.served_after(killed, PATIENCE).await?;
        let term = self.term().await?;
        self.watch.pardon(term);
        Ok(took)
    }

    async fn mend(&mut self) -> Result<()> {
        self.clients.clear();
        if let Some(member) = self.lost.take() {
            self.cluster.restart(&member).await?;
        }
        self.cluster.agreed().await?;
        // What it has caught up with is not part of what comes next.
        sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    async fn transfer(&mut self, proposers: u64) -> Result<Duration> {
        let leader = self.cluster.leader().await?;
        let gaps = Gaps::begin(self.proposers(proposers, usize::try_from(proposers)?).await?);
        gaps.steady(PATIENCE).await?;
        let from = gaps.mark();
        let client = self.cluster.client()?;
        let now = client.transfer(None).await?;
        self.watch.grant(1);
        ensure!(now != leader, "{leader} still leads after a transfer");
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        Ok(gaps.longest_after(from))
    }

    async fn change_membership(&mut self, proposers: u64) -> Result<Paused> {
        self.cluster.prepare_another(FOURTH).await?;
        let gaps = Gaps::begin(self.proposers(proposers, usize::try_from(proposers)?).await?);
        gaps.steady(PATIENCE).await?;
        let admitted = gaps.mark();
        self.cluster.admit(FOURTH).await?;
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        let admitting = gaps.longest_after(admitted);
        let removed = gaps.mark();
        self.cluster.remove(FOURTH).await?;
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        Ok(Paused { admitting, removing: gaps.longest_after(removed) })
    }
}
