//! The durable half of a node, the same for every engine: vote, log, committed
#![allow(clippy::todo, unused_variables)]
//! index, configuration, snapshots, boot record and identity.

pub mod backend;
pub mod batch;
pub mod error;
pub mod identity;
pub mod record;
pub mod snapshot;
pub mod store;

pub use backend::{Directory, File};
pub use batch::Batch;
pub use error::{CreateError, Failure, OpenError, Rejected};
pub use identity::{Expected, Identity};
pub use record::{Configuration, LogRecord, RecordBody, TermRun, TermRuns};
pub use snapshot::{SnapshotBody, SnapshotMeta, Stage, Staged};
pub use store::{Durable, Founding, Inspection, Pace, Store, Ticket, Writer, WriterWork};
