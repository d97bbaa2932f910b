//! What both engine adapters need and neither engine supplies.
#![allow(clippy::todo, unused_variables, unused_imports)]

pub mod engine;
pub mod host;
pub mod node;
pub mod settings;
pub mod wire;

pub use engine::{Engine, EngineError, EngineView};
pub use host::{Host, SnapshotNotSent};
pub use node::{StartError, start};
pub use settings::{Parts, Settings};
