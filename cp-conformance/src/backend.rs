//! What the suite needs of an engine: how to start it, and how to read its frames.

// What `backend!` and whoever implements the trait by hand need.
pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use cp_driver::{Observed, Parts, StartError};
pub use cp_seam::{ControlPlaneConsensus, Incarnation};
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

    /// No node of this thread's run is up, for the `times`th time; a run begins with 0.
    /// What is started from here on may be another engine, as long as all of it is the
    /// same one (CP-E1).
    fn all_are_down(&self, _times: u64) {}
}

/// Makes a [`Backend`] of an adapter crate that offers `ENGINE`, `start` and
/// `explain` at its root, as both of ours do.
///
/// ```ignore
/// cp_conformance::backend!(Raftrs = cp_raftrs);
/// cp_conformance::suite!(Raftrs);
/// ```
#[macro_export]
macro_rules! backend {
    ($visibility:vis $name:ident = $adapter:ident) => {
        #[doc = concat!("The engine of `", stringify!($adapter), "`, under test.")]
        #[derive(Debug)]
        $visibility struct $name;

        #[$crate::backend::async_trait]
        impl $crate::Backend for $name {
            fn name(&self) -> &'static str {
                $adapter::ENGINE
            }

            async fn start(
                &self,
                parts: $crate::backend::Parts,
            ) -> Result<std::sync::Arc<dyn $crate::backend::ControlPlaneConsensus>, $crate::backend::StartError> {
                $adapter::start(parts).await
            }

            fn explain(
                &self,
                from: $crate::backend::Incarnation,
                to: $crate::backend::Incarnation,
                message: &$crate::backend::Bytes,
            ) -> Vec<$crate::Observed> {
                $adapter::explain(from, to, message)
            }
        }
    };
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
