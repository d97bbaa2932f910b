//! One read barrier for all who wait for one.

use super::clock::Clock;
use cp_lease::Monotonic;
use cp_seam::{ControlPlaneConsensus, ReadError, Term};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// That this node led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Led {
    /// In which term.
    pub(super) term: Term,
    /// When at the latest: before the barrier began that a quorum answered.
    pub(super) at: Monotonic,
}

type Answer = Shared<BoxFuture<'static, Result<Led, ReadError>>>;

/// Barriers, one at a time. Who comes while one is under way waits for the next.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    newest: Mutex<Option<Round>>,
    begun: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
struct Round {
    begun: Arc<AtomicBool>,
    answer: Answer,
}

impl Rounds {
    /// How many barriers have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Confirms by a barrier that begins after this call that the node leads. Whoever waits
    /// drives it, so a caller that gives up takes nothing from the others.
    pub(super) async fn confirm(
        &self,
        consensus: &Arc<dyn ControlPlaneConsensus>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Led, ReadError> {
        let round = {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            match newest.take() {
                Some(round) if !round.begun.load(Ordering::Acquire) => newest.insert(round).clone(),
                before => {
                    let count = Arc::clone(&self.begun);
                    newest.insert(Round::after(before, Arc::clone(consensus), Arc::clone(clock), count)).clone()
                }
            }
        };
        round.answer.await
    }
}

impl Round {
    fn after(
        before: Option<Self>,
        consensus: Arc<dyn ControlPlaneConsensus>,
        clock: Arc<dyn Clock>,
        count: Arc<AtomicU64>,
    ) -> Self {
        let begun = Arc::new(AtomicBool::new(false));
        let beginning = Arc::clone(&begun);
        let barrier = async move {
            if let Some(before) = before {
                // Its answer is for those who asked for it.
                drop(before.answer.await);
            }
            beginning.store(true, Ordering::Release);
            count.fetch_add(1, Ordering::Relaxed);
            let at = clock.now();
            let read = consensus.read_barrier().await?;
            Ok(Led { term: read.term, at })
        };
        Self { begun, answer: barrier.boxed().shared() }
    }
}
