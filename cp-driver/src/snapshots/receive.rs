//! The receiving half: it pulls, so it sets the pace and repeats what was lost.

use super::Incoming;
use crate::engine::Engine;
use crate::host::Host;
use crate::wire::{BadFrame, Body, Ended, Offer, Pull, required};
use bytes::Bytes;
use cp_seam::{Incarnation, Lane};
use cp_store::SnapshotMeta;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How often a chunk is asked for before the transfer is given up.
const PULLS_MAX: u32 = 20;

/// A peer offers a snapshot: pull it, unless it is being pulled already. A newer
/// offer replaces an older one.
pub(crate) fn offered(host: &Arc<Host>, engine: &Arc<dyn Engine>, from: Incarnation, offer: Offer) {
    let chunks = {
        let mut books = host.transfers.books();
        if books.incoming.as_ref().is_some_and(|i| i.from == from && i.id == offer.transfer) {
            return;
        }
        let (sender, chunks) = mpsc::channel(4);
        books.incoming = Some(Incoming { from, id: offer.transfer, chunks: sender });
        chunks
    };
    let (host, engine) = (Arc::clone(host), Arc::clone(engine));
    tokio::spawn(async move {
        let id = offer.transfer;
        let failure = tokio::select! {
            () = host.until_halted() => return,
            result = pull(&host, engine.as_ref(), from, offer, chunks) => result.err().unwrap_or_default(),
        };
        {
            let mut books = host.transfers.books();
            if books.incoming.as_ref().is_some_and(|i| i.from == from && i.id == id) {
                books.incoming = None;
            }
        }
        if !failure.is_empty() {
            tracing::debug!(%from, failure, "a snapshot was not received");
        }
        host.send_body(from, Lane::Bulk, Body::Ended(Ended { transfer: id, failure }));
    });
}

async fn pull(
    host: &Host,
    engine: &dyn Engine,
    from: Incarnation,
    offer: Offer,
    mut chunks: mpsc::Receiver<(u64, Bytes)>,
) -> Result<(), String> {
    let meta = required(offer.meta, "meta").and_then(SnapshotMeta::try_from).map_err(|e: BadFrame| e.to_string())?;
    let mut stage = host.store().stage();
    for ordinal in 0..offer.chunk_count {
        let mut tries = 0;
        let chunk = loop {
            host.send_body(from, Lane::Bulk, Body::Pull(Pull { transfer: offer.transfer, ordinal }));
            match timeout(host.settings().election_timeout, wanted(&mut chunks, ordinal)).await {
                Ok(Some(chunk)) => break chunk,
                Ok(None) => return Err("a newer offer took its place".to_owned()),
                Err(_) if tries >= PULLS_MAX => return Err(format!("chunk {ordinal} did not come")),
                Err(_) => tries += 1,
            }
        };
        stage.push(chunk).await.map_err(|failure| crate::chain(&failure))?;
    }
    let staged = stage.seal(meta).await.map_err(|failure| crate::chain(&failure))?;
    engine.install(from, offer.header, staged).await.map_err(|error| crate::chain(&error))
}

async fn wanted(chunks: &mut mpsc::Receiver<(u64, Bytes)>, ordinal: u64) -> Option<Bytes> {
    loop {
        let (which, bytes) = chunks.recv().await?;
        if which == ordinal {
            return Some(bytes);
        }
    }
}
