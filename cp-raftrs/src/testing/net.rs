//! Frames between the nodes of a test, a millisecond late.

use super::audit::audit;
use bytes::Bytes;
use cp_seam::{Incarnation, Lane, PeerReceiver, PeerTransport, QuorumMember, SendRefusal};
use cp_store::MemoryDirectory;
use raft::eraftpb::MessageType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What is attached, and which directed links are cut.
#[derive(Debug, Default)]
pub(crate) struct Net(Mutex<Links>);

#[derive(Debug, Default)]
struct Links {
    too_long: usize,
    audits: bool,
    audited: Vec<MessageType>,
    attached: BTreeMap<u64, Arc<dyn PeerReceiver>>,
    cut: BTreeSet<(u64, u64)>,
}

impl Net {
    fn links(&self) -> MutexGuard<'_, Links> {
        self.0.lock().expect("no test panics in here")
    }

    /// Cuts `node` off, both ways.
    pub(crate) fn isolate(&self, node: u64) {
        let mut links = self.links();
        for other in 1..10 {
            links.cut.insert((node, other));
            links.cut.insert((other, node));
        }
    }

    /// Cuts what `from` sends to `to`.
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.links().cut.insert((from, to));
    }

    pub(crate) fn heal(&self) {
        self.links().cut.clear();
    }

    /// How many frames no transport would have taken.
    pub(crate) fn too_long(&self) -> usize {
        self.links().too_long
    }

    /// From now on every frame is held against its sender's disk. Slow.
    pub(crate) fn audit(&self) {
        self.links().audits = true;
    }

    /// How many frames were.
    pub(crate) fn audited(&self) -> usize {
        self.links().audited.len()
    }

    /// How many of one kind.
    pub(crate) fn sent(&self, kind: MessageType) -> usize {
        self.links().audited.iter().filter(|sent| **sent == kind).count()
    }

    pub(crate) fn forget(&self, node: u64) {
        self.links().attached.remove(&node);
    }
}

/// One node's end of the network.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) net: Arc<Net>,
    pub(crate) me: u64,
    pub(crate) directory: MemoryDirectory,
}

impl PeerTransport for End {
    fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        self.net.links().attached.insert(self.me, receiver);
    }

    fn detach(&self) {
        self.net.forget(self.me);
    }

    fn serve(&self, _peers: Vec<QuorumMember>) {}

    fn send(&self, to: Incarnation, _lane: Lane, frame: Bytes) -> Result<(), SendRefusal> {
        if frame.len() > cp_seam::transport::FRAME_MAX_BYTES {
            self.net.links().too_long += 1;
            return Err(SendRefusal::TooLong(frame.len()));
        }
        let audits = self.net.links().audits;
        if audits && let Some(kind) = audit(self.me, to, frame.clone(), &self.directory) {
            self.net.links().audited.push(kind);
        }
        let (net, me) = (Arc::clone(&self.net), self.me);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let receiver = {
                let links = net.links();
                let cut = links.cut.contains(&(me, to.0)) || !links.attached.contains_key(&me);
                links.attached.get(&to.0).filter(|_| !cut).cloned()
            };
            if let Some(receiver) = receiver {
                receiver.receive(Incarnation(me), frame);
            }
        });
        Ok(())
    }
}
