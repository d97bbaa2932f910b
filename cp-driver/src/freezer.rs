//! All tasks of a node can be frozen together, as the kernel's freezer does it to a
//! process: none runs until the thaw, and then every timer that expired meanwhile is
//! found expired, late.
//!
//! The simulator injects one, as it injects the clock, the network and the disk (ADR 8).
//! A process has none: its tasks are spawned as they are.

use futures::future::Either;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

tokio::task_local! {
    static FREEZER: Freezer;
}

/// Holds the tasks of one node. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Freezer(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    waiting: Vec<Waker>,
}

impl Freezer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops every task where it is.
    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    /// Lets all go on, in the order in which they came to be held.
    pub fn thaw(&self) {
        let waiting = {
            let mut state = self.state();
            state.frozen = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the tasks are held.
    pub fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    /// Runs `future` as one of the node's: it is held too, and so is what it spawns.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        FREEZER.scope(self.clone(), self.holding(future)).await
    }

    /// Calls `work`; what it spawns is the node's.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        FREEZER.sync_scope(self.clone(), work)
    }

    async fn holding<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| if self.holds(context) { Poll::Pending } else { future.as_mut().poll(context) }).await
    }

    fn holds(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        if state.frozen {
            state.waiting.push(context.waker().clone());
        }
        state.frozen
    }
}

/// `task` as a task of the node that spawns it: held by that node's [`Freezer`], if it
/// has one. Whatever spawns a task of a node spawns it in this.
pub fn of_node<F: Future>(task: F) -> impl Future<Output = F::Output> {
    match FREEZER.try_with(Freezer::clone) {
        Ok(freezer) => Either::Left(async move { freezer.run(task).await }),
        Err(_) => Either::Right(task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn what_is_frozen_runs_late_with_all_that_it_spawned() {
        let freezer = Freezer::default();
        let began = Instant::now();
        let nap = async move {
            sleep(Duration::from_millis(10)).await;
            began.elapsed()
        };
        let outer = tokio::spawn(nap);
        let inner = async move {
            let nap = async move {
                sleep(Duration::from_millis(10)).await;
                began.elapsed()
            };
            tokio::spawn(of_node(nap)).await
        };
        let inner = freezer.enter(|| tokio::spawn(of_node(inner)));
        sleep(Duration::from_millis(5)).await;
        freezer.freeze();
        sleep(Duration::from_millis(100)).await;
        assert!(freezer.is_frozen() && !inner.is_finished());
        assert_eq!(outer.await.unwrap(), Duration::from_millis(10), "others go on");
        freezer.thaw();
        assert_eq!(inner.await.unwrap().unwrap(), Duration::from_millis(105));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_the_thaw_and_its_caller_need_not() {
        let freezer = Freezer::default();
        freezer.freeze();
        assert!(timeout(Duration::from_secs(1), freezer.run(async {})).await.is_err());
        freezer.thaw();
        freezer.run(async {}).await;
    }
}
