//! The daemon.
pub mod metrics;
pub mod settings;
