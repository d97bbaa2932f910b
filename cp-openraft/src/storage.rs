//! openraft's log storage over the store.
//!
//! Every write goes through the store's one queue in the order in which openraft
//! asks for it, so order needs no help here; what openraft wants durable before
//! it goes on (the vote), it waits for.

use crate::translate;
use crate::types::{Entry, LogId, Payload, Placed, Types, Vote};
#[cfg(planted_bugs)]
use cp_seam::planted::{self, Bug};
use cp_seam::{ControlPlaneLogIndex, Incarnation};
use cp_store::{Batch, Configuration, Store, Ticket};
use futures::{Stream, StreamExt, stream};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;
use tokio::sync::watch;

/// The store as this node's engine may use it: until it is closed, and with the
/// node stopped at the first failure (CP-D4).
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) me: Incarnation,
    pub(crate) read_bytes_max: usize,
    closed: watch::Sender<bool>,
    halt: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("me", &self.me).field("closed", &*self.closed.borrow()).finish_non_exhaustive()
    }
}

impl Ground {
    pub(crate) fn new(
        store: Store,
        me: Incarnation,
        read_bytes_max: usize,
        halt: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self { store, me, read_bytes_max, closed: watch::Sender::new(false), halt: Box::new(halt) }
    }

    /// From now on nothing is written, and nobody waits for what the store has
    /// begun: a disk that hangs does not keep the engine from ending.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Stops the node because of `error`, and gives openraft an error to stop with.
    pub(crate) fn fail(&self, error: &(dyn std::error::Error + 'static)) -> io::Error {
        let reason = cp_driver::chain(error);
        (self.halt)(&reason);
        io::Error::other(reason)
    }

    fn open(&self) -> io::Result<()> {
        if *self.closed.borrow() { Err(stopped()) } else { Ok(()) }
    }

    pub(crate) fn submit(&self, batch: Batch) -> io::Result<Ticket> {
        self.open()?;
        self.store.submit(batch).map_err(|rejected| self.fail(&rejected))
    }

    pub(crate) async fn write(&self, batch: Batch) -> io::Result<()> {
        let ticket = self.submit(batch)?;
        self.durable(ticket).await
    }

    /// Waits until what was submitted is durable, or the engine is closed.
    pub(crate) async fn durable(&self, ticket: Ticket) -> io::Result<()> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            written = ticket => written.map_err(|failure| self.fail(&failure)),
            _ = closed.wait_for(|closed| *closed) => Err(stopped()),
        }
    }

    /// `range`, cut to what the log holds.
    fn held(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let (first, next) = (self.store.purged().index.next().0, self.store.last().index.next().0);
        start.max(first)..end.min(next)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let range = ControlPlaneLogIndex(range.start)..ControlPlaneLogIndex(range.end);
        let records = self.store.read(range, self.read_bytes_max).map_err(|failure| self.fail(&failure))?;
        Ok(records.into_iter().map(translate::entry).collect())
    }

    /// What openraft's apply needs of an entry: its id, and a configuration if it
    /// is one. The driver feeds the state machine, so the body is not read here.
    fn outline(&self, index: u64, configurations: &BTreeMap<u64, Configuration>) -> io::Result<Entry> {
        let at = ControlPlaneLogIndex(index);
        let term = self.store.term_at(at).ok_or_else(|| io::Error::other(format!("the log has no record at {at}")))?;
        let payload = match configurations.get(&index) {
            Some(configuration) => Payload::Configuration(configuration.clone(), Placed::default()),
            None => Payload::Blank,
        };
        Ok(Entry::new(translate::log_id(cp_seam::LogPosition::new(term, at)), payload))
    }
}

fn stopped() -> io::Error {
    io::Error::other("the engine has stopped; nothing is written any more")
}

/// The log, the vote and the committed index. Cloning gives another handle.
#[derive(Debug, Clone)]
pub(crate) struct LogStorage {
    pub(crate) ground: Arc<Ground>,
}

impl RaftLogReader<Types> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let mut left = self.ground.held(&range);
        let mut entries = Vec::new();
        while left.start < left.end {
            let some = self.ground.read(left.clone())?;
            let Some(last) = some.last() else { break };
            left.start = last.log_id.index.saturating_add(1);
            entries.extend(some);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(translate::vote(self.ground.store.vote(), self.ground.me))
    }

    /// As many as fit a frame, at least one.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.ground.read(self.ground.held(&(start..end)))
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend,
    {
        let held = self.ground.held(&range);
        // They hold every member's name and address, and mostly there is none among these records.
        let any = self.ground.store.newest_configuration_at().index.0 >= held.start;
        let known = any.then(|| self.ground.store.configurations()).into_iter().flatten();
        let configurations: BTreeMap<u64, Configuration> = known.map(|(at, c)| (at.index.0, c)).collect();
        let ground = Arc::clone(&self.ground);
        stream::iter(held).map(move |index| ground.outline(index, &configurations))
    }
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let store = &self.ground.store;
        Ok(LogState {
            last_purged_log_id: Some(translate::log_id(store.purged())),
            last_log_id: Some(translate::log_id(store.last())),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    /// Durable before it returns (CP-D1).
    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = translate::last_vote(self.ground.store.vote(), vote);
        #[cfg(planted_bugs)]
        if planted::active(Bug::GrantBeforeFsync) {
            return self.ground.submit(Batch { vote: Some(vote), ..Batch::default() }).map(drop);
        }
        self.ground.write(Batch { vote: Some(vote), ..Batch::default() }).await
    }

    /// Queued behind the appends, so never ahead of them on disk, and not waited
    /// for: the driver reports nothing above the durable index (CP-D3).
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        let committed = Some(ControlPlaneLogIndex(committed.index));
        self.ground.submit(Batch { committed, ..Batch::default() }).map(drop)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let index = self.ground.store.committed();
        let term = self.ground.store.term_at(index);
        Ok(term.map(|term| translate::log_id(cp_seam::LogPosition::new(term, index))))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.ground.open()?;
        let mut append = Vec::new();
        let mut waiting = Vec::new();
        for entry in entries {
            if let Some(placed) = entry.payload.placed() {
                waiting.push((translate::position(&entry.log_id), placed.clone()));
            }
            let made_up = || io::Error::other("openraft made up a membership of its own; it names no members");
            append.push(translate::record(entry).ok_or_else(|| self.ground.fail(&made_up()))?);
        }
        let ground = Arc::clone(&self.ground);
        let done = move |result: Result<(), cp_store::Failure>| {
            callback.io_completed(result.map_err(|failure| ground.fail(&failure)));
        };
        let batch = Batch { append, ..Batch::default() };
        #[cfg(planted_bugs)]
        if planted::active(Bug::AckBeforeFsync) {
            drop(self.ground.submit(batch)?);
            done(Ok(()));
            waiting.into_iter().for_each(|(position, placed)| placed.at(position));
            return Ok(());
        }
        self.ground.store.submit_then(batch, done).map_err(|rejected| self.ground.fail(&rejected))?;
        for (position, placed) in waiting {
            placed.at(position);
        }
        Ok(())
    }

    /// Queued, not waited for: openraft promises nobody that it has happened.
    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |last| last.index.saturating_add(1));
        if from > self.ground.store.last().index.0 {
            return Ok(());
        }
        #[cfg(planted_bugs)]
        if planted::active(Bug::TailKept) {
            return Ok(());
        }
        let truncate_from = Some(ControlPlaneLogIndex(from));
        self.ground.submit(Batch { truncate_from, ..Batch::default() }).map(drop)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        if upto.index <= self.ground.store.purged().index.0 {
            return Ok(());
        }
        let compact_to = Some(ControlPlaneLogIndex(upto.index));
        self.ground.submit(Batch { compact_to, ..Batch::default() }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_store::{MemoryDirectory, Pace, Writer, WriterWork};
    use std::future::{Future, pending};
    use std::pin::Pin;

    /// A disk that never answers.
    #[derive(Debug)]
    struct Hung;

    impl Pace for Hung {
        fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(pending())
        }
    }

    /// What the store has committed, openraft takes for committed from the start: at first, genesis.
    #[tokio::test(start_paused = true)]
    async fn what_is_committed_is_known_at_the_start() {
        let store = crate::suite::store(Arc::new(MemoryDirectory::new()), Writer::Task(Arc::new(Hung)));
        let ground = Ground::new(store, Incarnation(1), 1 << 20, |why| panic!("the store stopped: {why}"));
        let committed = LogStorage { ground: Arc::new(ground) }.read_committed().await.expect("read");
        assert_eq!(committed, Some(translate::log_id(cp_seam::LogPosition::GENESIS)));
    }

    /// CP-D1: a vote that is not on the disk is not said to be; and a disk that
    /// hangs does not keep the engine from ending.
    #[tokio::test(start_paused = true)]
    async fn a_vote_waits_for_the_disk_until_the_engine_ends() {
        let store = crate::suite::store(Arc::new(MemoryDirectory::new()), Writer::Task(Arc::new(Hung)));
        let ground = Arc::new(Ground::new(store, Incarnation(1), 1 << 20, |why| panic!("the store stopped: {why}")));
        let mut log = LogStorage { ground: Arc::clone(&ground) };
        let vote = Vote::new(1, 2);
        let mut saving = std::pin::pin!(log.save_vote(&vote));
        let waited = tokio::time::timeout(std::time::Duration::from_secs(3600), saving.as_mut()).await;
        assert!(waited.is_err(), "it was said to be durable: {waited:?}");
        ground.close();
        assert!(saving.await.is_err());
        assert!(ground.submit(Batch::default()).is_err(), "nothing is written any more");
    }
}
