//! The store's promises, each with a test that fails when it is broken.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;
mod smoke;
