//! Clients that keep asking while a cluster is disturbed, and when they were served.

use anyhow::{Result, bail};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// A process takes a moment to die, and what it sent is read after that: for so long it may still
/// have served. No other leads so soon.
const IN_FLIGHT: Duration = Duration::from_millis(50);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(1);

/// A client that asks once, and says whether it was served.
#[async_trait]
pub(crate) trait Turn: Send {
    async fn turn(&mut self) -> bool;
}

/// When any of the clients was served; they end with it.
#[derive(Debug)]
pub(crate) struct Gaps {
    served: Arc<Mutex<Vec<Instant>>>,
    _tasks: JoinSet<()>,
}

impl Gaps {
    pub(crate) fn begin<T: Turn + 'static>(turns: Vec<T>) -> Self {
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for mut turn in turns {
            let served = Arc::clone(&served);
            tasks.spawn(async move {
                loop {
                    if turn.turn().await {
                        served.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                    }
                }
            });
        }
        Self { served, _tasks: tasks }
    }

    fn served(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the clients are served at a pace, so that a gap is one.
    pub(crate) async fn steady(&self, within: Duration) -> Result<()> {
        let began = Instant::now();
        while self.served().len() < 50 {
            if began.elapsed() > within {
                bail!("clients were served {} times within {within:?}", self.served().len());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Now, as the start of what is measured.
    pub(crate) fn mark(&self) -> Instant {
        Instant::now()
    }

    /// How long after `from` the first of them was served.
    pub(crate) async fn served_after(&self, from: Instant, within: Duration) -> Result<Duration> {
        loop {
            let found = self.served().iter().find(|at| **at > from + IN_FLIGHT).copied();
            if let Some(at) = found {
                return Ok(at - from);
            }
            if from.elapsed() > within {
                bail!("no client was served within {within:?}");
            }
            sleep(LOOK).await;
        }
    }

    /// The longest time after `from` in which nobody was served.
    pub(crate) fn longest_after(&self, from: Instant) -> Duration {
        let mut served = self.served().clone();
        served.sort_unstable();
        let gaps = served.iter().zip(served.iter().skip(1)).filter(|(_, end)| **end > from);
        gaps.map(|(start, end)| *end - *start).max().unwrap_or_default()
    }
}
