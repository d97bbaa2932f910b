//! Our clusters: three processes of one engine each.

use crate::dial::{Gaps, Turn};
use crate::embedded;
use crate::load::{self, Load, Period, Proposer};
use crate::subject::{Subject, Way};
use crate::transition::{self, Round};
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use cp_catalog::Request;
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use cp_supervisor::cluster_file::ClusterFile;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use xtask_cluster::{Binary, Cluster, Step};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many probe while a leader is killed.
const PROBES: u64 = 3;

/// A cluster of three members on one engine.
#[derive(Debug)]
pub(crate) struct Ours {
    engine: &'static str,
    cluster: Cluster,
    clients: Vec<Arc<Client>>,
    lost: Option<String>,
}

impl Ours {
    /// Founds and starts one, with the ranges that the load moves.
    pub(crate) async fn found(
        engine: &'static str,
        binary: Binary,
        file: &Path,
        flags: &[String],
        step: &Step<'_>,
    ) -> Result<Self> {
        let parsed = ClusterFile::read(file)?;
        let mut all = vec!["--log".to_owned(), "error".to_owned()];
        all.extend_from_slice(flags);
        let own = Binary::at(std::env::current_exe()?);
        let cluster = Cluster::prepare(binary, &parsed, file.to_path_buf(), engine)?;
        let mut cluster = cluster.served_by(own).with_flags(all);
        cluster.certify().await?;
        cluster.found().await?;
        cluster.join_others(step).await?;
        let client = cluster.client()?;
        let member = |at: usize| {
            let (member, _) = cluster.addresses().into_iter().nth(at).context("there are three members")?;
            Ok::<_, anyhow::Error>(MemberId::new(&member)?)
        };
        for command in transition::founding(&member(0)?, &member(1)?)? {
            let decision = client.submit(command).await?;
            ensure!(decision.verdict.is_done(), "the ranges were not made: {}", decision.verdict);
        }
        Ok(Self { engine, cluster, clients: Vec::new(), lost: None })
    }

    /// How long the log entry of one transition is, in bytes.
    pub(crate) async fn entry_len(&mut self) -> Result<usize> {
        let client = self.cluster.client()?;
        let round = rounds(&client, 1).await?.pop().context("there is no range")?;
        let entry = Request::new(Some(client.next_id().await?), round.command()?).to_entry()?;
        Ok(entry.payload().as_bytes().len())
    }

    fn connect(&mut self, count: usize) -> Result<Vec<Arc<Client>>> {
        while self.clients.len() < count {
            let (endpoints, credentials) = (self.cluster.endpoints(), self.cluster.credentials()?);
            self.clients.push(Arc::new(Client::new(endpoints, credentials, PATIENCE)));
        }
        Ok(self.clients.iter().take(count).cloned().collect())
    }

    async fn proposers(&mut self, proposers: u64, connections: usize) -> Result<Vec<Caller>> {
        let clients = self.connect(connections)?;
        let first = clients.first().context("no connection")?;
        let rounds = rounds(first, proposers).await?;
        let with = clients.iter().cycle();
        Ok(rounds.into_iter().zip(with).map(|(round, client)| Caller { client: Arc::clone(client), round }).collect())
    }

    /// The directory of the member that leads.
    async fn leader_dir(&mut self) -> Result<std::path::PathBuf> {
        let leader = self.cluster.leader().await?;
        Ok(self.cluster.node(&leader)?.dir.clone())
    }
}

/// The ranges of the first `count` proposers as they stand.
async fn rounds(client: &Client, count: u64) -> Result<Vec<Round>> {
    let collection = transition::collection()?;
    let ranges = client.ranges(Some(&collection)).await?.value;
    let rounds: Vec<_> = ranges.into_iter().map(|(key, range)| Round::of(key, range)).collect();
    let count = usize::try_from(count)?;
    ensure!(rounds.len() >= count, "there are {} ranges for {count} proposers", rounds.len());
    Ok(rounds.into_iter().take(count).collect())
}

/// Proposes through the client API.
struct Caller {
    client: Arc<Client>,
    round: Round,
}

#[async_trait]
impl Proposer for Caller {
    async fn propose(&mut self) -> Result<()> {
        let decision = self.client.submit(self.round.command()?).await?;
        self.round.take(&decision.verdict)
    }
}

#[async_trait]
impl Turn for Caller {
    async fn turn(&mut self) -> bool {
        let Ok(command) = self.round.command() else { return false };
        match self.client.submit(command).await {
            Ok(decision) => match self.round.take(&decision.verdict) {
                Ok(()) => true,
                Err(_) => self.refresh().await,
            },
            Err(_) => self.refresh().await,
        }
    }
}

impl Caller {
    /// After an unknown outcome only the state says where the range stands.
    async fn refresh(&mut self) -> bool {
        if let Ok(answer) = self.client.range(self.round.key()).await
            && let Some(range) = answer.value
        {
            self.round = Round::of(self.round.key().clone(), range);
        }
        false
    }
}

#[async_trait]
impl Subject for Ours {
    fn name(&self) -> &str {
        self.engine
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn ways(&self) -> &[Way] {
        &[Way::Embedded, Way::Client]
    }

    async fn load(&mut self, way: Way, proposers: u64, connections: usize, period: Period) -> Result<Load> {
        match way {
            Way::Embedded => embedded::ask(&self.leader_dir().await?, proposers, period).await,
            Way::Client => load::drive(self.proposers(proposers, connections).await?, period).await,
        }
    }

    async fn term(&mut self) -> Result<u64> {
        let statuses = self.cluster.statuses().await?;
        statuses.iter().map(|status| status.term).max().context("no node answers")
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
        self.lost = Some(leader.clone());
        let killed = gaps.mark();
        self.cluster.kill(&leader).await?;
        gaps.served_after(killed, PATIENCE).await
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
        ensure!(now != leader, "{leader} still leads after a transfer");
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        Ok(gaps.longest_after(from))
    }
}
