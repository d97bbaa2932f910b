//! One life of a node: from a start to the crash, kill or stop that ends it.

use cp_driver::Freezer;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tokio::sync::Notify;

/// Shared by everything that a running node was given. Once it has ended, its
/// disk handles fail, its frames go nowhere and what its tasks still do is not
/// observed: a zombie can harm nothing.
#[derive(Debug)]
pub struct Life {
    slot: usize,
    number: u64,
    ended: AtomicBool,
    may_stop: AtomicBool,
    drift: AtomicU8,
    end: Notify,
    freezer: Freezer,
}

impl Life {
    /// The life `number` of the node in `slot`.
    pub fn new(slot: usize, number: u64) -> Self {
        let (ended, may_stop) = (AtomicBool::new(false), AtomicBool::new(false));
        let drift = AtomicU8::new(0);
        Self { slot, number, ended, may_stop, drift, end: Notify::new(), freezer: Freezer::default() }
    }

    /// Whose it is.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Which it is; the first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it still goes on.
    pub fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    /// Ends it, here and now.
    pub fn finish(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.end.notify_waiters();
        // A zombie runs on, into its dead disk and network, and ends there.
        self.freezer.thaw();
    }

    /// Holds the node's tasks while it is paused.
    pub fn freezer(&self) -> &Freezer {
        &self.freezer
    }

    /// Whether it goes on and is not paused.
    pub fn responds(&self) -> bool {
        self.goes_on() && !self.freezer.is_frozen()
    }

    /// The scenario expects the node to stop by itself, or has asked it to.
    pub fn expect_stop(&self) {
        self.may_stop.store(true, Ordering::SeqCst);
    }

    /// Whether it was expected to stop.
    pub fn may_stop(&self) -> bool {
        self.may_stop.load(Ordering::SeqCst)
    }

    /// From now on these bits of its state in memory are flipped, by a cosmic ray or by an
    /// apply that depends on who applies: its digest is another's. A later life has it right.
    pub fn drifts(&self, bits: u8) {
        self.drift.store(bits, Ordering::SeqCst);
    }

    /// The bits that are flipped.
    pub fn drift(&self) -> u8 {
        self.drift.load(Ordering::SeqCst)
    }

    /// Resolves when it has ended.
    pub async fn finished(&self) {
        let end = self.end.notified();
        let mut end = std::pin::pin!(end);
        end.as_mut().enable();
        if self.goes_on() {
            end.await;
        }
    }
}
