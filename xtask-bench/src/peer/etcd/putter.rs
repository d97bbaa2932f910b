//! Who writes to etcd.

use crate::dial::Turn;
use crate::load::Proposer;
use crate::peer::rpc::Caller;
use anyhow::{Context, Result};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// After so long a probe tries another node.
const ATTEMPT: Duration = Duration::from_millis(100);

/// Writes its own key again and again.
#[derive(Debug)]
pub(super) struct Putter {
    /// Its connections: one to the leader, or one to each node for a probe.
    pub(super) callers: Vec<Caller>,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Which of them a probe asks.
    pub(super) turn: usize,
}

#[async_trait]
impl Proposer for Putter {
    async fn propose(&mut self) -> Result<()> {
        let caller = self.callers.first().context("no connection")?;
        Ok(caller.put(self.key.clone(), self.value.clone()).await?)
    }
}

#[async_trait]
impl Turn for Putter {
    async fn turn(&mut self) -> bool {
        let Some(caller) = self.callers.get(self.turn % self.callers.len().max(1)) else { return false };
        let began = Instant::now();
        if let Ok(Ok(())) = timeout(ATTEMPT, caller.put(self.key.clone(), self.value.clone())).await {
            return true;
        }
        self.turn += 1;
        // What refuses at once is not pressed.
        if began.elapsed() < Duration::from_millis(1) {
            sleep(Duration::from_millis(1)).await;
        }
        false
    }
}
