//! The published status of a node, and subscriptions to it.

use async_trait::async_trait;
use cp_seam::{ControlPlaneStatus, ControlPlaneWatch, WatchClosed};
use tokio::sync::watch;

/// Holds the newest status. Readers coalesce and never hold the writer up.
#[derive(Debug)]
pub(crate) struct Board {
    posted: watch::Sender<Posted>,
}

#[derive(Debug, Clone)]
struct Posted {
    status: ControlPlaneStatus,
    closed: bool,
}

impl Board {
    pub(crate) fn new(status: ControlPlaneStatus) -> Self {
        Self { posted: watch::Sender::new(Posted { status, closed: false }) }
    }

    /// Publishes `status` if it says anything new.
    pub(crate) fn post(&self, status: ControlPlaneStatus) {
        self.posted.send_if_modified(|posted| {
            let new = posted.status != status;
            posted.status = status;
            new
        });
    }

    pub(crate) fn close(&self) {
        self.posted.send_modify(|posted| posted.closed = true);
    }

    pub(crate) fn watch(&self) -> StatusWatch {
        StatusWatch { posted: self.posted.subscribe() }
    }
}

/// A subscription to a [`Board`].
#[derive(Debug)]
pub(crate) struct StatusWatch {
    posted: watch::Receiver<Posted>,
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
        self.posted.borrow_and_update().status.clone()
    }

    async fn changed(&mut self) -> Result<ControlPlaneStatus, WatchClosed> {
        if self.posted.borrow().closed && !self.posted.has_changed().unwrap_or(false) {
            return Err(WatchClosed);
        }
        self.posted.changed().await.map_err(|_| WatchClosed)?;
        let posted = self.posted.borrow_and_update();
        if posted.closed { Err(WatchClosed) } else { Ok(posted.status.clone()) }
    }
}
