//! The client API, `cp.v1`, over gRPC with mutual TLS.

mod access;
pub(crate) mod convert;
mod join;
mod lease;
pub mod messages;
mod propose;
mod query;
mod server;
pub mod service;
mod snapshot;
mod throttle;
mod watch;

pub use server::NodeApi;
pub use service::{ControlPlaneApi, ControlPlaneServer};
