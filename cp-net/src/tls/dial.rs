//! The end that dials.

use super::certificate::peer_identity;
use super::credentials::{Credentials, server_name};
use super::explain;
use super::listen::Closer;
use super::name::PeerName;
use super::stream::{PeerInfo, PeerStream};
use super::verify::client_config;
use bytes::Bytes;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tracing::debug;

/// Whom a dialler wants at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// This one.
    Exactly(PeerName),
    /// Any member of the dialler's own cluster: for an operator who knows an
    /// address and no name.
    AnyMember,
}

impl Expect {
    pub(super) fn exact(&self) -> Option<&PeerName> {
        match self {
            Self::Exactly(name) => Some(name),
            Self::AnyMember => None,
        }
    }

    pub(super) fn check(&self, found: &PeerName, own: &Credentials) -> Result<(), String> {
        let cluster = match self {
            Self::Exactly(expected) if expected == found => return Ok(()),
            Self::Exactly(expected) => expected.cluster(),
            Self::AnyMember => own.name().cluster(),
        };
        if found.cluster() != cluster {
            return Err(format!(
                "other cluster: the certificate there is for {found}, expected one of cluster {cluster}; correct the address"
            ));
        }
        match (self, found) {
            (Self::Exactly(expected), _) => Err(format!(
                "wrong name: the certificate there is for {found}, expected {expected}; correct the address"
            )),
            (Self::AnyMember, PeerName::Client { .. }) => {
                Err(format!("wrong name: the certificate there is for the client {found}, expected a member's"))
            }
            (Self::AnyMember, PeerName::Member { .. }) => Ok(()),
        }
    }
}

/// Connects to `address` (`host:port`), proves this end and verifies the other.
///
/// Returns once the other end has accepted this one's certificate, so that a
/// refusal is an error here and not of the first request. Give up by dropping it.
pub async fn dial(
    own: &Credentials,
    address: &str,
    expect: &Expect,
    within: Duration,
) -> Result<PeerStream, DialError> {
    dial_closable(own, address, expect, within, &Closer::new()).await
}

pub(crate) async fn dial_closable(
    own: &Credentials,
    address: &str,
    expect: &Expect,
    within: Duration,
    closer: &Closer,
) -> Result<PeerStream, DialError> {
    let timed_out = |_| DialError::Timeout { address: address.to_owned(), within };
    timeout(within, connect(own, address, expect, closer)).await.map_err(timed_out)?
}

async fn connect(own: &Credentials, address: &str, expect: &Expect, closer: &Closer) -> Result<PeerStream, DialError> {
    let broken = |reason: String| DialError::Broken { address: address.to_owned(), reason };
    let (config, verdict) = client_config(own, expect).map_err(|error| broken(error.to_string()))?;
    // Without an exact name the verifier reads the name off the certificate.
    let asked = server_name(expect.exact().unwrap_or(own.name())).map_err(|error| broken(error.to_string()))?;

    let unreachable =
        |error: io::Error| DialError::Unreachable { address: address.to_owned(), reason: error.to_string() };
    let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
    let remote = tcp.peer_addr().map_err(unreachable)?;
    if let Err(error) = tcp.set_nodelay(true) {
        debug!(address, %error, "cannot set TCP_NODELAY");
    }
    let explained = |error: &io::Error| match (verdict.get(), explain::tls_error(error)) {
        (Some(sentence), _) => DialError::Rejected { address: address.to_owned(), reason: sentence.clone() },
        (None, Some(rustls::Error::AlertReceived(alert))) => {
            DialError::Refused { address: address.to_owned(), reason: explain::alerted(*alert, own) }
        }
        _ => broken(explain::broken(error)),
    };
    let mut io = TlsConnector::from(Arc::new(config)).connect(asked, tcp).await.map_err(|error| explained(&error))?;
    if io.get_ref().1.alpn_protocol() != Some(super::ALPN) {
        return Err(broken("it does not speak HTTP/2; check that the address is the right port".to_owned()));
    }
    let name = peer_identity(io.get_ref().1.peer_certificates().unwrap_or_default())
        .map_err(|error| broken(error.to_string()))?;

    // In TLS 1.3 the server judges this end's certificate after the handshake
    // looks finished from here. An HTTP/2 server speaks first (its settings),
    // so the first bytes, or the alert instead of them, are the answer.
    let mut ahead = vec![0; 1024];
    let length = io.read(&mut ahead).await.map_err(|error| explained(&error))?;
    if length == 0 {
        return Err(broken("it closed the connection after the TLS handshake".to_owned()));
    }
    ahead.truncate(length);
    Ok(PeerStream::new(io.into(), Bytes::from(ahead), PeerInfo { name, address: remote }, closer))
}

/// How a [`channel`] behaves.
#[derive(Debug, Clone)]
pub struct ChannelSettings {
    /// How long connecting may take, proof of identity included.
    pub connect_timeout: Duration,
    /// How often an idle connection is probed.
    pub keepalive_interval: Duration,
    /// How long a probe may stay unanswered.
    pub keepalive_timeout: Duration,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
        }
    }
}

impl ChannelSettings {
    pub(crate) fn endpoint(&self) -> Endpoint {
        // The authority of the URI is never resolved: connectors know the address.
        Endpoint::from_static("http://peer.cp.internal")
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true)
    }
}

/// A tonic channel to `address`, connected and proved at both ends. It
/// reconnects when it breaks; [`dial_reason`] finds the reason in the error of
/// a request that could not be sent.
pub async fn channel(
    own: &Credentials,
    address: &str,
    expect: Expect,
    settings: &ChannelSettings,
) -> Result<Channel, DialError> {
    let connector =
        Connector { own: own.clone(), address: address.to_owned(), expect, within: settings.connect_timeout };
    settings.endpoint().connect_with_connector(connector).await.map_err(|error| {
        dial_reason(&error)
            .cloned()
            .unwrap_or_else(|| DialError::Broken { address: address.to_owned(), reason: explain_chain(&error) })
    })
}

/// The dialling error at the bottom of another (such as a `tonic::Status`).
pub fn dial_reason<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DialError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost reason, which is the one that says something.
pub(crate) fn explain_chain(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[derive(Debug, Clone)]
struct Connector {
    own: Credentials,
    address: String,
    expect: Expect,
    within: Duration,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<PeerStream>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<TokioIo<PeerStream>, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { dial(&this.own, &this.address, &this.expect, this.within).await.map(TokioIo::new) })
    }
}

/// A connection that was not made, in a sentence that does not change from one
/// try to the next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody answers there.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// It took too long.
    #[error("{address} did not answer within {within:?}")]
    Timeout {
        /// The address.
        address: String,
        /// The limit.
        within: Duration,
    },
    /// This end does not accept the certificate of the other.
    #[error("did not accept {address}: {reason}")]
    Rejected {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The other end does not accept the certificate of this one.
    #[error("{address} refused this end: {reason}")]
    Refused {
        /// The address.
        address: String,
        /// Why, as far as its TLS alert says.
        reason: String,
    },
    /// It is not what it should be, or broke.
    #[error("{address}: {reason}")]
    Broken {
        /// The address.
        address: String,
        /// How.
        reason: String,
    },
}
