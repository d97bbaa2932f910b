//! What an embedder supplies: its data, as far as a run must see and move it.

use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, RangeObserved};
use cp_catalog::{ClosedGate, DataPosition, Epoch, RangeKey, RangeStanding, Role};
use cp_seam::MemberId;
use std::collections::BTreeMap;
use std::fmt;

/// Why something was not done, in the words of who could not.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The data of ranges at their members: what a run asks, and what it has done.
///
/// Every call may be repeated, by another process too, and does nothing more then. None
/// waits for the control plane's log (CP-S4).
#[async_trait]
pub trait DataPlane: fmt::Debug + Send + Sync {
    /// What is known of members: their disks, and who is taken for lost. Whoever is left
    /// out is taken to live, with a disk of unknown size.
    ///
    /// Dropping the future changes nothing.
    async fn members(&self) -> Result<BTreeMap<MemberId, MemberObserved>, Fault>;

    /// What is known of these ranges. A gate that is closed must be among it: a range whose
    /// gate was closed by a run that died is found by this alone. For each range ask the
    /// watermark before the positions, or a copy that lags by what was just written looks
    /// further behind than it is. If the owner is taken for lost, the watermark must be one
    /// beyond which it cannot have acknowledged anything; if none is known, there is none.
    ///
    /// Dropping the future changes nothing.
    async fn ranges(&self, ranges: &[RangeKey]) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault>;

    /// Brings a copy up, from the owner or another whole copy, and makes it if there is none;
    /// returns where it is. It holds everything that was acknowledged before the call, and
    /// everything up to [`CopyOrder::until`], durably; or it fails. The gate of the owner
    /// may be open or closed.
    ///
    /// Dropping the future leaves a part of the copy, or all of it; the next call goes on.
    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault>;

    /// Has `owner` close its gate for `range` under `epoch`, and returns its last write.
    ///
    /// Guarantees, on which everything rests: when it returns, `owner` admits no write under
    /// `epoch` any more, the closure is durable at `owner`, and it never opens under that
    /// epoch again, nor did an earlier owner's outlast it (`leases::Gates::close_durably`). If
    /// it was closed already, the answer is the same as then. Under any other epoch than the
    /// owner's own it fails and closes nothing.
    ///
    /// Dropping the future leaves it open or closed.
    async fn close(&self, range: &RangeKey, owner: &MemberId, epoch: Epoch) -> Result<ClosedGate, Fault>;

    /// The copies that members keep without having a role in the range, as far as they know.
    /// An embedder whose members delete such copies by themselves answers none.
    ///
    /// Dropping the future changes nothing.
    async fn orphans(&self) -> Result<Vec<(RangeKey, MemberId)>, Fault>;

    /// Deletes what `member` keeps of `range`, in which it has no role when the range is at
    /// `standing`. A member that knows the range at a higher version, with a role for itself,
    /// must refuse.
    ///
    /// Dropping the future leaves a part of the copy, or nothing; the next call goes on.
    async fn delete(&self, range: &RangeKey, member: &MemberId, standing: &RangeStanding) -> Result<(), Fault>;
}

/// A copy to be made or brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOrder {
    /// Of which range.
    pub range: RangeKey,
    /// Where that stands: whom to copy from.
    pub standing: RangeStanding,
    /// Whose copy.
    pub member: MemberId,
    /// As what: an archive is behind by its nature, and needs only to be there.
    pub role: Role,
    /// What it must hold at the least, if that is known.
    pub until: Option<DataPosition>,
}
