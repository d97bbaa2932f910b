//! The loop: one input, one output, carried out in the only safe order.
//!
//! 1. the vote is persisted (CP-D1);
//! 2. truncation, records, snapshot and committed index are queued in one batch;
//! 3. what this node is now is published, and a leader's records leave, unless they
//!    tell of a committed index that is in this batch (CP-D3);
//! 4. the disk (CP-D2);
//! 5. everything else leaves, and callers who waited for the disk are answered.
//!
//! No input is taken in meanwhile, so a leader does not count itself, nor anybody's
//! answer, before its own records are durable.

use super::core::{Core, Input, Output};
use super::engine::Books;
use super::snapshot::Header;
use super::wire::{self, Body, Message};
use cp_driver::Host;
use cp_seam::{ControlPlaneLogIndex, Incarnation, LastVoteStore, LogPosition, Term, VoteStoreError};
use cp_store::{Batch, Failure, Rejected, Store};
use prost::Message as _;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

/// Why the loop ended; the node stops with it (CP-D4).
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("the vote was not persisted")]
    Vote(#[from] VoteStoreError),
    #[error("the log was not written")]
    Log(#[from] Rejected),
    #[error(transparent)]
    Store(#[from] Failure),
    #[error("a snapshot transfer failed without a word")]
    Transfer(#[from] JoinError),
}

/// A core with its surroundings.
#[derive(Debug)]
pub(super) struct Loop {
    host: Arc<Host>,
    store: Store,
    core: Core,
    books: Arc<Books>,
    sends: JoinSet<Input>,
}

impl Loop {
    pub(super) fn new(host: Arc<Host>, core: Core, books: Arc<Books>) -> Self {
        Self { store: host.store().clone(), host, core, books, sends: JoinSet::new() }
    }

    /// Runs until the node stops or this task is aborted.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Input>) -> Result<(), Stop> {
        let mut clock = self.core.timeouts.clock();
        loop {
            let input = tokio::select! {
                biased;
                _ = clock.tick() => {
                    // What has come first: a leader that has spoken is not to be stood against.
                    for _ in 0..inbox.len() {
                        if let Ok(input) = inbox.try_recv() {
                            self.take(input).await?;
                        }
                    }
                    Input::Tick
                }
                Some(sent) = self.sends.join_next() => sent?,
                input = inbox.recv() => match input {
                    Some(input) => input,
                    None => return Ok(()),
                },
            };
            self.take(input).await?;
        }
    }

    async fn take(&mut self, input: Input) -> Result<(), Stop> {
        let output = self.core.step(input);
        self.carry_out(output).await
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), Stop> {
        let Output { vote, batch, acknowledged, messages, snapshots, done } = output;
        if let Some(vote) = vote {
            // It blocks this task; a production engine puts the vote into its batch instead.
            LastVoteStore::persist(&self.store, vote)?;
        }
        let may_outrun_the_disk = batch.committed.is_none();
        let written = if is_empty(&batch) { None } else { Some(self.store.submit(batch)?) };
        self.tell_the_host(acknowledged);
        let (early, late): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .partition(|(_, message)| may_outrun_the_disk && matches!(message.body, Body::Append(_)));
        self.send(early);
        if let Some(written) = written {
            written.await?;
        }
        self.send(late);
        for to in snapshots {
            self.send_snapshot(to);
        }
        if let Some(done) = done {
            done.give(Ok(()));
        }
        Ok(())
    }

    fn tell_the_host(&self, acknowledged: Option<(Incarnation, LogPosition)>) {
        debug_assert_eq!(self.core.log.last(), self.store.last(), "the log mirrors the store");
        self.books.write(&self.core);
        if self.host.view() != self.core.view() {
            self.host.publish(self.core.view());
        }
        if let Some((from, matched)) = acknowledged {
            self.host.acknowledged(from, self.core.vote.term, matched);
        }
    }

    fn send(&self, messages: Vec<(Incarnation, Message)>) {
        for (to, message) in messages {
            self.host.send(to, wire::encode(message));
        }
    }

    /// Streams the current snapshot beside the loop, which hears of its end.
    fn send_snapshot(&mut self, to: Incarnation) {
        let (host, term, index) = (Arc::clone(&self.host), self.core.vote.term, self.core.log.snapshot().index);
        self.sends.spawn(cp_driver::of_node(async move { transfer(&host, to, term, index).await }));
    }
}

async fn transfer(host: &Host, to: Incarnation, term: Term, index: ControlPlaneLogIndex) -> Input {
    let header = Header { term: term.0 }.encode_to_vec().into();
    let sent = host.send_snapshot(to, header).await;
    if let Err(error) = &sent {
        tracing::debug!(error = cp_driver::chain(error), "a snapshot was not sent");
    }
    Input::SnapshotSent { to, term, installed: sent.is_ok().then_some(index) }
}

fn is_empty(batch: &Batch) -> bool {
    let Batch { vote, truncate_from, append, committed, snapshot, compact_to } = batch;
    vote.is_none()
        && truncate_from.is_none()
        && append.is_empty()
        && committed.is_none()
        && snapshot.is_none()
        && compact_to.is_none()
}
