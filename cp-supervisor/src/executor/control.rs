//! The control plane as a run needs it, from afar or at the leader.

use super::data::Fault;
use crate::client::Client;
use crate::session::{NoRandomness, Session};
use crate::supervisor::{Reading, Supervisor};
use async_trait::async_trait;
use cp_catalog::{Command, Range, RangeKey, Request, Verdict};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Reads and proposals. Reads reflect everything that was acknowledged before (CP-P4).
#[async_trait]
pub trait ControlPlane: fmt::Debug + Send + Sync {
    /// The whole state.
    async fn state(&self) -> Result<Reading, Fault>;

    /// One range; `None` if it does not exist.
    async fn range(&self, key: &RangeKey) -> Result<Option<Range>, Fault>;

    /// Proposes `command`, and waits for its verdict. After an error it may or may not take
    /// effect, once (CP-P5); dropping the future means the same.
    async fn submit(&self, command: Command) -> Result<Verdict, Fault>;
}

/// By the API of the daemons. The client must not be one that takes stale answers.
#[async_trait]
impl ControlPlane for Client {
    async fn state(&self) -> Result<Reading, Fault> {
        let answer = self.catalog().await?;
        if answer.stale {
            return Err("the client takes stale answers; use one that does not".into());
        }
        Ok(Reading { catalog: answer.value, applied: answer.applied, stale: false })
    }

    async fn range(&self, key: &RangeKey) -> Result<Option<Range>, Fault> {
        Ok(Client::range(self, key).await?.value)
    }

    async fn submit(&self, command: Command) -> Result<Verdict, Fault> {
        Ok(Client::submit(self, command).await?.verdict)
    }
}

/// At the node that leads, without a network.
#[derive(Debug)]
pub struct Local {
    supervisor: Arc<Supervisor>,
    session: Session,
    wait: Duration,
}

impl Local {
    /// By `supervisor`, giving each proposal up to `wait` for its verdict.
    pub fn new(supervisor: Arc<Supervisor>, wait: Duration) -> Result<Self, NoRandomness> {
        let session = supervisor.session()?;
        Ok(Self { supervisor, session, wait })
    }
}

#[async_trait]
impl ControlPlane for Local {
    async fn state(&self) -> Result<Reading, Fault> {
        Ok(self.supervisor.read().await?)
    }

    async fn range(&self, key: &RangeKey) -> Result<Option<Range>, Fault> {
        self.supervisor.consensus().read_barrier().await?;
        Ok(self.supervisor.machine().read(|catalog| catalog.range(key).cloned()))
    }

    async fn submit(&self, command: Command) -> Result<Verdict, Fault> {
        let request = Request::new(Some(self.session.next_id()), command);
        Ok(self.supervisor.submit(request, self.wait).await?.verdict)
    }
}
