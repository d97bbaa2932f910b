//! A fourth node that comes as a learner, is promoted, and goes.

use super::{Etcd, Node, PATIENCE, PAUSE};
use crate::subject::Paused;
use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

const NAME: &str = "e3";

impl Etcd {
    pub(super) async fn come_and_go(&mut self, proposers: u64) -> Result<Paused> {
        let (leader, _) = self.leader().await?;
        let caller = self.caller(leader)?;
        let gaps = self.probed(proposers).await?;
        let fourth = Node::new(NAME.to_owned())?;
        let began = Instant::now();
        // Refused until all have been connected for five seconds.
        let (admitted, member) = loop {
            let admitted = gaps.mark();
            match caller.add_learner(fourth.peer_url()).await {
                Ok(member) => break (admitted, member),
                Err(refused) => ensure!(began.elapsed() < PATIENCE, "no learner is admitted: {refused}"),
            }
            sleep(PAUSE).await;
        };
        self.nodes.push(fourth);
        self.spawn(self.nodes.len().saturating_sub(1), "existing")?;
        let began = Instant::now();
        // Refused until it is near enough.
        while let Err(refused) = caller.promote(member).await {
            let fourth = self.nodes.last_mut().context("the fourth node is gone")?;
            fourth.check(self.root.path())?;
            let log = || fourth.log_tail(self.root.path());
            ensure!(began.elapsed() < PATIENCE, "{NAME} is not promoted: {refused}; {}", log());
            sleep(PAUSE).await;
        }
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        let admitting = gaps.longest_after(admitted);
        let removed = gaps.mark();
        caller.remove(member).await?;
        gaps.served_after(gaps.mark(), PATIENCE).await?;
        let removing = gaps.longest_after(removed);
        if let Some(mut fourth) = self.nodes.pop() {
            fourth.kill().await?;
        }
        let dir = self.root.path().join(NAME);
        std::fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
        Ok(Paused { admitting, removing })
    }
}
