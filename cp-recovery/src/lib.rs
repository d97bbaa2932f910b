//! What is left to an operator when a quorum is lost for good: forced recovery
//! from one survivor, and backups (CP-R2).
//!
//! | want | go to |
//! |---|---|
//! | see what a directory holds | [`Survivor::open`], [`Survivor::description`] |
//! | choose among survivors | [`plan()`] |
//! | go on from one | [`Survivor::recover`] |
//! | keep a state, whoever may go on from it | [`Survivor::to_backup`], [`backup`] |
//! | go on from one kept | [`restore`] |
//!
//! All of it works on a directory whose node is not running, which may be read-only
//! but for [`Survivor::recover`], on any backend, for
//! every engine alike: it is below the engines. Recovery and restore are the same
//! step into a new generation, `Catalog::succeed`, from two sources.

pub mod backup;
mod describe;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod plan;
mod successor;
mod survivor;

pub use backup::{Backup, BackupError, BackupMeta};
pub use describe::Description;
pub use error::{RecoverError, Violations, Whose};
pub use plan::{Plan, PlanError, plan};
pub use successor::{Request, Restored, restore};
pub use survivor::Survivor;
