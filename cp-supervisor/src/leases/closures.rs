//! The gates that a member has closed, where they outlive its process.

use async_trait::async_trait;
use cp_catalog::ClosedGate;
use std::fmt::Debug;

/// Why closed gates could not be kept, or read.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where a member keeps the gates that it has closed, best beside the data that they are about.
///
/// A closed gate is the member's word that nothing follows its last write. It is passed on once
/// it is kept, and a member that restarts must not write again where its word was given.
/// [`ClosureFile`](super::ClosureFile) is one for members that have nothing better.
#[async_trait]
pub trait Closures: Debug + Send + Sync + 'static {
    /// Makes `gate` durable: on the disk, when it returns. One of the same range and a higher
    /// epoch may take its place, never one of a lower: they may come in any order. Dropping the
    /// future leaves open whether it is.
    async fn keep(&self, gate: &ClosedGate) -> Result<(), Failure>;

    /// Everything that was kept, in any order. Also what is out of date by now.
    async fn kept(&self) -> Result<Vec<ClosedGate>, Failure>;
}
