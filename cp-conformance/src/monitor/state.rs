//! The state machine of one life, watched: what it is fed, and what it becomes.

use super::Monitor;
use crate::checks::invariants::Invariants;
use crate::life::Life;
use crate::sync::locked;
use bytes::Bytes;
use cp_catalog::{Catalog, CatalogMachine, Command, Fence, OwnershipCommand, RangeKey, Verdict};
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, Halt, LogPosition, Quorum, SnapshotError,
    SnapshotReader, SnapshotWriter, StateDigest,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) inner: Arc<CatalogMachine>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) life: Arc<Life>,
    pub(crate) booted: Arc<AtomicBool>,
    pub(crate) invariants: Mutex<Invariants>,
}

/// One applied entry in so many is a moment at which the whole state is looked at.
const LOOKED_AT_EVERY: u64 = 16;

/// How the writer of `command` saw the ranges that it changes.
fn fences(command: &Command) -> Vec<(RangeKey, Fence)> {
    use OwnershipCommand as Ownership;
    let Command::Ownership(command) = command else { return Vec::new() };
    match command {
        Ownership::Handoff(transfer) | Ownership::Promote(transfer) => vec![(transfer.range.clone(), transfer.fence)],
        Ownership::AddReplica(edit)
        | Ownership::RemoveReplica(edit)
        | Ownership::AddArchive(edit)
        | Ownership::RemoveArchive(edit) => vec![(edit.range.clone(), edit.fence)],
        Ownership::BeginMove { range, fence, .. }
        | Ownership::AdvanceMove { range, fence, .. }
        | Ownership::CompleteMove { range, fence, .. }
        | Ownership::ResolveMove { range, fence, .. }
        | Ownership::AbortMove { range, fence }
        | Ownership::Split { range, fence, .. }
        | Ownership::SetPlacement { range, fence, .. } => vec![(range.clone(), *fence)],
        Ownership::RestoreArchive(restore) => vec![(restore.range.clone(), restore.fence)],
        Ownership::Merge { survivor, fence, retired, retired_fence } => {
            let retired = RangeKey::new(survivor.collection.clone(), *retired);
            vec![(survivor.clone(), *fence), (retired, *retired_fence)]
        }
        Ownership::CreateCollection { .. }
        | Ownership::AssignAuthority { .. }
        | Ownership::ReassignAuthority { .. }
        | Ownership::CreateRange(_)
        | Ownership::Force { .. } => Vec::new(),
    }
}

impl Watched {
    fn now(&self) {
        self.monitor.digest(&self.life, self.inner.applied(), self.inner.digest());
    }
}

impl ControlPlaneStateMachine for Watched {
    fn applied(&self) -> ControlPlaneLogIndex {
        self.inner.applied()
    }

    fn apply(&self, position: LogPosition, entry: &ControlPlaneEntry) -> Result<(), Halt> {
        self.monitor.applies(&self.life, position, Some(entry));
        self.inner.apply(position, entry)?;
        // A retry of a request is answered with what the first had done, and does nothing.
        if let Some(change) = self.inner.change(position.index)
            && !change.repeated
            && let Verdict::Done(effect) = &change.verdict
        {
            let command = change.request.as_ref().map(|request| &request.command);
            self.monitor.accepted(&self.life, position.index, command.map(fences).unwrap_or_default());
            self.monitor.effect(&self.life, position.index, effect);
        }
        if position.index.0.is_multiple_of(LOOKED_AT_EVERY) {
            let now = self.inner.read(Catalog::clone);
            let verdict = locked(&self.invariants).becomes(now, &format!("n{} at {position}", self.life.slot()));
            self.monitor.judge(verdict);
        }
        self.now();
        Ok(())
    }

    fn skip(&self, position: LogPosition) -> Result<(), Halt> {
        self.monitor.applies(&self.life, position, None);
        self.inner.skip(position)?;
        self.now();
        Ok(())
    }

    fn wanted_quorum(&self) -> Quorum {
        self.inner.wanted_quorum()
    }

    fn digest(&self) -> StateDigest {
        let StateDigest(mut digest) = self.inner.digest();
        if let Some(first) = digest.first_mut() {
            *first ^= self.life.drift();
        }
        StateDigest(digest)
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt> {
        self.inner.snapshot()
    }

    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt> {
        let booting = !self.booted.swap(true, Ordering::SeqCst);
        let (monitor, life) = (Arc::clone(&self.monitor), Arc::clone(&self.life));
        Ok(Box::new(Restoring { inner: self.inner.restore()?, monitor, life, booting }))
    }
}

#[derive(Debug)]
struct Restoring {
    inner: Box<dyn SnapshotWriter>,
    monitor: Arc<Monitor>,
    life: Arc<Life>,
    booting: bool,
}

impl SnapshotWriter for Restoring {
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.inner.push(chunk)
    }

    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, digest: StateDigest) -> Result<(), SnapshotError> {
        self.inner.finish(index, digest)?;
        self.monitor.restored(&self.life, index, digest, self.booting);
        Ok(())
    }

    fn check(self: Box<Self>, digest: StateDigest) -> Result<(), SnapshotError> {
        self.inner.check(digest)
    }
}
