//! When the next snapshot is due, so that not every commit wakes its builder.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// An applied index and a size of the log, either of which calls for a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Mark {
    due: Mutex<(u64, u64)>,
    reached: Notify,
}

impl Mark {
    fn due(&self) -> MutexGuard<'_, (u64, u64)> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on [`reached`](Self::reached) resolves once `passing` is told of as much. Look at
    /// where things stand after this: what was passed before is not told again.
    pub(crate) fn set(&self, index: u64, bytes: u64) {
        *self.due() = (index, bytes);
    }

    /// So much is applied now, and the log has grown so far.
    pub(crate) fn passing(&self, index: u64, bytes: u64) {
        let due = *self.due();
        if index >= due.0 || bytes >= due.1 {
            self.reached.notify_one();
        }
    }

    /// Waits until it is reached.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn it_tells_once_either_is_reached() {
        let mark = Mark::default();
        mark.set(10, 100);
        mark.passing(9, 99);
        assert_eq!(mark.reached().now_or_never(), None);
        mark.passing(10, 0);
        assert_eq!(mark.reached().now_or_never(), Some(()));
        mark.set(20, 100);
        mark.passing(11, 100);
        assert_eq!(mark.reached().now_or_never(), Some(()));
        assert_eq!(mark.reached().now_or_never(), None, "told once");
    }
}
