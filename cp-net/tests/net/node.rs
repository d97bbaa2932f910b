//! A node as the transport sees one: a receiver that notes what it is given.

use crate::support::{CLUSTER, Pki, eventually};
use bytes::Bytes;
use cp_net::tls::Credentials;
use cp_net::{PeerStatus, Settings, Transport};
use cp_seam::{
    ControlPlaneLogIndex, Generation, Incarnation, Lane, LogPosition, MemberId, MemberKind, PeerHello, PeerReceiver,
    PeerRefusal, PeerTransport, QuorumMember, Term,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) hello: PeerHello,
    pub(crate) refusal: Mutex<Option<PeerRefusal>>,
    pub(crate) admitted: Mutex<Vec<PeerHello>>,
    pub(crate) frames: Mutex<Vec<(Incarnation, Bytes)>>,
    /// How often it was asked who it is: once per handshake.
    pub(crate) handshakes: AtomicU64,
}

impl PeerReceiver for Receiver {
    fn hello(&self) -> PeerHello {
        self.handshakes.fetch_add(1, Relaxed);
        self.hello.clone()
    }

    fn admit(&self, hello: &PeerHello) -> Result<(), PeerRefusal> {
        self.admitted.lock().unwrap().push(hello.clone());
        self.refusal.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn receive(&self, from: Incarnation, frame: Bytes) {
        self.frames.lock().unwrap().push((from, frame));
    }
}

pub(crate) fn hello(number: u64) -> PeerHello {
    PeerHello {
        cluster: CLUSTER,
        generation: Generation { number: 1, id: [5; 8] },
        member: MemberId::new(&format!("n{number}")).unwrap(),
        incarnation: Incarnation(number),
        engine: "openraft".to_owned(),
        wire_versions: cp_seam::WireVersions::only(1),
        boot: 7,
        tail: LogPosition::new(Term(3), ControlPlaneLogIndex(40)),
        members: Bytes::new(),
    }
}

/// Impatient, so that tests are quick.
pub(crate) fn quick() -> Settings {
    Settings {
        backoff_first: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        unsent_age_max: Duration::from_secs(5),
        probe_interval: Duration::from_millis(20),
        ..Settings::default()
    }
}

pub(crate) struct Node {
    pub(crate) transport: Transport,
    pub(crate) receiver: Arc<Receiver>,
}

impl Node {
    pub(crate) async fn start(pki: &Pki, number: u64) -> Self {
        Self::start_with(pki.member(&format!("n{number}")), hello(number), quick(), LOCAL).await
    }

    pub(crate) async fn start_with(own: Credentials, hello: PeerHello, settings: Settings, at: SocketAddr) -> Self {
        let transport = Transport::bind(at, own, settings).await.unwrap();
        let receiver = Arc::new(Receiver {
            hello,
            refusal: Mutex::default(),
            admitted: Mutex::default(),
            frames: Mutex::default(),
            handshakes: AtomicU64::new(0),
        });
        transport.attach(receiver.clone());
        Self { transport, receiver }
    }

    pub(crate) fn member(&self) -> QuorumMember {
        self.member_at(self.transport.local_addr())
    }

    pub(crate) fn member_at(&self, address: SocketAddr) -> QuorumMember {
        let PeerHello { incarnation, member, .. } = self.receiver.hello.clone();
        QuorumMember { incarnation, id: member, kind: MemberKind::Data, address: address.to_string() }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.receiver.hello.incarnation
    }

    pub(crate) fn send(&self, to: &Self, lane: Lane, frame: impl Into<Bytes>) {
        self.transport.send(to.incarnation(), lane, frame.into()).unwrap();
    }

    pub(crate) fn frames(&self) -> Vec<(Incarnation, Bytes)> {
        self.receiver.frames.lock().unwrap().clone()
    }

    pub(crate) async fn received(&self, count: usize) -> Vec<(Incarnation, Bytes)> {
        eventually("that many frames", || Some(self.frames()).filter(|frames| frames.len() >= count)).await
    }

    pub(crate) fn status(&self) -> Option<PeerStatus> {
        self.transport.status().pop()
    }

    /// Both lanes to its one peer are up.
    pub(crate) async fn connected(&self) -> PeerStatus {
        eventually("connected", || self.status().filter(|peer| peer.consensus.connected && peer.bulk.connected)).await
    }

    /// The reason why its one peer is out of reach.
    pub(crate) async fn disconnected(&self) -> PeerStatus {
        eventually("an error", || self.status().filter(|peer| peer.consensus.error.is_some())).await
    }

    /// The sentence about an inbound connection that was refused.
    pub(crate) async fn refused_inbound(&self) -> (String, String) {
        eventually("an inbound refusal", || self.transport.refusals().list().pop()).await
    }
}

/// Both serve each other.
pub(crate) fn introduce(a: &Node, b: &Node) {
    a.transport.serve(vec![b.member()]);
    b.transport.serve(vec![a.member()]);
}
