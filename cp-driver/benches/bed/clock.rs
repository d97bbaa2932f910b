//! Time that no neighbour takes part in.

use std::time::Duration;

/// For how long this thread has had a core. The kernel brings it up to date when the thread gives way.
pub(crate) fn on_core() -> Duration {
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}
