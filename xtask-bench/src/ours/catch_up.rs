//! How fast a member that was away catches up.

use super::{LONG_PATIENCE, Ours, PATIENCE, disk};
use crate::report::Source;
use anyhow::{Result, bail, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(1);
/// What the load itself left behind is not what is measured.
const SETTLED: Duration = Duration::from_millis(500);

/// How a follower caught up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CaughtUp {
    /// How many entries it was behind.
    pub(crate) entries: u64,
    /// From the start of its process until it had them, by the leader's books.
    pub(crate) from_start: Duration,
    /// From its first acknowledgement, and how many entries were still to come then.
    pub(crate) from_ack: (Duration, u64),
    /// The length of the snapshot that it has now, in bytes.
    pub(crate) snapshot_bytes: u64,
}

impl Ours {
    /// Kills a follower, commits `entries` without it, starts it, and waits until it has them all. `None`
    /// if leadership moved meanwhile. Fails if they came another way than from `source`.
    pub(crate) async fn catch_up(&mut self, entries: u64, source: Source) -> Result<Option<CaughtUp>> {
        self.cluster.agreed().await?;
        let (leader, away) = (self.cluster.leader().await?, self.follower().await?);
        let (client, dir) = (self.cluster.client()?, self.cluster.node(&away)?.dir.clone());
        let address = self.cluster.node(&leader)?.client.clone();
        self.cluster.kill(&away).await?;
        let held = disk::snapshot(&dir)?;
        self.commit(entries).await?;
        sleep(SETTLED).await;
        let goal = self.cluster.status(&leader).await?;
        let began = Instant::now();
        self.cluster.start(&away)?;
        // Only a leader has any.
        let Some(known) = goal.progress.iter().find(|p| p.member == away).map(|p| p.matched) else { return Ok(None) };
        let mut first = None;
        let (from_start, from_ack) = loop {
            let status = client.node(&address, PATIENCE).await?;
            let now = began.elapsed();
            let book = status.progress.iter().find(|p| p.member == away).filter(|_| status.term == goal.term);
            let Some(book) = book else { return Ok(None) };
            let ack = book.last_ack_ms.and_then(|ago| now.checked_sub(Duration::from_millis(ago)));
            if let Some(at) = ack {
                first.get_or_insert((at, goal.committed.saturating_sub(book.matched)));
            }
            if let Some((at, left)) = first.filter(|_| book.matched >= goal.committed) {
                break (now, (now.saturating_sub(at), left));
            }
            if now > LONG_PATIENCE {
                bail!("{away} has not caught up within {:?}", LONG_PATIENCE);
            }
            self.cluster.node(&away)?.check()?;
            sleep(LOOK).await;
        };
        self.cluster.agreed().await?;
        let has = disk::snapshot(&dir)?;
        let came = if has == held { Source::Log } else { Source::Snapshot };
        ensure!(came == source, "{away} caught up from {came}, and {source} was to be measured");
        let snapshot_bytes = has.map_or(0, |(_, bytes)| bytes);
        Ok(Some(CaughtUp { entries: goal.committed.saturating_sub(known), from_start, from_ack, snapshot_bytes }))
    }
}
