//! Frames between members over gRPC with mutual TLS, and the certificates that
//! make it possible.
//!
//! [`Transport`] carries an engine's frames ([`cp_seam::PeerTransport`]). [`tls`]
//! is what it shares with the client API and the command line: who is at the
//! other end, and a sentence that says why not. [`issue`] makes certificates for
//! clusters that have no certificate authority of their own.
//!
//! One rule underlies all of it: **the certificate's only DNS name is the
//! identity**. A member's is `<member>.<cluster id>.cp.internal`, an operator's
//! `<name>.client.<cluster id>.cp.internal`; addresses prove nothing and appear
//! in no certificate.

mod accepted;
mod backoff;
mod dialled;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod hub;
pub mod issue;
mod link;
mod queue;
mod status;
pub mod tls;
mod transport;
mod wire;

pub use handshake::RefusalKind;
pub use status::{LaneStatus, PeerStatus};
pub use transport::{Settings, Transport};
