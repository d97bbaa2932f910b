//! Leases, granted and honoured: how an owner of ranges knows by itself that it may still
//! write, and how its successor knows when it may.
//!
//! | at | is |
//! |---|---|
//! | the leader | [`Desk`]: answers requests to renew, by one read barrier for all that wait |
//! | a data member | [`Keeper`]: renews what the member owns, follows the catalog |
//! | its write path | [`Gates`]: one call that admits or refuses, without I/O |
//! | its disk | [`Closures`]: the gates that it has closed |
//!
//! The decisions are `cp_lease`'s; here are the clock, the network and the waiting. A desk is
//! part of every [`Supervisor`](crate::supervisor::Supervisor), and grants while its node leads.
//!
//! # A store beside a node
//!
//! ```no_run
//! use cp_catalog::{DataPosition, Epoch, RangeKey};
//! use cp_lease::GateRefusal;
//! use cp_supervisor::daemon::{Daemon, Settings};
//! use cp_supervisor::leases::{ClosureFile, Gates};
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! # async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
//! let node = Daemon::start(&settings).await?;
//! let closures = Arc::new(ClosureFile::open(Path::new("closed-gates"))?);
//! let keeper = node.keeper(closures).await?;
//! let gates = keeper.gates();
//! let kept = tokio::spawn(keeper.run());
//!
//! /// The write path: no I/O before the write's own, and none to the control plane ever.
//! fn write(gates: &Gates, range: &RangeKey, epoch: Epoch) -> Result<(), GateRefusal> {
//!     gates.admit(range, epoch)?; // under the lock that gives the write its place
//!     // append and replicate
//!     gates.admit(range, epoch) // and before it is acknowledged
//! }
//!
//! /// Giving a range up: what comes back is the evidence for `range handoff`.
//! async fn give_up(gates: &Gates, range: &RangeKey, last: DataPosition) -> Result<(), Box<dyn std::error::Error>> {
//!     let closing = gates.close(range, last)?; // under the same lock
//!     let evidence = closing.durable().await?;
//!     println!("closed under {} at {}", evidence.epoch, evidence.last);
//!     Ok(())
//! }
//! # drop((write, give_up));
//! println!("{}", kept.await?);
//! # Ok(())
//! # }
//! ```

mod clock;
mod closure_file;
mod closures;
mod counts;
mod desk;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod gates;
mod keeper;
mod rounds;

pub use clock::{Clock, ProcessClock};
pub use closure_file::ClosureFile;
pub use closures::{Closures, Failure};
pub use counts::Counts;
pub use desk::{Desk, DeskStatus, Refused};
pub use follow::Source;
pub(crate) use gates::InUse;
pub use gates::{CannotClose, Closing, GateView, Gates, NotDurable};
pub use keeper::{Keeper, KeeperEnd, KeeperError};

use cp_catalog::LongestLease;
use cp_lease::{BadPolicy, Margin, Policy};
use std::time::Duration;

/// How wrong a clock's rate may be, in parts per million, unless set otherwise.
pub const DRIFT_PPM: u32 = 200;

/// What a node may choose of leases. The longest one is the cluster's, and in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long those are that it grants; nine tenths of the longest if left out.
    pub length: Option<Duration>,
    /// How wrong the rate of its clock may be, in parts per million.
    pub drift_ppm: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self { length: None, drift_ppm: DRIFT_PPM }
    }
}

impl Terms {
    /// What they come to in a cluster whose longest lease is `longest`, or why they do not fit it.
    pub fn policy(self, longest: LongestLease) -> Result<Policy, BadPolicy> {
        let length = self.length.unwrap_or(longest.length() * 9 / 10);
        Policy::new(length, Margin::for_drift(longest.length(), self.drift_ppm))?.within(longest)
    }
}
