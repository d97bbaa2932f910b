//! What the suite needs of an engine: how to start it, and how to read its frames.

use async_trait::async_trait;
use bytes::Bytes;
pub use cp_driver::Observed;
use cp_driver::{Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation};
use std::fmt::Debug;
use std::sync::Arc;

/// An engine under test.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// Its name, as in `--engine`.
    fn name(&self) -> &'static str;

    /// The package whose tests put it to the suite; a violation's command names it.
    fn package(&self) -> String {
        format!("cp-{}", self.name())
    }

    /// Starts a node: the same call that the daemon makes.
    async fn start(&self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError>;

    /// What one of the engine's own messages, as it leaves `from` for `to`, lets
    /// others rely on. The checkers judge nothing that is not explained here, and
    /// every run demands that grants, leadership and acknowledgements were seen.
    fn explain(&self, from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed>;
}

/// The kinds of [`Observed`], for aiming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// See [`Observed::Grant`].
    Grant,
    /// See [`Observed::Candidacy`].
    Candidacy,
    /// See [`Observed::Leads`].
    Leads,
    /// See [`Observed::AppendAck`] and [`Observed::Done`].
    AppendAck,
}

impl Sign {
    /// The kind of `observed`; a leader's request is part of what a leader says.
    pub fn of(observed: &Observed) -> Option<Self> {
        match observed {
            Observed::Grant { .. } => Some(Self::Grant),
            Observed::Candidacy { .. } => Some(Self::Candidacy),
            Observed::Leads { .. } => Some(Self::Leads),
            Observed::AppendAck { .. } | Observed::Done { .. } => Some(Self::AppendAck),
            _ => None,
        }
    }
}
