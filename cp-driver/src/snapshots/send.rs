//! The sending half: a snapshot is offered, and its chunks go out as they are
//! pulled, so the sender holds one chunk at a time and keeps no schedule.

use super::Outgoing;
use crate::host::Host;
use crate::wire::{Body, Chunk, Offer, Pull};
use bytes::Bytes;
use cp_seam::{Incarnation, Lane};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// A snapshot did not reach the peer; the engine may try again later.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot did not reach member {to}: {reason}")]
pub struct SnapshotNotSent {
    /// The peer.
    pub to: Incarnation,
    /// Why.
    pub reason: String,
}

/// How many election timeouts may pass without a pull before a transfer is given up.
const PATIENCE: u32 = 20;

impl Host {
    /// Streams the store's current snapshot to `to`, with the engine's own `header`;
    /// resolves when the peer's engine has installed it. At most one at a time per peer:
    /// a later call replaces an earlier one. Dropping the future gives the transfer up.
    pub async fn send_snapshot(&self, to: Incarnation, header: Bytes) -> Result<(), SnapshotNotSent> {
        let not_sent = |reason: String| SnapshotNotSent { to, reason };
        let body = self.store().open_snapshot().map_err(|failure| not_sent(crate::chain(&failure)))?;
        let body = Arc::new(body);
        let (done, mut ended) = oneshot::channel();
        let (pulls, mut pulled) = watch::channel(0);
        let offer = {
            let mut books = self.transfers.books();
            books.last_id += 1;
            let id = books.last_id;
            let (meta, chunk_count) = (Some(body.meta().into()), body.chunk_count());
            let hash = Bytes::copy_from_slice(&body.hash());
            books.outgoing.insert(to, Outgoing { id, body, pulls, ended: Some(done) });
            Offer { transfer: id, meta, chunk_count, header, hash }
        };
        let _given_up = Abandon { host: self, to, id: offer.transfer };
        let mut silent = 0;
        let mut quiet = true;
        loop {
            if quiet {
                // Nothing was pulled: the offer may be lost, the peer may have begun anew.
                self.send_body(to, Lane::Bulk, Body::Offer(offer.clone()));
            }
            let turn = async {
                tokio::select! {
                    biased;
                    () = self.until_halted() => Some(Ok(Err("this node has stopped".to_owned()))),
                    result = &mut ended => Some(result),
                    () = alive(&mut pulled) => None,
                }
            };
            let turn = timeout(self.settings().election_timeout, turn).await;
            quiet = turn.is_err();
            #[cfg(planted_bugs)]
            {
                quiet &= !cp_seam::planted::active(cp_seam::planted::Bug::RetryDropped);
            }
            match turn {
                Ok(Some(Ok(result))) => return result.map_err(not_sent),
                Ok(Some(Err(_))) => return Err(not_sent("another transfer took its place".to_owned())),
                Ok(None) => silent = 0,
                Err(_) if silent >= PATIENCE => return Err(not_sent("the peer stopped pulling".to_owned())),
                Err(_) => silent += 1,
            }
        }
    }

    /// Answers a pull from the transfer's snapshot.
    pub(crate) fn pulled(&self, from: Incarnation, pull: Pull) {
        let body = {
            let books = self.transfers.books();
            let Some(outgoing) = books.outgoing.get(&from).filter(|o| o.id == pull.transfer) else { return };
            outgoing.pulls.send_modify(|count| *count += 1);
            Arc::clone(&outgoing.body)
        };
        if pull.ordinal >= body.chunk_count() {
            return;
        }
        match body.chunk(pull.ordinal) {
            Ok(bytes) => {
                let chunk = Chunk { transfer: pull.transfer, ordinal: pull.ordinal, bytes };
                self.send_body(from, Lane::Bulk, Body::Chunk(chunk));
            }
            Err(failure) => self.halt(&crate::chain(&failure)),
        }
    }
}

/// Resolves at the next pull; never once the transfer is gone (its end is told elsewhere).
async fn alive(pulled: &mut watch::Receiver<u64>) {
    if pulled.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Forgets a transfer whose sender has been dropped.
struct Abandon<'a> {
    host: &'a Host,
    to: Incarnation,
    id: u64,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        let mut books = self.host.transfers.books();
        if books.outgoing.get(&self.to).is_some_and(|o| o.id == self.id) {
            books.outgoing.remove(&self.to);
        }
    }
}
