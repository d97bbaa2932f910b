//! The receiving half: it pulls, so it sets the pace and repeats what was lost.

use super::Incoming;
use super::partial::Partial;
use crate::engine::Engine;
use crate::freezer::of_node;
use crate::host::Host;
use crate::wire::{Body, Ended, Offer, Pull};
use bytes::Bytes;
use cp_seam::{Incarnation, Lane};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How often a chunk is asked for before the transfer is given up.
const PULLS_MAX: u32 = 20;

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
            tracing::warn!(%from, failure, "a snapshot was not received");
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
    let offered = Partial::begin(host, &offer)?;
    let whole = {
        // The transfer before this one may be about to end.
        let mut held = host.transfers.partial.lock().await;
        let partial = match held.take().filter(|held| held.is_of(&offered)) {
            Some(begun) => held.insert(begun),
            None => held.insert(offered),
        };
        tracing::debug!(%from, next = ?partial.wants(), of = offer.chunk_count, "pulling a snapshot");
        while let Some(ordinal) = partial.wants() {
            let chunk = fetch(host, from, offer.transfer, ordinal, &mut chunks).await?;
            if let Err(why) = partial.push(chunk).await {
                *held = None;
                return Err(why);
            }
        }
        held.take()
    };
    let Some(whole) = whole else { return Err("it was taken away".to_owned()) };
    let staged = whole.seal().await?;
    engine.install(from, offer.header, staged).await.map_err(|error| crate::chain(&error))
}

async fn fetch(
    host: &Host,
    from: Incarnation,
    transfer: u64,
    ordinal: u64,
    chunks: &mut mpsc::Receiver<(u64, Bytes)>,
) -> Result<Bytes, String> {
    for _ in 0..=PULLS_MAX {
        host.send_body(from, Lane::Bulk, Body::Pull(Pull { transfer, ordinal }));
        match timeout(host.settings().election_timeout, wanted(chunks, ordinal)).await {
            Ok(Some(chunk)) => return Ok(chunk),
            Ok(None) => return Err("a newer offer took its place".to_owned()),
            Err(_) => {}
        }
    }
    Err(format!("chunk {ordinal} did not come"))
}

async fn wanted(chunks: &mut mpsc::Receiver<(u64, Bytes)>, ordinal: u64) -> Option<Bytes> {
    loop {
        let (which, bytes) = chunks.recv().await?;
        if which == ordinal {
            return Some(bytes);
        }
    }
}
