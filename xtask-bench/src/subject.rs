//! What is measured: a cluster of three that commits.

use crate::elections::{During, Watch};
use crate::load::{Load, Period};
use anyhow::{Context, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a request gets to a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// From within the leader's process.
    Embedded,
    /// Through the client API: gRPC with mutual TLS.
    Client,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Client => "client API",
        })
    }
}

/// For how long nobody was served while a member came and went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paused {
    /// From its admission until it had its vote.
    pub(crate) admitting: Duration,
    /// From the request to remove it until it was gone.
    pub(crate) removing: Duration,
}

/// A running cluster of three.
#[async_trait]
pub(crate) trait Subject: Send {
    /// Its name in the report.
    fn name(&self) -> &str;

    /// Which release it is of.
    fn version(&self) -> &str;

    /// How requests can get to its leader.
    fn ways(&self) -> &[Way];

    /// Puts load on it. `connections` counts for [`Way::Client`] only.
    async fn load(&mut self, way: Way, proposers: u64, connections: usize, period: Period) -> Result<Load>;

    /// Its term, which rises with every election.
    async fn term(&mut self) -> Result<u64>;

    /// What its term is expected to be.
    fn watch(&mut self) -> &mut Watch;

    /// Counts, and answers, how many elections came by themselves since the last look.
    async fn look(&mut self, during: During) -> Result<u64> {
        let term = self.term().await.with_context(|| self.name().to_owned())?;
        Ok(self.watch().look(term, during))
    }

    /// Keeps its files after its end, and says where.
    fn keep_files(&mut self) -> PathBuf;

    /// Kills its leader with SIGKILL under probing clients, and says how long after that the
    /// first of them was served again. Elections until then were asked for.
    async fn fail_over(&mut self) -> Result<Duration>;

    /// Starts what was killed, and waits until all three have the same.
    async fn mend(&mut self) -> Result<()>;

    /// Hands leadership over under steady load by this many proposers, and says for how long
    /// none of them was served.
    async fn transfer(&mut self, proposers: u64) -> Result<Duration>;

    /// Admits a fourth member under steady load by this many proposers, and removes it once it has
    /// its vote.
    async fn change_membership(&mut self, proposers: u64) -> Result<Paused>;
}
