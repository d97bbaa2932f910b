//! The store's promises, each with a test that fails when it is broken.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod backend;
mod beside;
mod common;
mod crash;
mod damage;
mod faults;
mod image;
mod model;
mod patience;
mod property;
mod reading;
mod recorder;
mod smoke;
