//! The published status of a node, and subscriptions to it.

use async_trait::async_trait;
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStatus, ControlPlaneWatch, WatchClosed};
use tokio::sync::watch;

/// Holds the newest status. Readers coalesce and never hold the writer up.
#[derive(Debug)]
pub(crate) struct Board {
    posted: watch::Sender<Posted>,
    /// Told after `posted` of what goes beyond the indexes.
    beyond: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Posted {
    status: ControlPlaneStatus,
    closed: bool,
}

impl Board {
    pub(crate) fn new(status: ControlPlaneStatus) -> Self {
        Self { posted: watch::Sender::new(Posted { status, closed: false }), beyond: watch::Sender::new(()) }
    }

    /// Publishes `status` if it says anything new.
    pub(crate) fn post(&self, status: ControlPlaneStatus) {
        let mut beyond = false;
        self.posted.send_if_modified(|posted| {
            beyond = !posted.status.equals_beyond_indexes(&status);
            let new = posted.status != status;
            posted.status = status;
            new
        });
        if beyond {
            self.beyond.send_replace(());
        }
    }

    pub(crate) fn close(&self) {
        self.posted.send_modify(|posted| posted.closed = true);
        self.beyond.send_replace(());
    }

    /// What is applied, and whether the node has stopped.
    pub(crate) fn reached(&self) -> (ControlPlaneLogIndex, bool) {
        let posted = self.posted.borrow();
        (posted.status.applied, posted.closed || posted.status.stopped.is_some())
    }

    pub(crate) fn watch(&self) -> StatusWatch {
        let posted = self.posted.subscribe();
        let seen = posted.borrow().status.clone();
        StatusWatch { posted, beyond: self.beyond.subscribe(), seen }
    }
}

/// A subscription to a [`Board`].
#[derive(Debug)]
pub(crate) struct StatusWatch {
    posted: watch::Receiver<Posted>,
    beyond: watch::Receiver<()>,
    seen: ControlPlaneStatus,
}

impl StatusWatch {
    /// Waits for a status for which `wanted` holds; errors once the node has shut down.
    pub(crate) async fn until(
        &mut self,
        mut wanted: impl FnMut(&ControlPlaneStatus) -> bool,
    ) -> Result<(), WatchClosed> {
        let posted = self.posted.wait_for(|posted| posted.closed || wanted(&posted.status)).await;
        match posted {
            Ok(posted) if wanted(&posted.status) => Ok(()),
            Ok(_) | Err(_) => Err(WatchClosed),
        }
    }
}

#[async_trait]
impl ControlPlaneWatch for StatusWatch {
    fn current(&mut self) -> ControlPlaneStatus {
        self.seen = self.posted.borrow_and_update().status.clone();
        self.seen.clone()
    }

    async fn changed(&mut self) -> Result<ControlPlaneStatus, WatchClosed> {
        loop {
            {
                let posted = self.posted.borrow_and_update();
                if posted.status != self.seen {
                    // Also the last one, which says why the node stopped.
                    self.seen = posted.status.clone();
                    return Ok(self.seen.clone());
                }
                if posted.closed {
                    return Err(WatchClosed);
                }
            }
            self.posted.changed().await.map_err(|_| WatchClosed)?;
        }
    }

    async fn changed_beyond_indexes(&mut self) -> Result<ControlPlaneStatus, WatchClosed> {
        loop {
            // First, so that what is told after the look at the status wakes.
            self.beyond.mark_unchanged();
            {
                let posted = self.posted.borrow_and_update();
                if !posted.status.equals_beyond_indexes(&self.seen) {
                    self.seen = posted.status.clone();
                    return Ok(self.seen.clone());
                }
                if posted.closed {
                    return Err(WatchClosed);
                }
            }
            self.beyond.changed().await.map_err(|_| WatchClosed)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{ControlPlaneRole, Term};
    use futures::FutureExt;

    fn status(stopped: Option<&str>) -> ControlPlaneStatus {
        ControlPlaneStatus {
            role: ControlPlaneRole::Follower,
            term: Term(1),
            leader: None,
            serving: false,
            committed: ControlPlaneLogIndex(1),
            applied: ControlPlaneLogIndex(1),
            settled: true,
            stopped: stopped.map(str::to_owned),
            diverged_at: None,
        }
    }

    /// No change is lost: a watcher that was slow learns why the node stopped, and only then that it is over.
    #[test]
    fn the_last_word_is_heard() {
        let board = Board::new(status(None));
        let mut watch = board.watch();
        assert_eq!(watch.changed().now_or_never(), None, "nothing new");
        board.post(status(Some("the disk failed")));
        board.close();
        assert_eq!(watch.changed().now_or_never(), Some(Ok(status(Some("the disk failed")))));
        assert_eq!(watch.changed().now_or_never(), Some(Err(WatchClosed)));
        assert_eq!(watch.current().stopped.as_deref(), Some("the disk failed"));
    }

    #[test]
    fn a_watch_sleeps_through_what_only_raises_the_indexes() {
        let board = Board::new(status(None));
        let mut watch = board.watch();
        let raised = ControlPlaneStatus { committed: ControlPlaneLogIndex(7), ..status(None) };
        let mut waiting = Box::pin(watch.changed_beyond_indexes());
        assert_eq!((&mut waiting).now_or_never(), None);
        board.post(raised.clone());
        assert_eq!((&mut waiting).now_or_never(), None, "an index has risen");
        let leads = ControlPlaneStatus { serving: true, ..raised };
        board.post(leads.clone());
        assert_eq!(waiting.now_or_never(), Some(Ok(leads.clone())));
        board.post(ControlPlaneStatus { committed: ControlPlaneLogIndex(8), ..leads });
        assert_eq!(watch.changed().now_or_never().map(|seen| seen.map(|seen| seen.committed.0)), Some(Ok(8)));
        let mut waiting = Box::pin(watch.changed_beyond_indexes());
        assert_eq!((&mut waiting).now_or_never(), None);
        board.close();
        assert_eq!(waiting.now_or_never(), Some(Err(WatchClosed)));
    }
}
