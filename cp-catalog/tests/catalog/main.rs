//! What the catalog promises, seen from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod audit;
mod claims;
mod codec;
mod collections;
mod common;
mod cuts;
mod defects;
mod draws;
mod force;
mod force_remove;
mod hints;
mod limits;
mod machine;
mod membership;
mod model;
mod plan_drain;
mod plan_failover;
mod plan_finish;
mod plan_rebalance;
mod plan_whole;
mod ranges;
mod recovery;
mod retries;
mod skipped;
mod steps;
mod text;
mod worlds;
