//! Who proposes to a cluster of ours through the client API.

use crate::dial::Turn;
use crate::load::Proposer;
use crate::transition::{self, Round};
use anyhow::{Result, ensure};
use async_trait::async_trait;
use cp_supervisor::client::Client;
use std::sync::Arc;

/// The ranges of the first `count` proposers as they stand.
pub(super) async fn rounds(client: &Client, count: u64) -> Result<Vec<Round>> {
    let collection = transition::collection()?;
    let ranges = client.ranges(Some(&collection)).await?.value;
    let rounds: Vec<_> = ranges.into_iter().map(|(key, range)| Round::of(key, range)).collect();
    let count = usize::try_from(count)?;
    ensure!(rounds.len() >= count, "there are {} ranges for {count} proposers", rounds.len());
    Ok(rounds.into_iter().take(count).collect())
}

/// Proposes again and again.
pub(super) struct Caller {
    pub(super) client: Arc<Client>,
    pub(super) round: Round,
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
