//! The control plane as its users see it: the library that embedders call, the
//! daemon, and the client of the daemon's API.

pub mod api;
pub mod apply;
pub mod changes;
pub mod client;
pub mod cluster_file;
pub mod daemon;
pub mod describe;
pub mod executor;
pub mod leases;
pub mod session;
pub mod supervisor;
pub mod token;
