//! A state machine that counts.

use bytes::Bytes;
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, Halt, LogPosition, Quorum, QuorumMember,
    SnapshotError, SnapshotReader, SnapshotWriter, StateDigest,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone)]
pub(crate) struct Count {
    applied: Arc<AtomicU64>,
    only: QuorumMember,
}

impl Count {
    pub(crate) fn new(only: QuorumMember) -> Self {
        Self { applied: Arc::default(), only }
    }

    fn count(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }
}

pub(crate) fn image(applied: u64) -> Bytes {
    Bytes::copy_from_slice(&applied.to_le_bytes())
}

pub(crate) fn digest(applied: u64) -> StateDigest {
    let mut digest = StateDigest::default();
    digest.0.iter_mut().zip(applied.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
    digest
}

impl ControlPlaneStateMachine for Count {
    fn applied(&self) -> ControlPlaneLogIndex {
        ControlPlaneLogIndex(self.count())
    }

    fn apply(&self, position: LogPosition, _entry: &ControlPlaneEntry) -> Result<(), Halt> {
        self.skip(position)
    }

    fn skip(&self, position: LogPosition) -> Result<(), Halt> {
        self.applied.store(position.index.0, Ordering::Release);
        Ok(())
    }

    fn wanted_quorum(&self) -> Quorum {
        Quorum { voters: vec![self.only.clone()], learners: Vec::new() }
    }

    fn digest(&self) -> StateDigest {
        digest(self.count())
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt> {
        let applied = self.count();
        Ok(Box::new(Capture { applied, image: Some(image(applied)) }))
    }

    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt> {
        Ok(Box::new(Restore(self.clone())))
    }
}

#[derive(Debug)]
struct Capture {
    applied: u64,
    image: Option<Bytes>,
}

impl SnapshotReader for Capture {
    fn index(&self) -> ControlPlaneLogIndex {
        ControlPlaneLogIndex(self.applied)
    }

    fn digest(&self) -> StateDigest {
        digest(self.applied)
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Halt> {
        Ok(self.image.take())
    }
}

#[derive(Debug)]
struct Restore(Count);

impl SnapshotWriter for Restore {
    fn push(&mut self, _chunk: Bytes) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, _digest: StateDigest) -> Result<(), SnapshotError> {
        self.0.applied.store(index.0, Ordering::Release);
        Ok(())
    }

    fn check(self: Box<Self>, _digest: StateDigest) -> Result<(), SnapshotError> {
        Ok(())
    }
}
