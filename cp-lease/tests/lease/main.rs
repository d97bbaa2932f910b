//! What leases promise, seen from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
mod example;
mod gate;
mod grants;
mod holder;
mod phase;
mod safety;
mod transitions;
mod waits;
mod world;
