//! The durable half of a node, the same for every engine: vote, log, committed
//! index, configuration, snapshots, boot record and identity.
//!
//! | file | what | module |
//! |---|---|---|
//! | `identity` | says that a node exists here, and whose it is | [`identity`] |
//! | `wal-0`, `wal-1` | where every write becomes durable first | `wal` |
//! | `state.redb` | what the write-ahead segments were absorbed into | `base` |
//! | `snapshot-*` | snapshot bodies | [`snapshot`] |
//!
//! A recovered node's files but `identity` have a number before their names.
//!
//! All of them sit behind one injectable backend, [`Directory`].

pub mod backend;
pub mod batch;
pub mod disk;
pub mod error;
pub mod identity;
pub mod inspector;
pub mod memory;
pub mod offline;
pub mod record;
pub mod snapshot;
pub mod store;

mod absorb;
mod base;
mod codec;
mod convert;
mod create;
mod drive;
mod fault;
mod file_set;
#[cfg(test)]
mod founded;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod newer;
mod open;
#[cfg(planted_bugs)]
mod planted;
mod read;
mod recover;
mod scratch;
mod shared;
mod snapshot_file;
mod state;
mod vote;
mod wal;
mod wire;
mod writer;

pub use backend::{Directory, File};
pub use batch::Batch;
pub use create::Layout;
pub use disk::DiskDirectory;
pub use error::{CreateError, Failure, OpenError, Rejected};
pub use identity::{Expected, Identity};
pub use inspector::Inspector;
pub use memory::MemoryDirectory;
pub use offline::Offline;
pub use record::{Configuration, LogRecord, RecordBody, TermRun, TermRuns};
pub use snapshot::{SnapshotBody, SnapshotMeta, Stage, Staged};
pub use store::{Durable, Founding, Inspection, Pace, Store, Ticket, Writer, WriterWork};
