//! The one writer: group commit and snapshot files.
//!
//! `prepare` takes the next work off the queue, `perform` does it; whoever drives
//! the writer may wait in between. A failure ends the store: nothing is retried
//! (CP-D4), and everything that waits fails with it, in order.

use crate::absorb::Absorbing;
use crate::backend::Directory;
use crate::base::Base;
use crate::codec::{Kind, seal};
use crate::error::Failure;
use crate::fault::Fault;
use crate::shared::{Bulk, Done, Due, Queued, Shared, lock};
use crate::snapshot::Staged;
use crate::snapshot_file::{self, Draft};
use crate::state::{Summary, Unabsorbed};
use crate::store::{Durable, WriterWork};
use crate::wal::Wal;
use crate::wire;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::time::Instant;

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
    /// Whether threads may be started.
    pub(crate) threaded: bool,
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
            threaded: false,
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

    /// Removes snapshot files that nobody can ask for any more.
    pub(crate) fn sweep(&self) -> Result<(), Fault> {
        let keep = |name: &str| {
            let inner = lock(&self.shared.inner);
            name == self.written.snapshot.file
                || name == inner.state.snapshot.file
                || inner.staged.contains(name)
                || self.drafts.values().any(|draft| draft.is_at(name))
        };
        for name in self.dir.list()? {
            if snapshot_file::is_name(snapshot_file::settled(&name)) && !keep(&name) {
                self.dir.remove(&name)?;
            }
        }
        Ok(())
    }

    fn perform_bulk(&mut self, bulk: Bulk) {
        let stopped = lock(&self.shared.inner).stopped.clone();
        if let Some(failure) = stopped {
            bulk.fail(&failure);
            return self.end();
        }
        let shared = Arc::clone(&self.shared);
        let failed = |fault: Fault| shared.fail_with(fault, "writing a snapshot or closing the files failed");
        match bulk {
            Bulk::Chunk { stage, chunk, done } => {
                let dir = Arc::clone(&self.dir);
                let result = draft(&mut self.drafts, dir.as_ref(), self.shared.boot, stage)
                    .and_then(|draft| Ok(draft.push(&chunk)?))
                    .map_err(failed);
                self.answer(result, done);
            }
            Bulk::Seal { stage, meta, done } => {
                let result = draft(&mut self.drafts, self.dir.as_ref(), self.shared.boot, stage).map(|_| ());
                let sealed = result.and_then(|()| match self.drafts.remove(&stage) {
                    Some(draft) => Ok(draft.seal(self.dir.as_ref(), meta)?),
                    None => Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()),
                });
                match sealed.map_err(failed) {
                    Ok(pointer) => done(Ok(Staged::new(&self.shared, Arc::new(pointer)))),
                    Err(failure) => {
                        done(Err(failure));
                        self.end();
                    }
                }
            }
            Bulk::Abandon { stage } => {
                let result = self.drafts.remove(&stage).map_or(Ok(()), |draft| draft.abandon(self.dir.as_ref()));
                let result = result.map_err(|e| failed(e.into()));
                self.answer(result, Box::new(drop));
            }
            Bulk::Close { done } => {
                let result = self.close().map_err(failed);
                self.end();
                done(result);
            }
        }
    }

    fn answer(&mut self, result: Result<(), Failure>, done: Done) {
        let failed = result.is_err();
        done(result);
        if failed {
            self.end();
        }
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.absorb()?;
        lock(&self.shared.inner).base = None;
        // A reader may hold it a little longer; then it is closed behind the reader.
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

    /// Fails what waits, in order, and publishes why.
    fn end(&mut self) {
        self.done = true;
        self.end_absorption();
        let failure = lock(&self.shared.inner).stopped.get_or_insert_with(Failure::closed).clone();
        let (batches, bulk) = self.shared.drain();
        for queued in batches {
            (queued.done)(Err(failure.clone()));
        }
        for (_, bulk) in bulk {
            bulk.fail(&failure);
        }
        self.base = None;
        if !self.closed {
            self.shared.durable.send_modify(|durable| durable.failed = Some(reason(&failure)));
        }
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
        if let Some(base) = self.base.take() {
            base.fuse().blow();
            self.end_absorption();
            if std::thread::panicking() {
                // What panicked may have been redb, and closing it would panic again.
                std::mem::forget(base);
            }
        }
        let mut inner = lock(&self.shared.inner);
        inner.stopped.get_or_insert_with(|| Failure { what: "its writer was stopped".to_owned(), source: None });
        drop(inner);
        drop(self.job.take());
        drop(self.shared.drain());
        self.shared.durable.send_modify(|durable| durable.failed = Some("its writer was stopped".to_owned()));
    }
}

fn draft<'a>(
    drafts: &'a mut BTreeMap<u64, Draft>,
    dir: &dyn Directory,
    boot: u64,
    stage: u64,
) -> Result<&'a mut Draft, Fault> {
    use std::collections::btree_map::Entry;
    match drafts.entry(stage) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => Ok(entry.insert(Draft::create(dir, &snapshot_file::name(boot, stage))?)),
    }
}

/// The failure with its cause, for those who only get a text.
fn reason(failure: &Failure) -> String {
    match &failure.source {
        Some(source) => format!("{}: {source}", failure.what),
        None => failure.what.clone(),
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
