//! Those who wait for the outcome of a position, each woken when there may be one.
//!
//! Were they to watch the node's status, every commit would wake all of them, and with a
//! few hundred proposers most of the node's time would go into that.

use cp_seam::{ControlPlaneLogIndex, LogPosition, Term};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The waiting, in order of what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiters: BTreeMap<(ControlPlaneLogIndex, u64), oneshot::Sender<()>>,
    numbered: u64,
    /// Of what was last applied.
    term: Term,
}

/// A place among the waiting. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    key: (ControlPlaneLogIndex, u64),
    woken: oneshot::Receiver<()>,
}

impl Waiting {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for `position`. What is known is looked at after this, or a wake-up could be lost.
    pub(crate) fn enrol(&self, position: LogPosition) -> Place<'_> {
        let (waker, woken) = oneshot::channel();
        let mut inner = self.inner();
        inner.numbered += 1;
        let key = (position.index, inner.numbered);
        inner.waiters.insert(key, waker);
        Place { waiting: self, key, woken }
    }

    /// Wakes those for whom something may be known: of positions up to what is applied; and all,
    /// if what is applied is of a later term than before, which rules out positions above it, or
    /// if the node has stopped.
    pub(crate) fn wake(&self, applied: ControlPlaneLogIndex, term: Option<Term>, stopped: bool) {
        let mut inner = self.inner();
        let later = term.is_some_and(|term| term > inner.term);
        inner.term = inner.term.max(term.unwrap_or_default());
        let rest = if later || stopped { BTreeMap::new() } else { inner.waiters.split_off(&(applied.next(), 0)) };
        let due = std::mem::replace(&mut inner.waiters, rest);
        drop(inner);
        for waker in due.into_values() {
            if waker.send(()).is_err() {
                tracing::trace!("who waited has given up");
            }
        }
    }
}

impl Place<'_> {
    /// Waits until it is woken.
    pub(crate) async fn woken(&mut self) {
        // A waker is dropped only by those who give the place up.
        let woken = (&mut self.woken).await;
        debug_assert!(woken.is_ok(), "a place is given up by its holder alone");
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.inner().waiters.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition::new(Term(term), ControlPlaneLogIndex(index))
    }

    fn is_woken(place: &mut Place<'_>) -> bool {
        place.woken().now_or_never().is_some()
    }

    #[test]
    fn only_those_are_woken_for_whom_something_may_be_known() {
        let waiting = Waiting::default();
        waiting.wake(ControlPlaneLogIndex(4), Some(Term(2)), false);
        let (mut five, mut also, mut six) = (waiting.enrol(at(2, 5)), waiting.enrol(at(2, 5)), waiting.enrol(at(2, 6)));
        waiting.wake(ControlPlaneLogIndex(4), Some(Term(2)), false);
        assert!(!is_woken(&mut five));
        waiting.wake(ControlPlaneLogIndex(5), Some(Term(2)), false);
        assert!(is_woken(&mut five) && is_woken(&mut also) && !is_woken(&mut six));
        waiting.wake(ControlPlaneLogIndex(5), Some(Term(3)), false);
        assert!(is_woken(&mut six), "a later term rules it out");
        let mut seven = waiting.enrol(at(3, 7));
        waiting.wake(ControlPlaneLogIndex(5), None, true);
        assert!(is_woken(&mut seven), "nothing more comes");
    }

    #[test]
    fn a_place_given_up_leaves_nothing() {
        let waiting = Waiting::default();
        drop(waiting.enrol(at(1, 1)));
        assert!(waiting.inner().waiters.is_empty());
    }
}
