//! Mutual TLS whose refusals say why.
//!
//! [`Credentials`] are checked when they are loaded, by the code that the other
//! end will use. A [`Listener`] yields streams whose other end has proved a
//! [`PeerName`]; [`dial`] and [`channel`] connect to one. Where a handshake
//! fails, each end has a sentence: its own verdict on the other's certificate,
//! or the meaning of the alert that the other sent.
//!
//! TLS 1.3 only, ring only, no resumption: every connection verifies again. The
//! crypto provider is passed to rustls explicitly; the process default is
//! neither read nor set.

mod certificate;
mod credentials;
mod dial;
mod explain;
mod listen;
mod name;
mod refusals;
mod stream;
mod unfit;
mod verify;

pub use certificate::{BadCertificate, Certificate, peer_identity, utc};
pub use credentials::Credentials;
pub use dial::{ChannelSettings, DialError, Expect, channel, dial, dial_reason};
pub(crate) use dial::{dial_closable, explain_chain};
pub use listen::{Accepts, BindError, Closer, Listener};
pub use name::{BadPeerName, PeerName};
pub use refusals::Refusals;
pub use rustls::time_provider::TimeProvider;
pub use rustls_pki_types::UnixTime;
pub use stream::{PeerInfo, PeerStream};
pub use unfit::CredentialsError;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The one place that picks the cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The application protocol that both ends insist on.
const ALPN: &[u8] = b"h2";
