//! What the nodes say of themselves, and waiting for it.

use super::{Cluster, PAUSE};
use anyhow::{Context, Result, bail, ensure};
use cp_supervisor::api::messages::NodeStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

impl Cluster {
    /// The status of every running node that answers, in the order of the file.
    pub async fn statuses(&mut self) -> Result<Vec<NodeStatus>> {
        let client = self.client()?;
        let mut statuses = Vec::new();
        for node in self.nodes.iter_mut().filter(|node| node.pid().is_some()) {
            node.check()?;
            if let Ok(status) = client.node(&node.client, Duration::from_millis(500)).await {
                statuses.push(status);
            }
        }
        Ok(statuses)
    }

    /// The status of this member's node, if it answers.
    pub async fn status(&mut self, member: &str) -> Result<NodeStatus> {
        let address = self.node(member)?.client.clone();
        Ok(self.client()?.node(&address, Duration::from_millis(500)).await?)
    }

    pub(super) async fn until(&mut self, what: &str, wanted: impl Fn(&[NodeStatus]) -> bool) -> Result<()> {
        let (patience, deadline) = (self.patience, Instant::now() + self.patience);
        loop {
            let statuses = self.statuses().await?;
            if wanted(&statuses) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{patience:?} have passed and it is not so that {what}; last seen: {}", describe(&statuses));
            }
            sleep(PAUSE).await;
        }
    }

    /// Who leads and serves.
    pub async fn leader(&mut self) -> Result<String> {
        self.until("a node leads", |statuses| statuses.iter().any(|s| s.serving)).await?;
        let serving = self.statuses().await?.into_iter().find(|s| s.serving);
        Ok(serving.context("the leader has just stepped down")?.member)
    }

    /// Waits until another than `lost` serves.
    pub async fn successor(&mut self, lost: &str) -> Result<String> {
        let serves = |s: &NodeStatus| s.serving && s.member != lost;
        self.until("another node leads", |statuses| statuses.iter().any(serves)).await?;
        let successor = self.statuses().await?.into_iter().find(serves);
        Ok(successor.map_or_else(|| "another node".to_owned(), |s| s.member))
    }

    /// Waits until every node has applied the same index and has the same state there.
    pub async fn agreed(&mut self) -> Result<(u64, String)> {
        let count = self.nodes.len();
        let same =
            |s: &[NodeStatus], of: fn(&NodeStatus) -> u64| s.windows(2).all(|w| matches!(w, [a, b] if of(a) == of(b)));
        self.until("all nodes have applied the same", |s| {
            s.len() == count
                && same(s, |s| s.digest_at)
                && same(s, |s| s.committed)
                && s.iter().all(|s| s.digest_at == s.committed)
        })
        .await?;
        let statuses = self.statuses().await?;
        let first = statuses.first().context("no node answers")?;
        for other in &statuses {
            ensure!(
                other.digest == first.digest || other.digest_at != first.digest_at,
                "{} has digest {} at index {}, {} has {}",
                first.member,
                first.digest,
                first.digest_at,
                other.member,
                other.digest
            );
        }
        Ok((first.digest_at, first.digest.clone()))
    }
}

fn describe(statuses: &[NodeStatus]) -> String {
    let one = |s: &NodeStatus| {
        let (leader, role) = (s.leader.as_deref().unwrap_or("nobody"), &s.role);
        format!(
            "{} {role} in term {} under {leader}, committed {}, applied {}",
            s.member, s.term, s.committed, s.applied
        )
    };
    if statuses.is_empty() {
        "no node answers".to_owned()
    } else {
        statuses.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
