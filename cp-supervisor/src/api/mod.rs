//! The client API, `cp.v1`, over gRPC with mutual TLS.

pub(crate) mod convert;
mod join;
pub mod messages;
mod query;
mod server;
pub mod service;
mod snapshot;
mod watch;

pub use server::NodeApi;
pub use service::{ControlPlaneApi, ControlPlaneServer};
