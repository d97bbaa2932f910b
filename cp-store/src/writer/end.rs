//! The end of the writer: closed, failed, or taken away.

use super::Core;
use crate::error::Failure;
use crate::fault::Fault;
use crate::shared::{Bulk, lock};
use crate::store::Ticket;
use std::sync::{Arc, PoisonError};

impl Core {
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        self.absorb()?;
        lock(&self.shared.inner).fuse = None;
        // Whoever begins a view has done so then, and nobody else holds it.
        *self.shared.base.write().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(base) = self.base.take().and_then(Arc::into_inner) {
            base.close()?;
        }
        self.closed = true;
        Ok(())
    }

    /// Ends unless there is work in hand, with which the end comes.
    pub(crate) fn end_if_idle(&mut self) {
        if self.job.is_none() {
            self.end();
        }
    }

    /// Fails what waits, in order, and publishes why. The directory is let go of once
    /// nothing is written to it any more, for which nobody has to wait but those who
    /// close a store that has not failed.
    pub(super) fn end(&mut self) {
        let failure = lock(&self.shared.inner).stopped.get_or_insert_with(Failure::closed).clone();
        let (batches, bulk) = self.shared.drain();
        for queued in batches {
            (queued.done)(Err(failure.clone()));
        }
        let closes = |bulk: &Bulk| failure.is_close() && matches!(bulk, Bulk::Close { .. });
        let (closing, bulk): (Vec<_>, Vec<_>) = bulk.into_iter().map(|(_, bulk)| bulk).partition(closes);
        bulk.into_iter().for_each(|bulk| bulk.fail(&failure));
        if !self.closed {
            self.shared.durable.send_modify(|durable| durable.failed = Some(reason(&failure)));
        }
        self.end_absorption();
        self.let_go();
        // Only now: if what is told above panics, the drop does the rest.
        self.done = true;
        closing.into_iter().for_each(|bulk| bulk.fail(&failure));
    }

    /// Nobody reads what another may write once the directory is let go of.
    fn let_go(&mut self) {
        *self.shared.base.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.base = None;
        self.drafts.clear();
        self.lock = None;
    }
}

impl Drop for Core {
    /// Whoever drove the writer is gone. If it had not ended, this is a crash:
    /// nothing more reaches the disk, and nobody is told that it did.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let failure = self.shared.fail(Ticket::orphaned());
        drop(self.job.take());
        drop(self.shared.drain());
        self.shared.durable.send_modify(|durable| durable.failed = Some(reason(&failure)));
        self.end_absorption();
        if std::thread::panicking() {
            // What panicked may have been redb, and closing it would panic again.
            std::mem::forget(self.base.take());
        } else {
            self.let_go();
        }
    }
}

/// The failure with its cause, for those who only get a text.
fn reason(failure: &Failure) -> String {
    match &failure.source {
        Some(source) => format!("{}: {source}", failure.what),
        None => failure.what.clone(),
    }
}
