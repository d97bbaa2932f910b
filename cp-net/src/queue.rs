//! The frames that wait for one peer on one lane.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    /// How old a frame may be that was queued while there was no connection:
    /// an election must not be disturbed by what was said before it.
    pub(crate) age: Duration,
}

/// Bounded, first in first out. One connection at a time takes from it.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    waiting: Mutex<Waiting>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// The connection that may take; 0 while there is none.
    taker: u64,
    takers: u64,
}

/// The right of one connection to take from a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taker(u64);

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, waiting: Mutex::default(), ready: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame, or says that there is no room.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), Full> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        if waiting.taker == 0 {
            waiting.drop_older(now, self.limits.age);
        }
        if waiting.frames.len() >= self.limits.frames || waiting.bytes + frame.len() > self.limits.bytes {
            return Err(Full);
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back((now, frame));
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// A new connection takes from now on, and what waited too long is dropped.
    pub(crate) fn open(&self) -> Taker {
        let mut waiting = self.waiting();
        waiting.drop_older(Instant::now(), self.limits.age);
        waiting.takers += 1;
        waiting.taker = waiting.takers;
        Taker(waiting.taker)
    }

    /// The connection is gone.
    pub(crate) fn close(&self, taker: Taker) {
        let mut waiting = self.waiting();
        if waiting.taker == taker.0 {
            waiting.taker = 0;
        }
        drop(waiting);
        self.ready.notify_one();
    }

    /// Waits for the next frame; none once another connection takes. Dropping
    /// the future loses nothing.
    pub(crate) async fn pop(&self, taker: Taker) -> Option<Bytes> {
        loop {
            {
                let mut waiting = self.waiting();
                if waiting.taker != taker.0 {
                    // The wake-up was the other's.
                    self.ready.notify_one();
                    return None;
                }
                if let Some((_, frame)) = waiting.frames.pop_front() {
                    waiting.bytes -= frame.len();
                    return Some(frame);
                }
            }
            self.ready.notified().await;
        }
    }
}

impl Waiting {
    fn drop_older(&mut self, now: Instant, age: Duration) {
        while self.frames.front().is_some_and(|(queued, _)| now.duration_since(*queued) > age) {
            if let Some((_, frame)) = self.frames.pop_front() {
                self.bytes -= frame.len();
            }
        }
    }
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { frames: 3, bytes: 10, age: Duration::from_millis(100) };

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_in_frames_and_bytes_and_keeps_order() {
        let queue = Queue::new(LIMITS);
        let taker = queue.open();
        for text in ["a", "b", "c"] {
            queue.push(frame(text)).unwrap();
        }
        assert_eq!(queue.push(frame("d")), Err(Full));
        assert_eq!(queue.pop(taker).await, Some(frame("a")));
        assert_eq!(queue.push(frame("123456789")), Err(Full));
        queue.push(frame("12345678")).unwrap();
        for text in ["b", "c", "12345678"] {
            assert_eq!(queue.pop(taker).await, Some(frame(text)));
        }
        queue.push(frame("1234567890")).unwrap();
        assert_eq!(queue.pop(taker).await, Some(frame("1234567890")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_for_a_connection_too_long_is_dropped() {
        let queue = Queue::new(LIMITS);
        queue.push(frame("old")).unwrap();
        tokio::time::advance(Duration::from_millis(60)).await;
        queue.push(frame("young")).unwrap();
        tokio::time::advance(Duration::from_millis(60)).await;
        let taker = queue.open();
        assert_eq!(queue.pop(taker).await, Some(frame("young")));
        // With a connection that is merely slow nothing is dropped.
        queue.push(frame("slow")).unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        queue.push(frame("new")).unwrap();
        assert_eq!(queue.pop(taker).await, Some(frame("slow")));
        // Without one, old frames make room.
        queue.close(taker);
        queue.push(frame("x")).unwrap();
        queue.push(frame("y")).unwrap();
        assert_eq!(queue.push(frame("z")), Err(Full));
        tokio::time::advance(Duration::from_secs(1)).await;
        queue.push(frame("z")).unwrap();
        assert_eq!(queue.pop(queue.open()).await, Some(frame("z")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_connection_takes_nothing_and_no_wake_up() {
        let queue = std::sync::Arc::new(Queue::new(LIMITS));
        let old = queue.open();
        let shared = queue.clone();
        let stale = tokio::spawn(async move { shared.pop(old).await });
        tokio::task::yield_now().await;
        let new = queue.open();
        let shared = queue.clone();
        let fresh = tokio::spawn(async move { shared.pop(new).await });
        tokio::task::yield_now().await;
        queue.push(frame("a")).unwrap();
        assert_eq!(fresh.await.unwrap(), Some(frame("a")));
        assert_eq!(stale.await.unwrap(), None);
        // Closing what is no longer open changes nothing.
        queue.close(old);
        queue.push(frame("b")).unwrap();
        assert_eq!(queue.pop(new).await, Some(frame("b")));
    }
}
