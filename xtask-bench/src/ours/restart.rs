//! How long a stopped node takes to come back.

use super::disk::{self, LogLen};
use super::{LONG_PATIENCE, Ours, flags};
use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(1);

/// A restart of a follower, timed from the start of its process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restarted {
    /// Until it answered with all applied that was committed on its disk.
    pub(crate) applied: Duration,
    /// Until it also knew its leader.
    pub(crate) following: Duration,
}

impl Ours {
    /// Has this member build a snapshot of all that it has applied; its log stays.
    pub(crate) async fn have_snapshot(&mut self, member: &str) -> Result<()> {
        self.unseat(member).await?;
        self.cluster.agreed().await?;
        let dir = self.cluster.node(member)?.dir.clone();
        self.cluster.kill(member).await?;
        let before = disk::snapshot(&dir)?;
        let own = self.cluster.set_flags(flags(1, u64::MAX));
        let started = self.cluster.restart(member).await;
        let began = Instant::now();
        loop {
            let now = disk::snapshot(&dir)?;
            if now.is_some() && now != before {
                break;
            }
            if began.elapsed() > LONG_PATIENCE {
                bail!("{member} has built no snapshot within {LONG_PATIENCE:?}");
            }
            sleep(LOOK).await;
        }
        self.cluster.set_flags(own);
        started?;
        self.cluster.kill(member).await?;
        self.cluster.restart(member).await
    }

    /// Kills this member, starts it again, and says how long its log was and how long that took.
    pub(crate) async fn restart(&mut self, member: &str) -> Result<(LogLen, Restarted)> {
        self.unseat(member).await?;
        self.cluster.agreed().await?;
        let (client, node) = (self.cluster.client()?, self.cluster.node(member)?);
        let (address, dir) = (node.client.clone(), node.dir.clone());
        let held = self.cluster.status(member).await?.committed;
        self.cluster.kill(member).await?;
        let log = tokio::task::block_in_place(|| disk::log_len(&dir))?;
        let began = Instant::now();
        self.cluster.start(member)?;
        let mut applied = None;
        loop {
            if let Ok(status) = client.node(&address, Duration::from_secs(1)).await {
                let at = began.elapsed();
                if status.applied >= held {
                    applied.get_or_insert(at);
                }
                if let (Some(applied), Some(_)) = (applied, status.leader) {
                    return Ok((log, Restarted { applied, following: at }));
                }
            }
            if began.elapsed() > LONG_PATIENCE {
                bail!("{member} is not back within {LONG_PATIENCE:?}");
            }
            self.cluster.node(member)?.check()?;
            sleep(LOOK).await;
        }
    }
}
