//! What each node did, in virtual time: readable, and hashed.

use crate::sync::locked;
use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// The lines kept for a reader; the hash covers all.
const KEPT_LINES: usize = 20_000;

/// A run's account of itself. Clones share it. Two runs of one seed give the
/// same hash, or something draws chance, time or order from outside.
#[derive(Debug, Clone)]
pub struct Trace {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    hasher: blake3::Hasher,
    lines: VecDeque<String>,
    count: u64,
}

impl Trace {
    /// An empty trace that begins now. Needs a runtime, whose clock it reads.
    pub fn new() -> Self {
        let inner = Inner { hasher: blake3::Hasher::new(), lines: VecDeque::new(), count: 0 };
        Self { began: Instant::now(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Notes `event` of `who`.
    pub fn note(&self, who: &dyn Display, event: &dyn Display) {
        self.record(who, event, true);
    }

    /// Notes what a reader has seen often enough: it is hashed and not kept.
    pub fn note_again(&self, slot: usize, event: &dyn Display) {
        self.record(&format!("n{slot}"), event, false);
    }

    fn record(&self, who: &dyn Display, event: &dyn Display, keep: bool) {
        let ms = self.elapsed_ms();
        let mut line = String::new();
        // Writing to a string does not fail.
        if write!(line, "{:>6}.{:03} {who:<4} {event}", ms / 1000, ms % 1000).is_err() {
            return;
        }
        let mut inner = locked(&self.inner);
        inner.hasher.update(line.as_bytes());
        inner.hasher.update(b"\n");
        inner.count += 1;
        if !keep {
            return;
        }
        if inner.lines.len() == KEPT_LINES {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// Notes a line that is made only now, by `who`.
    pub fn node(&self, slot: usize, event: impl Display) {
        self.note(&format!("n{slot}"), &event);
    }

    /// Virtual time since the run began.
    pub fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    /// Virtual milliseconds since the run began.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The hash of every line so far.
    pub fn hash(&self) -> [u8; 32] {
        *locked(&self.inner).hasher.finalize().as_bytes()
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        locked(&self.inner).count
    }

    /// The last `lines` lines.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let inner = locked(&self.inner);
        inner.lines.iter().skip(inner.lines.len().saturating_sub(lines)).cloned().collect()
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_hash_covers_time_who_and_what() {
        let (one, two) = (Trace::new(), Trace::new());
        one.node(1, "votes");
        two.node(1, "votes");
        assert_eq!(one.hash(), two.hash());
        two.node(2, "votes");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        one.node(2, "votes");
        assert_ne!(one.hash(), two.hash());
        assert_eq!(one.tail(1), ["     0.001 n2   votes"]);
    }
}
