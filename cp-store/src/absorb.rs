//! Absorption: what the write-ahead segments hold becomes redb's.
//!
//! A segment that is full is left at once, and its lap absorbed beside the groups
//! that go to the other: by a thread of its own, or by whoever drives a writer
//! that is a task. The other segment can only be left once that is through.
//! Everything else that brings redb up to date waits for it, then absorbs the rest.

use crate::base::Base;
use crate::fault::Fault;
use crate::shared::{Shared, lock};
use crate::state::{Summary, Unabsorbed};
use crate::wire;
use crate::writer::Core;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use tokio::time::Instant;

const FAILED: &str = "bringing a write-ahead segment into the database failed";

/// A lap that was left, as it was then.
#[derive(Debug)]
pub(crate) struct Lap {
    /// The state at its end, and which lap follows.
    pub(crate) state: wire::State,
    pub(crate) unabsorbed: Unabsorbed,
    /// The number of its last batch.
    pub(crate) batch: u64,
}

impl Lap {
    /// Readers find its records in the one place until they are in the other.
    fn absorb(&self, base: &Base, shared: &Shared) -> Result<(), Fault> {
        let result = base.absorb(&self.state, &self.unabsorbed);
        if result.is_ok() {
            shared.absorbed(self.batch);
        }
        lock(&shared.inner).absorbing_since = None;
        result
    }

    /// Does it on a thread, which stops the store if it fails and answers whether it
    /// did not; or here, if there is no thread to be had.
    fn beside(self, start: Start, base: Arc<Base>, shared: Arc<Shared>) -> Result<Absorbing, Fault> {
        let lap = Arc::new(self);
        let work = Arc::clone(&lap).work(Arc::clone(&base), Arc::clone(&shared));
        match start(Box::new(work)) {
            Ok(thread) => Ok(Absorbing::Beside(thread)),
            Err(error) => {
                tracing::warn!(%error, "no thread was to be had, so writes wait while a full segment is absorbed");
                lap.absorb(&base, &shared)?;
                Ok(Absorbing::Nothing)
            }
        }
    }

    fn work(self: Arc<Self>, base: Arc<Base>, shared: Arc<Shared>) -> impl FnOnce() -> bool + Send + 'static {
        move || match catch_unwind(AssertUnwindSafe(|| self.absorb(&base, &shared))) {
            Ok(Ok(())) => true,
            Ok(Err(fault)) => {
                shared.fail_with(fault, FAILED);
                false
            }
            Err(_) => {
                shared.fail_with(io::Error::other("it panicked").into(), FAILED);
                // What panicked may have been redb, and closing it would panic again.
                mem::forget(base);
                false
            }
        }
    }
}

/// Starts a thread.
pub(crate) type Start = fn(Box<dyn FnOnce() -> bool + Send>) -> io::Result<JoinHandle<bool>>;

pub(crate) fn start_thread(work: Box<dyn FnOnce() -> bool + Send>) -> io::Result<JoinHandle<bool>> {
    Builder::new().name("cp-store-absorber".to_owned()).spawn(work)
}

/// How far the absorption of the lap before the current one is.
#[derive(Debug, Default)]
pub(crate) enum Absorbing {
    /// redb names the current lap.
    #[default]
    Nothing,
    /// Nobody has begun.
    Waiting(Box<Lap>),
    /// A thread is at it, or has been.
    Beside(JoinHandle<bool>),
    /// It is in hand; if it stays so, it failed or something panicked in it, and the store has stopped (CP-D4).
    Failed,
}

/// What redb keeps besides the log, at the end of frame `seq`; `record` has the constant parts.
pub(crate) fn state_at(written: &Summary, lap: u64, seq: u64, record: &wire::State) -> wire::State {
    wire::State {
        lap,
        seq,
        vote: written.vote.into(),
        committed: written.committed.0,
        purged: written.purged.into(),
        last: written.last.into(),
        snapshot: written.snapshot.as_ref().into(),
        ..record.clone()
    }
}

impl Core {
    /// Leaves a segment that is full, and has its lap absorbed beside what follows.
    pub(crate) fn go_over(&mut self) -> Result<(), Fault> {
        #[cfg(planted_bugs)]
        let unwaited = crate::planted::unwaited(&mut self.absorbing);
        self.settle()?;
        let Some(base) = &self.base else { return Ok(()) };
        self.absorbing = Absorbing::Failed;
        self.wal.go_over(self.seq + 1)?;
        self.seq += 1;
        let state = state_at(&self.written, self.wal.lap(), self.seq, &self.record);
        let unabsorbed = mem::take(&mut self.unabsorbed);
        #[cfg(planted_bugs)]
        let unabsorbed = crate::planted::joined(unwaited, unabsorbed);
        let lap = Lap { state, unabsorbed, batch: self.written_batch };
        lock(&self.shared.inner).absorbing_since = Some(Instant::now());
        self.absorbing = match self.start {
            Some(start) => lap.beside(start, Arc::clone(base), Arc::clone(&self.shared))?,
            None => {
                self.shared.absorb_wake.notify_one();
                Absorbing::Waiting(Box::new(lap))
            }
        };
        Ok(())
    }

    /// Waits until redb names the current lap, or sees to it.
    fn settle(&mut self) -> Result<(), Fault> {
        let failed = || Fault::from(io::Error::other(FAILED));
        match mem::replace(&mut self.absorbing, Absorbing::Failed) {
            Absorbing::Nothing => {}
            Absorbing::Waiting(lap) => lap.absorb(self.base.as_ref().ok_or_else(failed)?, &self.shared)?,
            // Why it failed is why the store has stopped.
            Absorbing::Beside(thread) => match thread.join() {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(failed()),
            },
            Absorbing::Failed => return Err(failed()),
        }
        self.absorbing = Absorbing::Nothing;
        Ok(())
    }

    /// Moves all that the write-ahead log holds into redb, and begins a new lap.
    pub(crate) fn absorb(&mut self) -> Result<(), Fault> {
        self.settle()?;
        let Some(base) = &self.base else { return Ok(()) };
        self.absorbing = Absorbing::Failed;
        self.wal.prepare_turn()?;
        base.absorb(&state_at(&self.written, self.wal.lap() + 1, self.seq, &self.record), &self.unabsorbed)?;
        self.wal.turn(self.seq + 1)?;
        self.absorbing = Absorbing::Nothing;
        self.seq += 1;
        self.unabsorbed = Unabsorbed::default();
        self.shared.absorbed(self.written_batch);
        Ok(())
    }

    /// Whether a lap waits to be absorbed.
    pub(crate) fn absorption_waits(&self) -> bool {
        #[cfg(planted_bugs)]
        if crate::planted::active(crate::planted::Bug::SegmentReusedEarly) {
            return false;
        }
        matches!(self.absorbing, Absorbing::Waiting(_))
    }

    /// Absorbs the lap that waits, between two groups.
    pub(crate) fn absorb_beside(&mut self) {
        let stopped = lock(&self.shared.inner).stopped.is_some();
        if !stopped
            && self.absorption_waits()
            && let Err(fault) = self.settle()
        {
            self.shared.fail_with(fault, FAILED);
            self.end_if_idle();
        }
    }

    /// Waits for the thread, if there is one: nothing is written once the writer has ended.
    pub(crate) fn end_absorption(&mut self) {
        if matches!(self.absorbing, Absorbing::Beside(_)) {
            // Its failure is known: the store has stopped.
            drop(self.settle());
        }
        lock(&self.shared.inner).absorbing_since = None;
    }
}

#[cfg(test)]
mod tests;
