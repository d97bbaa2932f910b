//! Conveniences for callers, built on the narrow trait alone.

use crate::consensus::{ControlPlaneConsensus, Outcome, ProposeError};
use crate::entry::ControlPlaneEntry;
use crate::id::LogPosition;
use async_trait::async_trait;
use std::time::Duration;

/// What most callers want of a [`ControlPlaneConsensus`]; engines implement
/// nothing of it.
#[async_trait]
pub trait ControlPlaneConsensusExt: ControlPlaneConsensus {
    /// Proposes `entry` and waits up to `wait` for it to be committed and applied.
    ///
    /// Guarantees, errors and the effect of dropping the future are those of
    /// [`propose`](ControlPlaneConsensus::propose) followed by
    /// [`outcome`](ControlPlaneConsensus::outcome): `Ok` is committed, and
    /// [`SettleError::Superseded`] is a safe retry, since the entry took no effect.
    async fn propose_committed(&self, entry: ControlPlaneEntry, wait: Duration) -> Result<LogPosition, SettleError> {
        let position = self.propose(entry).await?;
        match self.outcome(position, wait).await {
            Outcome::Committed => Ok(position),
            Outcome::Superseded => Err(SettleError::Superseded { position }),
            Outcome::Unknown => Err(SettleError::Unknown { position }),
        }
    }
}

impl<C: ControlPlaneConsensus + ?Sized> ControlPlaneConsensusExt for C {}

/// A proposal that was not seen committed.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It got no position.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// Another entry took its slot: it took no effect and never will.
    #[error("another leader's entry took position {position}; propose again")]
    Superseded {
        /// Where it had been put.
        position: LogPosition,
    },
    /// Not known within the wait. Ask for its outcome again.
    #[error("the outcome of position {position} is not known yet; ask for it again")]
    Unknown {
        /// Where it was put.
        position: LogPosition,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::*;
    use crate::{ControlPlaneLogIndex, ControlPlanePayload, MemberId, Term};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const POSITION: LogPosition = LogPosition::new(Term(3), ControlPlaneLogIndex(8));

    /// Proposes at [`POSITION`], or not at all, and then knows this outcome.
    #[derive(Debug)]
    struct Canned(Option<Outcome>);

    #[async_trait]
    impl ControlPlaneConsensus for Canned {
        fn role(&self) -> ControlPlaneRole {
            ControlPlaneRole::Leader
        }
        fn term(&self) -> Term {
            POSITION.term
        }
        fn leader(&self) -> Option<MemberId> {
            None
        }
        fn is_leader(&self) -> bool {
            true
        }
        fn committed_index(&self) -> ControlPlaneLogIndex {
            POSITION.index
        }
        async fn propose(&self, _: ControlPlaneEntry) -> Result<LogPosition, ProposeError> {
            self.0.map(|_| POSITION).ok_or_else(|| ProposeRefusal::NoQuorum.into())
        }
        async fn outcome(&self, position: LogPosition, _: Duration) -> Outcome {
            assert_eq!(position, POSITION);
            self.0.unwrap()
        }
        async fn read_barrier(&self) -> Result<crate::ReadPoint, ReadError> {
            unreachable!("not asked here")
        }
        fn progress(&self) -> Vec<MemberProgress> {
            Vec::new()
        }
        fn watch(&self) -> Box<dyn ControlPlaneWatch> {
            unreachable!("not asked here")
        }
        async fn transfer_leadership(&self, _: &MemberId) -> Result<(), TransferError> {
            unreachable!("not asked here")
        }
        async fn shutdown(&self) -> Result<(), ShutdownError> {
            Ok(())
        }
    }

    fn settle(outcome: Option<Outcome>) -> Result<LogPosition, SettleError> {
        let entry = ControlPlaneEntry::MembershipChange(ControlPlanePayload::new(vec![1]).unwrap());
        let engine = Canned(outcome);
        let Poll::Ready(settled) =
            pin!(engine.propose_committed(entry, Duration::ZERO)).poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("nothing here waits")
        };
        settled
    }

    #[test]
    fn only_what_is_committed_is_reported_so() {
        assert!(matches!(settle(Some(Outcome::Committed)), Ok(POSITION)));
        assert!(matches!(settle(Some(Outcome::Superseded)), Err(SettleError::Superseded { position: POSITION })));
        assert!(matches!(settle(Some(Outcome::Unknown)), Err(SettleError::Unknown { position: POSITION })));
        let refused = settle(None);
        assert!(matches!(refused, Err(SettleError::Propose(ProposeError::Refused(ProposeRefusal::NoQuorum)))));
    }
}
