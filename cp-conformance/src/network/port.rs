//! One life's end of the network.

use super::{Endpoint, Flight, Network};
use crate::life::Life;
use crate::sync::locked;
use bytes::Bytes;
use cp_seam::transport::FRAME_MAX_BYTES;
use cp_seam::{Incarnation, Lane, PeerReceiver, PeerTransport, QuorumMember, SendRefusal};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Port {
    pub(super) network: Network,
    pub(super) me: Incarnation,
    pub(super) life: Arc<Life>,
}

impl Port {
    /// This life's endpoint; a later life's is not ours to touch.
    fn endpoint<T>(&self, change: impl FnOnce(&mut Endpoint) -> T) -> Option<T> {
        let mut state = locked(&self.network.state);
        state.endpoints.get_mut(&self.me).filter(|e| e.life.number() == self.life.number()).map(change)
    }
}

impl PeerTransport for Port {
    fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        drop(self.endpoint(|e| e.receiver.replace(receiver)));
    }

    fn detach(&self) {
        if !self.life.goes_on() {
            return;
        }
        drop(self.endpoint(|e| e.receiver.take()));
        locked(&self.network.state).links.retain(|(a, b), _| *a != self.me && *b != self.me);
    }

    fn serve(&self, peers: Vec<QuorumMember>) {
        self.endpoint(|e| e.served = peers.iter().map(|p| p.incarnation).collect()).unwrap_or_default();
    }

    fn send(&self, to: Incarnation, _lane: Lane, frame: Bytes) -> Result<(), SendRefusal> {
        if frame.len() > FRAME_MAX_BYTES {
            return Err(SendRefusal::TooLong(frame.len()));
        }
        let served = self.endpoint(|e| e.receiver.is_some().then(|| e.served.contains(&to)));
        if !self.life.goes_on() {
            return Err(SendRefusal::Closed);
        }
        match served.flatten() {
            None => return Err(SendRefusal::Closed),
            Some(false) => return Err(SendRefusal::UnknownPeer(to)),
            Some(true) => {}
        }
        let wiretap = locked(&self.network.state).wiretap.clone();
        if let Some(wiretap) = &wiretap {
            wiretap.leaving(&self.life, to, &frame);
            if !self.life.goes_on() {
                return Err(SendRefusal::Closed);
            }
        }
        let mut state = locked(&self.network.state);
        *state.sent.entry(self.life.slot()).or_default() += 1;
        let number = state.endpoints.get(&to).map_or(0, |e| e.life.number());
        state.launch(Flight { from: self.me, to, lives: (self.life.number(), number), frame: frame.clone() });
        drop(state);
        self.network.wake.notify_one();
        if let Some(wiretap) = wiretap {
            wiretap.left(&self.life, to, &frame);
        }
        Ok(())
    }
}
