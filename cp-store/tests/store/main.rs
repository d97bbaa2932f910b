//! The store's promises, each with a test that fails when it is broken.

mod common;
mod smoke;
