//! The receiving half: it pulls, so it sets the pace and repeats what was lost.

use super::Incoming;
use crate::engine::Engine;
use crate::freezer::of_node;
use crate::host::Host;
use crate::wire::{BadFrame, Body, Ended, Offer, Pull, required};
use bytes::Bytes;
use cp_seam::{Incarnation, Lane, SnapshotReader};
use cp_store::SnapshotMeta;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How often a chunk is asked for before the transfer is given up.
const PULLS_MAX: u32 = 20;

/// How many chunks a snapshot may have: 64 GiB of them.
const CHUNKS_MAX: u64 = 1 << 16;

/// A peer offers a snapshot: pull it, unless it is being pulled already. An offer
/// of another transfer replaces it, but never a later one of the same peer.
pub(crate) fn offered(host: &Arc<Host>, engine: &Arc<dyn Engine>, from: Incarnation, offer: Offer) {
    let chunks = {
        let mut books = host.transfers.books();
        if books.incoming.as_ref().is_some_and(|i| i.from == from && i.id >= offer.transfer) {
            return;
        }
        if let Some(ended) = books.ended.get(&from).filter(|ended| ended.transfer >= offer.transfer) {
            let again = ended.clone();
            drop(books);
            return host.send_body(from, Lane::Bulk, Body::Ended(again));
        }
        let (sender, chunks) = mpsc::channel(4);
        books.incoming = Some(Incoming { from, id: offer.transfer, chunks: sender });
        chunks
    };
    let (host, engine) = (Arc::clone(host), Arc::clone(engine));
    tokio::spawn(of_node(async move {
        let transfer = offer.transfer;
        let failure = tokio::select! {
            () = host.until_halted() => return,
            result = pull(&host, engine.as_ref(), from, offer, chunks) => result.err().unwrap_or_default(),
        };
        if !failure.is_empty() {
            tracing::debug!(%from, failure, "a snapshot was not received");
        }
        let ended = Ended { transfer, failure };
        {
            let mut books = host.transfers.books();
            if books.incoming.as_ref().is_some_and(|i| i.from == from && i.id == transfer) {
                books.incoming = None;
            }
            let last = books.ended.entry(from).or_default();
            if last.transfer < transfer {
                last.clone_from(&ended);
            }
        }
        host.send_body(from, Lane::Bulk, Body::Ended(ended));
    }));
}

async fn pull(
    host: &Host,
    engine: &dyn Engine,
    from: Incarnation,
    offer: Offer,
    mut chunks: mpsc::Receiver<(u64, Bytes)>,
) -> Result<(), String> {
    let meta = required(offer.meta, "meta").and_then(SnapshotMeta::try_from).map_err(|e: BadFrame| e.to_string())?;
    if offer.chunk_count > CHUNKS_MAX {
        return Err(format!("it has {} chunks; at most {CHUNKS_MAX} are taken", offer.chunk_count));
    }
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
        if chunk.len() > <dyn SnapshotReader>::CHUNK_MAX_BYTES {
            return Err(format!("chunk {ordinal} has {} bytes", chunk.len()));
        }
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
