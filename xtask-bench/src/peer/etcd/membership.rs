//! A fourth node that comes as a learner, is promoted, and goes.

use super::{Etcd, Node, PATIENCE, PAUSE, tail, url};
use crate::subject::Paused;
use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};
use xtask_cluster::port;

const NAME: &str = "e3";

impl Etcd {
    pub(super) async fn come_and_go(&mut self, proposers: u64) -> Result<Paused> {
        let (leader, _) = self.leader().await?;
        let caller = self.caller(leader)?;
        let gaps = self.steady(proposers).await?;
        let [peer, client] = port::free()?;
        let began = Instant::now();
        // Refused until all have been connected for five seconds.
        let (admitted, member) = loop {
            let admitted = gaps.mark();
            match caller.add_learner(url(peer)).await {
                Ok(member) => break (admitted, member),
                Err(refused) => ensure!(began.elapsed() < PATIENCE, "no learner is admitted: {refused}"),
            }
            sleep(PAUSE).await;
        };
        self.nodes.push(Node { name: NAME.to_owned(), peer, client, process: None });
        self.spawn(self.nodes.len().saturating_sub(1), "existing")?;
        let began = Instant::now();
        // Refused until it is near enough.
        while let Err(refused) = caller.promote(member).await {
            ensure!(began.elapsed() < PATIENCE, "{NAME} is not promoted: {refused}; {}", tail(self.root.path()));
            sleep(PAUSE).await;
        }
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        let admitting = gaps.longest_after(admitted);
        let removed = gaps.mark();
        caller.remove(member).await?;
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        let removing = gaps.longest_after(removed);
        if let Some(mut process) = self.nodes.pop().and_then(|node| node.process) {
            process.kill().await?;
        }
        let dir = self.root.path().join(NAME);
        std::fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        Ok(Paused { admitting, removing })
    }
}
