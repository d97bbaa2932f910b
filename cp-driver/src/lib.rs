//! What both engine adapters need and neither engine supplies.
//!
//! The driver implements the seam once, as a node around a narrow [`Engine`]:
//! refusals and deadlines (CP-P1..P3), outcomes from the store's history of
//! terms, the one gate before the state machine (CP-D3), reconciliation of the
//! engine's configuration with the wanted quorum (CP-M1), snapshot building and
//! transfer (CP-R1), the disk gate (CP-L2), and the comparison of digests
//! (CP-R3). An adapter holds what differs between engines and nothing else.
//!
//! Absences: no engine's type, no thread, no wall clock, no randomness.

mod apply;
mod board;
mod contact;
mod digest;
mod disk;
mod divergence;
pub mod engine;
pub mod freezer;
pub mod host;
mod leaving;
pub mod node;
pub mod observed;
mod outcome;
mod peers;
mod receiver;
mod reconcile;
mod refusal;
pub mod settings;
mod snapshots;
mod tasks;
#[cfg(test)]
mod testing;
pub mod wire;

pub use engine::{Engine, EngineError, EngineView};
pub use freezer::{Freezer, of_node};
pub use host::Host;
pub use node::{StartError, start};
pub use observed::Observed;
pub use reconcile::is_step;
pub use settings::{Parts, Settings};
pub use snapshots::build::{capture, founding};
pub use snapshots::send::SnapshotNotSent;
pub use tasks::guarded;

/// How long a leader keeps word of a commit back, so that it goes with the records that come
/// next: a message of its own costs every node as much as those do.
pub const COMMIT_PATIENCE: std::time::Duration = std::time::Duration::from_millis(2);

/// An error with its causes, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
