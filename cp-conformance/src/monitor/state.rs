//! The state machine of one life, watched: what it is fed, and what it becomes.

use super::Monitor;
use crate::checks::invariants::Invariants;
use crate::life::Life;
use crate::sync::locked;
use bytes::Bytes;
use cp_catalog::{
    Catalog, CatalogMachine, Command, Fence, MembershipCommand, OwnershipCommand, RangeKey, Request, Verdict,
};
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
    pub(crate) invariants: Arc<Mutex<Invariants>>,
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

/// Whether the step of `entry` is looked at alone. What a member may own is judged by the state
/// in which it was given that, or by the range that another was cut from: a member that may own
/// nothing any more, and a range that was cut, say nothing of how things were some steps before.
fn is_judged_alone(entry: &ControlPlaneEntry) -> bool {
    use MembershipCommand as Membership;
    match Request::from_entry(entry).map(|request| request.command) {
        Ok(Command::Ownership(command)) => matches!(command, OwnershipCommand::Split { .. }),
        Ok(Command::Membership(command)) => {
            matches!(command, Membership::Drain { .. } | Membership::Replace { .. } | Membership::Remove { .. })
        }
        Err(_) => false,
    }
}

impl Watched {
    fn look(&self, when: &str, position: LogPosition) {
        let now = self.inner.read(Catalog::clone);
        let verdict = locked(&self.invariants).becomes(now, &format!("n{} {when} {position}", self.life.slot()));
        self.monitor.judge(verdict);
    }

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
        let alone = is_judged_alone(entry);
        if alone {
            self.look("before", position);
        }
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
        if alone || position.index.0.is_multiple_of(LOOKED_AT_EVERY) {
            self.look("at", position);
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
        let invariants = Arc::clone(&self.invariants);
        Ok(Box::new(Restoring { inner: self.inner.restore()?, monitor, life, booting, invariants }))
    }
}

#[derive(Debug)]
struct Restoring {
    inner: Box<dyn SnapshotWriter>,
    monitor: Arc<Monitor>,
    life: Arc<Life>,
    booting: bool,
    invariants: Arc<Mutex<Invariants>>,
}

impl SnapshotWriter for Restoring {
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.inner.push(chunk)
    }

    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, digest: StateDigest) -> Result<(), SnapshotError> {
        self.inner.finish(index, digest)?;
        locked(&self.invariants).begin_anew();
        self.monitor.restored(&self.life, index, digest, self.booting);
        Ok(())
    }

    fn check(self: Box<Self>, digest: StateDigest) -> Result<(), SnapshotError> {
        self.inner.check(digest)
    }
}
