//! A state machine that keeps every payload, and takes its wanted quorum from
//! membership payloads such as `1,2,3;4`: voters, then learners.

use super::quorum_member;
use bytes::Bytes;
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneStateMachine, Halt, LogPosition, Quorum, SnapshotError,
    SnapshotReader, SnapshotWriter, StateDigest,
};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Inner>>);

#[derive(Debug, Clone, Default)]
struct Inner {
    applied: ControlPlaneLogIndex,
    lines: Vec<String>,
}

impl Inner {
    fn digest(&self) -> StateDigest {
        let mut digest = StateDigest::default();
        for (i, byte) in self.lines.join("\n").bytes().enumerate() {
            let slot = &mut digest.0[i % 32];
            *slot = slot.wrapping_mul(31).wrapping_add(byte);
        }
        digest
    }
}

impl Kept {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics in here")
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.inner().lines.clone()
    }
}

impl ControlPlaneStateMachine for Kept {
    fn applied(&self) -> ControlPlaneLogIndex {
        self.inner().applied
    }

    fn apply(&self, position: LogPosition, entry: &ControlPlaneEntry) -> Result<(), Halt> {
        let mut inner = self.inner();
        assert_eq!(position.index, inner.applied.next(), "in order, once");
        inner.applied = position.index;
        let text = String::from_utf8_lossy(entry.payload().as_bytes()).into_owned();
        inner.lines.push(match entry {
            ControlPlaneEntry::MembershipChange(_) => format!("m:{text}"),
            ControlPlaneEntry::OwnershipTransition(_) => format!("o:{text}"),
        });
        Ok(())
    }

    fn skip(&self, position: LogPosition) -> Result<(), Halt> {
        self.inner().applied = position.index;
        Ok(())
    }

    fn wanted_quorum(&self) -> Quorum {
        let lines = self.lines();
        let Some(newest) = lines.iter().rev().find_map(|line| line.strip_prefix("m:")) else {
            return Quorum::default();
        };
        let members = |ids: &str| ids.split(',').filter_map(|id| id.parse().ok()).map(quorum_member).collect();
        let (voters, learners) = newest.split_once(';').unwrap_or((newest, ""));
        Quorum { voters: members(voters), learners: members(learners) }
    }

    fn digest(&self) -> StateDigest {
        self.inner().digest()
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt> {
        let inner = self.inner().clone();
        let chunks = inner.lines.iter().rev().map(|line| Bytes::from(line.clone())).collect();
        Ok(Box::new(Reader { inner, chunks }))
    }

    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt> {
        Ok(Box::new(Writer { into: self.clone(), lines: Vec::new() }))
    }
}

#[derive(Debug)]
struct Reader {
    inner: Inner,
    chunks: Vec<Bytes>,
}

impl SnapshotReader for Reader {
    fn index(&self) -> ControlPlaneLogIndex {
        self.inner.applied
    }

    fn digest(&self) -> StateDigest {
        self.inner.digest()
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Halt> {
        Ok(self.chunks.pop())
    }
}

#[derive(Debug)]
struct Writer {
    into: Kept,
    lines: Vec<String>,
}

impl SnapshotWriter for Writer {
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.lines.push(String::from_utf8_lossy(&chunk).into_owned());
        Ok(())
    }

    fn finish(self: Box<Self>, applied: ControlPlaneLogIndex, expected: StateDigest) -> Result<(), SnapshotError> {
        let inner = Inner { applied, lines: self.lines };
        let found = inner.digest();
        if found != expected {
            return Err(SnapshotError::Digest { expected, found });
        }
        *self.into.inner() = inner;
        Ok(())
    }

    fn check(self: Box<Self>, _digest: StateDigest) -> Result<(), SnapshotError> {
        Ok(())
    }
}
