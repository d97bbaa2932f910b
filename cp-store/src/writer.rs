//! The one writer: group commit and snapshot files.
//!
//! `prepare` takes the next work off the queue, `perform` does it; whoever drives
//! the writer may wait in between. A failure ends the store: nothing is retried
//! (CP-D4), and everything that waits fails with it, in order.

use crate::absorb::{Absorbing, Start};
use crate::backend::Directory;
use crate::base::Base;
use crate::codec::{Kind, seal};
use crate::fault::Fault;
use crate::shared::{Bulk, Due, Queued, Shared, lock};
use crate::snapshot_file::Draft;
use crate::state::{Summary, Unabsorbed};
use crate::store::{Durable, WriterWork};
use crate::wal::Wal;
use crate::wire;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::time::Instant;

mod bulk;
mod end;

/// A group takes further batches up to this many bytes of payload.
const GROUP_BYTES_MAX: usize = 512 << 10;

enum Job {
    Group { items: Vec<Queued>, group: wire::Group, payload: Vec<u8> },
    Bulk(Bulk),
}

/// The writer's own state. Nothing else writes the node's files.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dir: Arc<dyn Directory>,
    pub(crate) lock: Option<Box<dyn Debug + Send + Sync>>,
    pub(crate) base: Option<Arc<Base>>,
    pub(crate) wal: Wal,
    pub(crate) seq: u64,
    /// Constant parts of redb's state record.
    pub(crate) record: wire::State,
    /// Of the current lap.
    pub(crate) unabsorbed: Unabsorbed,
    /// The lap before the current one.
    pub(crate) absorbing: Absorbing,
    /// How a thread is started, if any may be.
    pub(crate) start: Option<Start>,
    pub(crate) written: Summary,
    /// The number of the last batch in `written`.
    pub(crate) written_batch: u64,
    drafts: BTreeMap<u64, Draft>,
    job: Option<Job>,
    bulk_is_next: bool,
    closed: bool,
    done: bool,
}

impl Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// What `prepare` found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Something to perform.
    Work(WriterWork),
    /// Nothing: wait to be woken.
    Idle,
    /// Nothing yet: wait to be woken, or until then.
    Until(Instant),
    /// Nothing, ever again.
    End,
}

impl Core {
    pub(crate) fn new(
        shared: Arc<Shared>,
        guard: Box<dyn Debug + Send + Sync>,
        base: Arc<Base>,
        wal: Wal,
        record: wire::State,
        written: Summary,
    ) -> Self {
        Self {
            dir: Arc::clone(&shared.dir),
            shared,
            lock: Some(guard),
            base: Some(base),
            wal,
            seq: record.seq,
            record,
            unabsorbed: Unabsorbed::default(),
            absorbing: Absorbing::Nothing,
            start: None,
            written,
            written_batch: 0,
            drafts: BTreeMap::new(),
            job: None,
            bulk_is_next: false,
            closed: false,
            done: false,
        }
    }

    /// Takes the next work off the queue: a group of batches and a piece of a snapshot in turn.
    pub(crate) fn prepare(&mut self) -> Next {
        if self.job.is_none() && !self.done {
            self.take();
        }
        match &self.job {
            Some(Job::Group { payload, .. }) => Next::Work(WriterWork::Commit { bytes: payload.len() }),
            Some(Job::Bulk(Bulk::Chunk { chunk, .. })) => Next::Work(WriterWork::Chunk { bytes: chunk.len() }),
            Some(Job::Bulk(_)) => Next::Work(WriterWork::Seal),
            None if self.done => Next::End,
            None => match lock(&self.shared.inner).due() {
                Some(Due::At(due)) => Next::Until(due),
                // It has come about since: it is taken the next time.
                Some(Due::Now) => Next::Until(Instant::now()),
                None => Next::Idle,
            },
        }
    }

    fn take(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut inner = lock(&shared.inner);
        if inner.stopped.is_some() {
            drop(inner);
            self.end();
            return;
        }
        // Closing comes after all batches; other bulk work takes turns with them.
        let closing = matches!(inner.bulk.front(), Some((_, Bulk::Close { .. })));
        let ready = inner.due() == Some(Due::Now);
        let bulk_first = !ready || (self.bulk_is_next && !closing);
        if bulk_first && let Some((at, bulk)) = inner.bulk.pop_front() {
            inner.in_flight = Some(at);
            self.bulk_is_next = false;
            self.job = Some(Job::Bulk(bulk));
            return;
        }
        if !ready {
            if inner.closing && inner.batches.is_empty() {
                inner.in_flight = Some(Instant::now());
                self.job = Some(Job::Bulk(Bulk::Close { done: Box::new(drop) }));
            }
            return;
        }
        self.bulk_is_next = true;
        let mut items = Vec::new();
        let mut group = wire::Group::default();
        let mut bytes = 0;
        inner.in_flight = inner.batches.front().map(|queued| queued.at);
        while bytes < GROUP_BYTES_MAX
            && let Some(queued) = inner.batches.pop_front()
        {
            let change = wire::Change::from(&queued.change);
            bytes += prost::Message::encoded_len(&change);
            group.changes.push(change);
            items.push(queued);
        }
        drop(inner);
        let payload = seal(Kind::Group, &group);
        self.job = Some(Job::Group { items, group, payload });
    }

    /// Does what `prepare` took; nothing if it is done already.
    pub(crate) fn perform(&mut self) {
        match self.job.take() {
            Some(Job::Group { items, group, payload }) => self.perform_group(items, &group, &payload),
            Some(Job::Bulk(bulk)) => self.perform_bulk(bulk),
            None => {}
        }
        lock(&self.shared.inner).in_flight = None;
    }

    /// Everything that waits, here and now, on the caller's thread.
    pub(crate) fn flush(&mut self) {
        while let Next::Work(_) = self.prepare() {
            self.perform();
        }
    }

    fn perform_group(&mut self, items: Vec<Queued>, group: &wire::Group, payload: &[u8]) {
        let stopped = lock(&self.shared.inner).stopped.clone();
        let result = match stopped {
            Some(failure) => Err(failure),
            None => self
                .commit(&items, group, payload)
                .map_err(|fault| self.shared.fail_with(fault, "writing to the write-ahead log or the database failed")),
        };
        let failed = result.is_err();
        for queued in items {
            (queued.done)(result.clone());
        }
        if failed {
            return self.end();
        }
        let durable = durable_of(&self.written, None);
        self.shared.durable.send_if_modified(|current| {
            let changed = *current != durable;
            *current = durable;
            changed
        });
    }

    fn commit(&mut self, items: &[Queued], group: &wire::Group, payload: &[u8]) -> Result<(), Fault> {
        let direct = !self.wal.fits_empty(payload.len());
        if !direct {
            if !self.wal.fits(payload.len()) {
                self.go_over()?;
            }
            #[cfg(planted_bugs)]
            crate::planted::write_half(&mut self.wal, &mut self.seq, &self.written, items, payload)?;
            self.wal.write(self.seq + 1, payload)?;
        }
        self.seq += 1;
        for (queued, change) in items.iter().zip(&group.changes) {
            let first = queued.change.append.first().map(|r| r.position.index.0);
            self.unabsorbed.note(change, first, queued.dropped);
        }
        let installed = items.iter().any(|queued| queued.change.snapshot.is_some());
        if let Some(queued) = items.last() {
            self.written = queued.after.clone();
            self.written_batch = queued.number;
        }
        if direct || installed {
            self.absorb()?;
        }
        if installed {
            self.sweep()?;
        }
        Ok(())
    }
}

pub(crate) fn durable_of(summary: &Summary, failed: Option<String>) -> Durable {
    Durable {
        vote: summary.vote,
        last: summary.last,
        committed: summary.committed,
        snapshot: summary.snapshot.meta.position,
        failed,
    }
}
