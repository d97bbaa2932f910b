//! The end that listens: accepts, verifies, and remembers whom it refused.

use super::certificate::peer_identity;
use super::credentials::Credentials;
use super::explain;
use super::name::PeerName;
use super::refusals::Refusals;
use super::stream::{PeerInfo, PeerStream};
use super::verify::server_config;
use bytes::Bytes;
use futures::Stream;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

/// How long a connection may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many may be at it at once; the rest wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 512;

/// Whose certificates a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Members of its own cluster.
    Members,
    /// Members and clients of its own cluster.
    MembersAndClients,
}

impl Accepts {
    pub(super) fn check(self, found: &PeerName, own: &Credentials) -> Result<(), String> {
        let ours = own.name().cluster();
        if found.cluster() != ours {
            return Err(format!(
                "other cluster: the certificate is for {found}, this is cluster {ours}; issue one for this cluster"
            ));
        }
        match (self, found) {
            (Self::Members, PeerName::Client { .. }) => Err(format!(
                "wrong name: the certificate is for the client {found}, this port is for members; use the client port"
            )),
            _ => Ok(()),
        }
    }
}

/// Ends a listener and every stream that came of it.
#[derive(Debug, Clone)]
pub struct Closer {
    closed: Arc<watch::Sender<bool>>,
    /// Makes the parent's [`closed`](Self::closed) wait for this one's streams.
    _parent: Option<watch::Receiver<bool>>,
}

impl Closer {
    pub(crate) fn new() -> Self {
        Self { closed: Arc::new(watch::Sender::new(false)), _parent: None }
    }

    /// Closes fewer streams, which count among this one's.
    pub(crate) fn child(&self) -> Self {
        Self { _parent: Some(self.hold()), ..Self::new() }
    }

    /// Breaks them all. Idempotent; does not wait.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the listener and all its streams are gone.
    pub async fn closed(&self) {
        self.closed.closed().await;
    }

    /// Waits until [`close`](Self::close).
    pub(crate) async fn closing(&self) {
        let mut closed = self.closed.subscribe();
        // An error would mean that no sender is left, and this is one.
        if closed.wait_for(|closed| *closed).await.is_err() {
            debug!("a closer lost its sender");
        }
    }

    /// Counts as one stream until it is dropped.
    pub(crate) fn hold(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }
}

/// A bound port that yields streams whose other end has proved its name.
///
/// Refused connections are not yielded: they are told why by a TLS alert and
/// listed in [`refusals`](Self::refusals). Dropping it ends it, not its streams.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    accepted: mpsc::Receiver<io::Result<PeerStream>>,
    closer: Closer,
    refusals: Refusals,
}

impl Listener {
    /// Binds `address` (port 0 takes a free one) and begins to accept. Call it
    /// within a tokio runtime.
    pub async fn bind(address: SocketAddr, own: Credentials, accepts: Accepts) -> Result<Self, BindError> {
        let socket = TcpListener::bind(address).await.map_err(|source| BindError::Address { address, source })?;
        let address = socket.local_addr().map_err(|source| BindError::Address { address, source })?;
        // Builds once what each connection builds again, so that a fault shows here.
        server_config(&own, accepts).map_err(|error| BindError::Tls { reason: error.to_string() })?;
        let (closer, refusals) = (Closer::new(), Refusals::default());
        let (sender, accepted) = mpsc::channel(16);
        let door = Arc::new(Door { own, accepts, closer: closer.clone(), refusals: refusals.clone() });
        let hold = closer.hold();
        tokio::spawn(async move {
            tokio::select! {
                () = door.closer.closing() => {}
                () = sender.closed() => {}
                () = door.accept(&socket, &sender) => {}
            }
            drop(hold);
        });
        Ok(Self { address, accepted, closer, refusals })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What ends it and its streams.
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    /// Whom it refused lately, and why.
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// The streams, in the form that `tonic::transport::Server` takes.
    pub fn incoming(self) -> impl Stream<Item = io::Result<PeerStream>> + Send + 'static {
        ReceiverStream::new(self.accepted)
    }
}

struct Door {
    own: Credentials,
    accepts: Accepts,
    closer: Closer,
    refusals: Refusals,
}

impl Door {
    /// Returns when nobody takes the streams any more.
    async fn accept(self: &Arc<Self>, socket: &TcpListener, sender: &mpsc::Sender<io::Result<PeerStream>>) {
        let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        // Dropped with this future, and the handshakes with it.
        let mut handshakes = JoinSet::new();
        loop {
            while handshakes.try_join_next().is_some() {}
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let (tcp, address) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly out of file descriptors: accepting again at once would only spin.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (door, sender) = (self.clone(), sender.clone());
            handshakes.spawn(async move {
                if let Some(stream) = door.admit(tcp, address).await
                    && sender.send(Ok(stream)).await.is_err()
                {
                    debug!(%address, "accepted a connection that nobody takes");
                }
                drop(permit);
            });
        }
    }

    async fn admit(&self, tcp: TcpStream, address: SocketAddr) -> Option<PeerStream> {
        let party = address.ip().to_string();
        let reason = match timeout(HANDSHAKE_TIMEOUT, self.handshake(tcp, address)).await {
            Ok(Ok(stream)) => {
                self.refusals.clear(&party);
                return Some(stream);
            }
            Ok(Err(reason)) => reason?,
            Err(_) => format!("it did not finish the TLS handshake within {HANDSHAKE_TIMEOUT:?}"),
        };
        self.refusals.record(&party, &reason);
        None
    }

    /// Refuses with a sentence, or with none for a connection that said nothing
    /// (a port scan, a load balancer's probe).
    async fn handshake(&self, tcp: TcpStream, address: SocketAddr) -> Result<PeerStream, Option<String>> {
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%address, %error, "cannot set TCP_NODELAY");
        }
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await.map_err(|error| {
            let silent = explain::tls_error(&error).is_none();
            (!silent).then(|| explain::broken(&error))
        })?;
        let asked = hello.client_hello().server_name().map(str::to_owned);
        let mistaken = asked.filter(|asked| *asked != self.own.name().to_string()).map(|asked| self.mistaken(&asked));

        let (config, verdict) = server_config(&self.own, self.accepts).map_err(|error| Some(error.to_string()))?;
        let io = hello.into_stream(Arc::new(config)).await.map_err(|error| {
            let own_verdict = verdict.get().cloned().or_else(|| mistaken.clone());
            Some(own_verdict.unwrap_or_else(|| match explain::tls_error(&error) {
                Some(rustls::Error::AlertReceived(alert)) => {
                    format!("it refused this end: {}", explain::alerted(*alert, &self.own))
                }
                _ => explain::broken(&error),
            }))
        })?;
        if let Some(sentence) = mistaken {
            return Err(Some(sentence));
        }
        let session = io.get_ref().1;
        if session.alpn_protocol() != Some(super::ALPN) {
            return Err(Some("it did not ask for HTTP/2; use a gRPC client".to_owned()));
        }
        let name = peer_identity(session.peer_certificates().unwrap_or_default()).map_err(|e| Some(e.to_string()))?;
        Ok(PeerStream::new(io.into(), Bytes::new(), PeerInfo { name, address }, &self.closer))
    }

    /// The other end looked for somebody else at this address.
    fn mistaken(&self, asked: &str) -> String {
        let own = self.own.name();
        let kind = match asked.parse::<PeerName>() {
            Ok(asked) if asked.cluster() != own.cluster() => "other cluster",
            _ => "wrong name",
        };
        format!("{kind}: it looked for {asked} here, but this is {own}; correct the address at the other end")
    }
}

/// A listener that was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}; choose another address, or stop what listens there")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The credentials are a client's.
    #[error("the certificate is for the client {name}; a node needs one for <member>.<cluster id>.cp.internal")]
    NotAMember {
        /// Whom it is for.
        name: String,
    },
    /// TLS cannot be set up with these credentials.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
}
