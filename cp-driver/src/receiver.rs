//! The node as its transport sees it: handshakes and inbound frames.

use crate::engine::Engine;
use crate::host::Host;
use crate::snapshots::receive;
use crate::wire::{Body, Envelope};
use bytes::Bytes;
use cp_seam::{ControlPlaneLogIndex, Incarnation, PeerHello, PeerReceiver, PeerRefusal, StateDigest};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) host: Arc<Host>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) name: &'static str,
}

impl PeerReceiver for Receiver {
    fn hello(&self) -> PeerHello {
        let identity = &self.host.identity;
        PeerHello {
            cluster: identity.cluster,
            generation: identity.generation,
            member: identity.member.clone(),
            incarnation: identity.incarnation,
            engine: self.name.to_owned(),
            wire_versions: self.host.wire_versions,
            boot: self.host.store().boot(),
            tail: self.host.store().durable().borrow().last,
            members: self.host.members(),
        }
    }

    fn admit(&self, hello: &PeerHello) -> Result<(), PeerRefusal> {
        let identity = &self.host.identity;
        let member = hello.member.clone();
        if hello.cluster != identity.cluster {
            return Err(PeerRefusal::Cluster { member, theirs: hello.cluster, ours: identity.cluster });
        }
        if hello.generation != identity.generation {
            return Err(PeerRefusal::Generation { member, theirs: hello.generation, ours: identity.generation });
        }
        if hello.engine != self.name {
            return Err(PeerRefusal::Engine { member, theirs: hello.engine.clone(), ours: self.name.to_owned() });
        }
        let (theirs, ours) = (hello.wire_versions, self.host.wire_versions);
        if !theirs.overlap(ours) {
            return Err(PeerRefusal::WireVersion { member, theirs, ours });
        }
        self.host.introduced(hello);
        if !self.host.is_served(hello) {
            return Err(PeerRefusal::NotAMember { member, incarnation: hello.incarnation });
        }
        #[cfg(planted_bugs)]
        if cp_seam::planted::active(cp_seam::planted::Bug::WipedMemberVotes) {
            return Ok(());
        }
        let acknowledged = self.host.acknowledged_by(hello.incarnation);
        if hello.tail < acknowledged {
            return Err(PeerRefusal::Amnesia { member, tail: hello.tail, acknowledged });
        }
        let (boot, seen) = (hello.boot, self.host.boot_seen(hello.incarnation, hello.boot));
        if boot < seen {
            return Err(PeerRefusal::PutBack { member, boot, seen });
        }
        Ok(())
    }

    fn receive(&self, from: Incarnation, frame: Bytes) {
        if self.host.halted().is_some() {
            return;
        }
        let envelope = match Envelope::read(frame) {
            Ok(envelope) => envelope,
            Err(error) => return tracing::warn!(%from, %error, "a frame was dropped"),
        };
        if let Ok(digest) = <[u8; 32]>::try_from(envelope.digest.as_ref()) {
            self.host.note_digest(from, ControlPlaneLogIndex(envelope.applied), StateDigest(digest));
        }
        if self.host.halted().is_some() {
            return;
        }
        match envelope.body {
            Some(Body::Engine(message)) => self.engine.receive(from, message),
            Some(Body::Offer(offer)) => receive::offered(&self.host, &self.engine, from, offer),
            Some(Body::Pull(pull)) => self.host.pulled(from, pull),
            Some(Body::Chunk(chunk)) => self.host.transfers.arrived(from, chunk),
            Some(Body::Ended(ended)) => self.host.transfers.ended(from, ended),
            Some(Body::Majority(majority)) => {
                if let Ok(digest) = <[u8; 32]>::try_from(majority.digest.as_ref()) {
                    let index = ControlPlaneLogIndex(majority.index);
                    self.host.note_majority(index, StateDigest(digest), &majority.differing);
                }
            }
            None => {}
        }
    }
}
