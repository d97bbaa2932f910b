//! The peer transport over real sockets.

use crate::accepted::PeerService;
use crate::hub::Hub;
use crate::status::PeerStatus;
use crate::tls::{Accepts, BindError, Credentials, Listener, Refusals};
use bytes::Bytes;
use cp_seam::transport::FRAME_MAX_BYTES;
use cp_seam::{Incarnation, Lane, PeerReceiver, PeerTransport, QuorumMember, SendRefusal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Server;
use tracing::error;

/// How patient a [`Transport`] is and how much it holds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long connecting to a peer may take, handshakes included.
    pub connect_timeout: Duration,
    /// The first wait between two tries to connect; it doubles.
    pub backoff_first: Duration,
    /// The longest such wait.
    pub backoff_max: Duration,
    /// How often a silent connection is probed.
    pub keepalive_interval: Duration,
    /// How long such a probe may stay unanswered before the peer counts as gone.
    pub keepalive_timeout: Duration,
    /// How often the round trip is measured.
    pub probe_interval: Duration,
    /// How old a frame may be when a connection comes about; older ones are dropped.
    pub unsent_age_max: Duration,
    /// How many frames may wait for a peer on the consensus lane.
    pub consensus_frames_max: usize,
    /// How many bytes may.
    pub consensus_bytes_max: usize,
    /// How many frames may wait for a peer on the bulk lane.
    pub bulk_frames_max: usize,
    /// How many bytes may.
    pub bulk_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(3),
            probe_interval: Duration::from_secs(1),
            unsent_age_max: Duration::from_millis(200),
            consensus_frames_max: 4096,
            consensus_bytes_max: 8 * FRAME_MAX_BYTES,
            bulk_frames_max: 64,
            bulk_bytes_max: 4 * FRAME_MAX_BYTES,
        }
    }
}

/// How much a peer may send ahead of being read: a frame and then some.
const WINDOW_BYTES: u32 = 8 << 20;

/// Carries frames to the other members over gRPC with mutual TLS.
///
/// Each node dials each peer that it serves, once per lane, and sends over what
/// it dialled; what the peer sends comes in over what the peer dialled. Before
/// the first frame both ends have proved their names by certificate and judged
/// each other's hello: cluster, generation, engine, wire version, then
/// [`PeerReceiver::admit`]. Whichever refuses says why, and both have the
/// sentence: in the log, in [`status`](Self::status) where it dialled, in
/// [`refusals`](Self::refusals) where it was dialled. Only the dialler keeps that
/// another life of the member runs at its address: while one replaces the other,
/// that is no fault.
///
/// A connection that breaks is made anew, with growing pauses; the pause ends
/// early when `serve` is called or when that peer has connected. Frames that
/// waited longer than a moment for a connection are dropped, not sent late.
///
/// After [`detach`](PeerTransport::detach) it is closed for good; dropping it
/// detaches. All of its tasks run on the runtime it was bound in.
#[derive(Debug)]
pub struct Transport {
    hub: Arc<Hub>,
    address: SocketAddr,
}

impl Transport {
    /// Listens on `address` (port 0 takes a free one) as the member whose
    /// certificate `own` is. Call it within the tokio runtime that is to run it.
    ///
    /// Peers are answered *not ready* until a receiver is attached.
    pub async fn bind(address: SocketAddr, own: Credentials, settings: Settings) -> Result<Self, BindError> {
        if own.name().as_member().is_none() {
            return Err(BindError::NotAMember { name: own.name().to_string() });
        }
        let listener = Listener::bind(address, own.clone(), Accepts::Members).await?;
        let (address, closer) = (listener.local_addr(), listener.closer());
        let server = Server::builder()
            .http2_keepalive_interval(Some(settings.keepalive_interval))
            .http2_keepalive_timeout(Some(settings.keepalive_timeout))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(4);
        let hub = Arc::new(Hub::new(own, settings, closer.clone(), listener.refusals()));
        let service = PeerService::new(hub.clone());
        let hold = closer.hold();
        tokio::spawn(async move {
            let served = Box::pin(server.serve_with_incoming(service, listener.incoming())).await;
            if let Err(error) = served {
                error!(%error, "the peer server stopped; no peer can reach this node");
            }
            drop(hold);
        });
        Ok(Self { hub, address })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How the connections to each served peer are doing, by incarnation.
    pub fn status(&self) -> Vec<PeerStatus> {
        self.hub.status()
    }

    /// Who was refused lately when they connected to this node, and why.
    pub fn refusals(&self) -> Refusals {
        self.hub.refusals.clone()
    }

    /// Waits until a detached transport has let go of its port, its connections
    /// and its tasks.
    pub async fn closed(&self) {
        self.hub.closer.closed().await;
    }
}

impl PeerTransport for Transport {
    fn attach(&self, receiver: Arc<dyn PeerReceiver>) {
        self.hub.attach(receiver);
    }

    fn detach(&self) {
        self.hub.detach();
    }

    fn serve(&self, peers: Vec<QuorumMember>) {
        self.hub.serve(peers);
    }

    fn send(&self, to: Incarnation, lane: Lane, frame: Bytes) -> Result<(), SendRefusal> {
        self.hub.send(to, lane, frame)
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.hub.detach();
    }
}
