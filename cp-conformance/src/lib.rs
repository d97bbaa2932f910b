//! The conformance suite: one list of cases that every engine passes (CP-E1).
//!
//! A case runs a cluster of 3 to 7 nodes in one thread: the clock is paused, the
//! network and the disks are simulated and seeded, and engine, driver, store and
//! catalog are the production code. Checkers read what leaves the nodes and what
//! a power loss would leave on their disks; the engine's own word counts for
//! little.
//!
//! An engine is put to it by one file:
//!
//! ```ignore
//! cp_conformance::suite!(MyBackend);
//! ```
//!
//! | want | go to |
//! |---|---|
//! | add an engine | `docs/writing-an-engine.md`, [`Backend`], [`suite!`](crate::suite) |
//! | add a case | [`cases`] |
//! | add a fault | [`schedule`] |
//! | add a checker | [`checks`], [`monitor`] |
//! | run one seed | [`run_seed`] |
//! | read an engine | [`reference`](mod@reference) |
//!
//! # What this crate never holds
//!
//! An engine's type, a wall clock, unseeded chance, a retry around the subject.

#[cfg(not(any(tokio_unstable, doc, doctest)))]
compile_error!(
    "cp-conformance needs tokio's seeded task order (`rng_seed`), which needs `--cfg tokio_unstable`. \
     The workspace's .cargo/config.toml sets it; a RUSTFLAGS variable in the environment replaces that setting: unset it."
);

pub mod backend;
pub mod cases;
pub mod checks;
pub mod differential;
pub mod disk;
pub mod life;
pub mod monitor;
pub mod network;
pub mod options;
pub mod promise;
pub mod reference;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod schedule;
pub mod shape;
mod sync;
#[cfg(planted_bugs)]
pub mod teeth;
pub mod trace;
mod workload;
pub mod world;

pub use backend::{Backend, Observed};
pub use checks::Broken;
pub use options::{Leases, Options};
pub use promise::Promise;
pub use report::{Least, Report, Violation};
pub use scenario::{Scenario, Verdict};
pub use schedule::{Kept, Schedule};
pub use shape::Shape;
pub use world::World;

/// Runs one storm of random faults: what `cargo xtask sim` repeats.
pub fn run_seed(backend: &'static dyn Backend, seed: u64, options: &Options) -> Verdict {
    cases::storm::storm(backend, seed, options)
}

#[cfg(test)]
mod tidy;
