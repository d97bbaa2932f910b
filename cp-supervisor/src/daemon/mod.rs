//! The daemon: one node as a process, and how its directory comes to be.

mod announce;
mod disk;
pub mod engine;
pub mod found;
mod http;
pub mod metrics;
mod promote;
pub mod serve;
pub mod settings;

pub use engine::{BadEngine, Engine};
pub use serve::{Daemon, ServeError};
pub use settings::{BadSetting, Effective, Layer, Origin, Settings};
