//! What the connections share: who is served, who receives, and which inbound
//! connection is a peer's current one.
//!
//! Invariants:
//! - A frame is delivered only for a ticket that is valid at that moment. A
//!   ticket is given after `PeerReceiver::admit`, and dies with the receiver that
//!   admitted it, with the peer's place among the served, and with the next
//!   ticket of the same peer and lane.
//! - The lock is never held while the receiver or an engine is called.

use crate::handshake::{Refusal, not_a_member};
use crate::link::Link;
use crate::queue::Full;
use crate::status::PeerStatus;
use crate::tls::{Closer, Credentials, Refusals};
use crate::transport::Settings;
use bytes::Bytes;
use cp_seam::transport::FRAME_MAX_BYTES;
use cp_seam::{Incarnation, Lane, PeerHello, PeerReceiver, QuorumMember, SendRefusal};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::error;

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) own: Credentials,
    pub(crate) settings: Settings,
    pub(crate) closer: Closer,
    pub(crate) refusals: Refusals,
    runtime: Handle,
    state: Mutex<State>,
    /// Moves whenever a ticket may have died.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    receiver: Option<Arc<dyn PeerReceiver>>,
    peers: BTreeMap<Incarnation, Peer>,
    tickets: u64,
    detached: bool,
}

/// A served peer. Its links run while there is a receiver.
#[derive(Debug)]
struct Peer {
    link: Arc<Link>,
    inbound: Tickets,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tickets {
    consensus: Option<u64>,
    bulk: Option<u64>,
}

impl Tickets {
    fn lane(&mut self, lane: Lane) -> &mut Option<u64> {
        match lane {
            Lane::Consensus => &mut self.consensus,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

/// The right of one inbound connection to deliver frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) from: Incarnation,
    lane: Lane,
    number: u64,
}

impl Hub {
    pub(crate) fn new(own: Credentials, settings: Settings, closer: Closer, refusals: Refusals) -> Self {
        let (runtime, changes) = (Handle::current(), watch::Sender::new(0));
        Self { own, settings, closer, refusals, runtime, state: Mutex::default(), changes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|change| *change += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn receiver(&self) -> Option<Arc<dyn PeerReceiver>> {
        self.state().receiver.clone()
    }

    /// What was admitted was admitted by the earlier receiver: all is made anew.
    pub(crate) fn attach(self: &Arc<Self>, receiver: Arc<dyn PeerReceiver>) {
        let mut state = self.state();
        if state.detached {
            drop(state);
            error!("attached to a transport that is closed: nothing will be received");
            return;
        }
        let earlier = state.receiver.replace(receiver);
        for peer in state.peers.values_mut() {
            peer.inbound = Tickets::default();
            peer.link.start(self, &self.runtime);
        }
        drop(state);
        drop(earlier);
        self.changed();
    }

    pub(crate) fn detach(&self) {
        let mut state = self.state();
        state.detached = true;
        let receiver = state.receiver.take();
        let peers = std::mem::take(&mut state.peers);
        drop(state);
        for peer in peers.values() {
            peer.link.stop();
        }
        drop(receiver);
        self.changed();
        self.closer.close();
    }

    pub(crate) fn serve(self: &Arc<Self>, members: Vec<QuorumMember>) {
        let own = self.own.name().as_member();
        let mut state = self.state();
        if state.detached {
            return;
        }
        let mut before = std::mem::take(&mut state.peers);
        let others = members.into_iter().filter(|member| Some(&member.id) != own);
        for member in others {
            let incarnation = member.incarnation;
            // One whose address has changed stays in `before`, and is stopped with those that are gone.
            let same = before.get(&incarnation).is_some_and(|peer| peer.link.peer == member);
            let kept = if same { before.remove(&incarnation) } else { None };
            let peer = kept.unwrap_or_else(|| Peer {
                link: Arc::new(Link::new(member, &self.own, &self.settings)),
                inbound: Tickets::default(),
            });
            if state.receiver.is_some() {
                peer.link.start_or_wake(self, &self.runtime);
            }
            if let Some(twice) = state.peers.insert(incarnation, peer) {
                twice.link.stop();
            }
        }
        drop(state);
        for gone in before.values() {
            gone.link.stop();
        }
        self.changed();
    }

    pub(crate) fn send(&self, to: Incarnation, lane: Lane, frame: Bytes) -> Result<(), SendRefusal> {
        if frame.len() > FRAME_MAX_BYTES {
            return Err(SendRefusal::TooLong(frame.len()));
        }
        let state = self.state();
        if state.detached {
            return Err(SendRefusal::Closed);
        }
        let peer = state.peers.get(&to).ok_or(SendRefusal::UnknownPeer(to))?;
        peer.link.queue(lane).push(frame).map_err(|Full| SendRefusal::Full(to))
    }

    /// Lets in a node that was judged and admitted by `receiver`.
    pub(crate) fn admit(
        &self,
        hello: &PeerHello,
        lane: Lane,
        receiver: &Arc<dyn PeerReceiver>,
    ) -> Result<Ticket, Refusal> {
        let mut state = self.state();
        if !state.receiver.as_ref().is_some_and(|current| Arc::ptr_eq(current, receiver)) {
            return Err(Refusal::NotReady);
        }
        let number = state.tickets + 1;
        let served = state.peers.get_mut(&hello.incarnation).filter(|peer| peer.link.peer.id == hello.member);
        let peer = served.ok_or_else(|| not_a_member(hello))?;
        *peer.inbound.lane(lane) = Some(number);
        // It can be reached again, most likely.
        peer.link.wake(lane);
        state.tickets = number;
        drop(state);
        self.changed();
        Ok(Ticket { from: hello.incarnation, lane, number })
    }

    /// The receiver, while the ticket is valid.
    pub(crate) fn redeem(&self, ticket: Ticket) -> Option<Arc<dyn PeerReceiver>> {
        let mut state = self.state();
        let peer = state.peers.get_mut(&ticket.from)?;
        if *peer.inbound.lane(ticket.lane) != Some(ticket.number) {
            return None;
        }
        state.receiver.clone()
    }

    /// The connection of the ticket is gone.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let mut state = self.state();
        if let Some(peer) = state.peers.get_mut(&ticket.from) {
            peer.inbound.lane(ticket.lane).take_if(|number| *number == ticket.number);
        }
    }

    pub(crate) fn status(&self) -> Vec<PeerStatus> {
        let state = self.state();
        state.peers.values().map(|peer| peer.link.status(peer.inbound.consensus.is_some())).collect()
    }
}
