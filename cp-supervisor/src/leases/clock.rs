//! The one clock of a process that leases are measured by.

use cp_lease::Monotonic;
use std::fmt::Debug;
use tokio::time::Instant;

/// Tells how much time has passed, never backwards, at a rate that is wrong by less than the
/// margin allows for.
///
/// It has to go on while the process stands still. [`ProcessClock`] does, and does not while the
/// whole machine sleeps: a machine that is suspended, or whose image is resumed elsewhere, wakes
/// up with leases that it believes in. Where that happens, give a clock that counts such time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time since an origin that only this process knows.
    fn now(&self) -> Monotonic;
}

/// The operating system's monotonic clock, by way of the runtime.
#[derive(Debug, Clone, Copy)]
pub struct ProcessClock {
    origin: Instant,
}

impl Default for ProcessClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Monotonic {
        Monotonic::default().saturating_add(self.origin.elapsed())
    }
}
