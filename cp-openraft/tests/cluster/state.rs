//! A state machine small enough to read: a list of texts, and a wanted quorum.

use bytes::Bytes;
use cp_seam::{
    ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, ControlPlaneStateMachine, Halt, Incarnation,
    LogPosition, MemberId, MemberKind, Quorum, QuorumMember, SnapshotError, SnapshotReader, SnapshotWriter,
    StateDigest,
};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Default)]
pub(crate) struct Texts(Arc<Mutex<Inner>>);

#[derive(Debug, Clone, Default, PartialEq)]
struct Inner {
    applied: u64,
    quorum: String,
    texts: Vec<String>,
}

/// `voters;learners`, each a list of incarnations; a witness has a `w` behind it.
pub(crate) fn quorum(text: &str) -> Quorum {
    let member = |part: &str| {
        let number = part.trim_end_matches('w');
        QuorumMember {
            incarnation: Incarnation(number.parse().expect("a number")),
            id: MemberId::new(&format!("m{number}")).expect("legal"),
            kind: if part.ends_with('w') { MemberKind::Witness } else { MemberKind::Data },
            address: format!("host-{number}:1"),
        }
    };
    let list = |part: &str| part.split(',').filter(|p| !p.is_empty()).map(member).collect();
    let (voters, learners) = text.split_once(';').expect("two lists");
    Quorum { voters: list(voters), learners: list(learners) }
}

pub(crate) fn text(text: &str) -> ControlPlaneEntry {
    ControlPlaneEntry::OwnershipTransition(ControlPlanePayload::new(text.to_owned()).expect("short"))
}

pub(crate) fn want(quorum: &str) -> ControlPlaneEntry {
    ControlPlaneEntry::MembershipChange(ControlPlanePayload::new(quorum.to_owned()).expect("short"))
}

impl Inner {
    fn image(&self) -> String {
        format!("{}\n{}", self.quorum, self.texts.join("\n"))
    }

    fn digest(&self) -> StateDigest {
        let mut digest = [0; 32];
        for (n, byte) in self.image().bytes().enumerate() {
            let slot = &mut digest[n % 32];
            *slot = u8::wrapping_mul(*slot, 31).wrapping_add(byte);
        }
        StateDigest(digest)
    }
}

impl Texts {
    pub(crate) fn founding(quorum: &str) -> (Bytes, StateDigest) {
        let inner = Inner { quorum: quorum.to_owned(), ..Inner::default() };
        (inner.image().into(), inner.digest())
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("unpoisoned").texts.clone()
    }
}

impl ControlPlaneStateMachine for Texts {
    fn applied(&self) -> ControlPlaneLogIndex {
        ControlPlaneLogIndex(self.0.lock().expect("unpoisoned").applied)
    }

    fn apply(&self, position: LogPosition, entry: &ControlPlaneEntry) -> Result<(), Halt> {
        let mut inner = self.0.lock().expect("unpoisoned");
        assert_eq!(position.index.0, inner.applied + 1);
        inner.applied += 1;
        let body = String::from_utf8(entry.payload().as_bytes().to_vec()).expect("text");
        match entry {
            ControlPlaneEntry::MembershipChange(_) => inner.quorum = body,
            ControlPlaneEntry::OwnershipTransition(_) => inner.texts.push(body),
        }
        Ok(())
    }

    fn skip(&self, position: LogPosition) -> Result<(), Halt> {
        let mut inner = self.0.lock().expect("unpoisoned");
        assert_eq!(position.index.0, inner.applied + 1);
        inner.applied += 1;
        Ok(())
    }

    fn wanted_quorum(&self) -> Quorum {
        let inner = self.0.lock().expect("unpoisoned");
        if inner.quorum.is_empty() { Quorum::default() } else { quorum(&inner.quorum) }
    }

    fn digest(&self) -> StateDigest {
        self.0.lock().expect("unpoisoned").digest()
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotReader>, Halt> {
        Ok(Box::new(Reader { state: self.0.lock().expect("unpoisoned").clone(), read: false }))
    }

    fn restore(&self) -> Result<Box<dyn SnapshotWriter>, Halt> {
        Ok(Box::new(Writer { into: self.clone(), image: Vec::new() }))
    }
}

#[derive(Debug)]
struct Reader {
    state: Inner,
    read: bool,
}

impl SnapshotReader for Reader {
    fn index(&self) -> ControlPlaneLogIndex {
        ControlPlaneLogIndex(self.state.applied)
    }

    fn digest(&self) -> StateDigest {
        self.state.digest()
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Halt> {
        let first = !std::mem::replace(&mut self.read, true);
        Ok(first.then(|| self.state.image().into()))
    }
}

#[derive(Debug)]
struct Writer {
    into: Texts,
    image: Vec<u8>,
}

impl SnapshotWriter for Writer {
    fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        self.image.extend(chunk);
        Ok(())
    }

    fn finish(self: Box<Self>, index: ControlPlaneLogIndex, digest: StateDigest) -> Result<(), SnapshotError> {
        let image = String::from_utf8(self.image).expect("text");
        let (quorum, texts) = image.split_once('\n').expect("a quorum");
        let texts = if texts.is_empty() { Vec::new() } else { texts.split('\n').map(str::to_owned).collect() };
        let inner = Inner { applied: index.0, quorum: quorum.to_owned(), texts };
        if inner.digest() != digest {
            return Err(SnapshotError::Digest { expected: digest, found: inner.digest() });
        }
        *self.into.0.lock().expect("unpoisoned") = inner;
        Ok(())
    }

    fn check(self: Box<Self>, _digest: StateDigest) -> Result<(), SnapshotError> {
        Ok(())
    }
}
