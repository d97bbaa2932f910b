//! Closed-loop load: each proposer has one request under way, and the next when that is answered.

use crate::latency::Latencies;
use anyhow::{Context, Result};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Somebody who proposes again and again.
#[async_trait]
pub(crate) trait Proposer: Send {
    /// Proposes once, and returns when that is committed.
    async fn propose(&mut self) -> Result<()>;
}

/// For how long a load runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    /// What is not counted.
    pub(crate) warm: Duration,
    /// What is.
    pub(crate) counted: Duration,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) latencies: Latencies,
    pub(crate) elapsed: Duration,
    /// How much was committed, what was not counted included.
    pub(crate) committed: u64,
}

impl Load {
    pub(crate) fn throughput(&self) -> f64 {
        self.latencies.count() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Runs the proposers. What was begun before the end is waited for, and counts.
pub(crate) async fn drive<P: Proposer + 'static>(proposers: Vec<P>, period: Period) -> Result<Load> {
    let from = Instant::now() + period.warm;
    let end = from + period.counted;
    let mut tasks = JoinSet::new();
    for mut proposer in proposers {
        tasks.spawn(async move {
            let (mut latencies, mut committed) = (Latencies::none()?, 0);
            loop {
                let began = Instant::now();
                if began >= end {
                    return Ok::<_, anyhow::Error>((latencies, committed, began));
                }
                proposer.propose().await?;
                committed += 1;
                if began >= from {
                    latencies.add(began.elapsed());
                }
            }
        });
    }
    let (mut latencies, mut committed, mut last) = (Latencies::none()?, 0, end);
    while let Some(ended) = tasks.join_next().await {
        // What it takes to put all together is no part of it.
        let (own, count, at) = ended.context("a proposer panicked")??;
        latencies.merge(&own)?;
        committed += count;
        last = last.max(at);
    }
    Ok(Load { latencies, elapsed: last - from, committed })
}

/// Runs them all at once, to their end.
pub(crate) async fn each<F>(all: impl Iterator<Item = F>) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = all.collect();
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task panicked")??;
    }
    Ok(())
}

/// Runs the proposers until they have committed `count` in all. Nothing is recorded: what a node
/// holds in memory afterwards is the node's.
pub(crate) async fn commit<P: Proposer + 'static>(proposers: Vec<P>, count: u64) -> Result<()> {
    let left = Arc::new(AtomicU64::new(count));
    let mut tasks = JoinSet::new();
    for mut proposer in proposers {
        let left = Arc::clone(&left);
        tasks.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                proposer.propose().await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a proposer panicked")??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counts(Arc<AtomicU64>);

    #[async_trait]
    impl Proposer for Counts {
        async fn propose(&mut self) -> Result<()> {
            tokio::task::yield_now().await;
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    struct Slow(Duration);

    #[async_trait]
    impl Proposer for Slow {
        async fn propose(&mut self) -> Result<()> {
            tokio::time::sleep(self.0).await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_was_begun_in_time_is_waited_for_and_counts() {
        let period = Period { warm: Duration::from_millis(10), counted: Duration::from_millis(20) };
        let began = Instant::now();
        let load = drive(vec![Slow(Duration::from_millis(25))], period).await.unwrap();
        assert!(load.elapsed >= period.counted && load.elapsed <= began.elapsed() - period.warm, "{load:?}");
        assert!(load.committed >= load.latencies.count(), "{load:?}");
    }

    #[tokio::test]
    async fn as_many_are_committed_as_were_asked_for() {
        let committed = Arc::new(AtomicU64::new(0));
        let proposers = (0..7).map(|_| Counts(Arc::clone(&committed))).collect();
        commit(proposers, 100).await.unwrap();
        assert_eq!(committed.load(Ordering::Relaxed), 100);
    }
}
