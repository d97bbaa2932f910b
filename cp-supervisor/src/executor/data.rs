//! What an embedder supplies: its data, as far as a run must see and move it.

use async_trait::async_trait;
use cp_catalog::plan::{MemberObserved, RangeObserved};
use cp_catalog::{ClosedGate, DataPosition, RangeKey, RangeStanding, Role};
use cp_seam::MemberId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why something was not done, in the words of who could not.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The data of ranges at their members: what a run asks, and what it has done.
///
/// Every call may be repeated, by another process too, and does nothing more then. None
/// waits for the control plane's log (CP-S4).
///
/// A call may also arrive late, when the state has long gone on. So each tells the member
/// where the range stands, and of each range the member keeps the highest standing that it
/// was ever told, durably; the higher epoch is higher, then the higher version. A standing
/// above what it knows it takes up before anything else: it follows the catalog to there at
/// the least, and divides its store where the range was split on the way, so that what it
/// keeps of the other part is no part of this range any more.
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
    /// further behind than it is. A position is a copy's only if its member knows a standing
    /// under which it has a role, by [`copy`](Self::copy) or by following: what is left of an
    /// earlier role has none, for a deletion may be on its way to it.
    ///
    /// The run takes the members in `lost` for lost. Of a range that one of them owns the
    /// watermark must be one beyond which it cannot acknowledge anything any more, though it
    /// lives: its replicas take nothing from it from here on, or its leases are over. If
    /// there is none, none is told, and nobody is promoted.
    ///
    /// Dropping the future changes nothing.
    async fn ranges(
        &self,
        ranges: &[RangeKey],
        lost: &BTreeSet<MemberId>,
    ) -> Result<BTreeMap<RangeKey, RangeObserved>, Fault>;

    /// Brings a copy up, from the owner or another whole copy, and makes it if there is none;
    /// returns where it is. It holds everything that was acknowledged before the call, and
    /// everything up to [`CopyOrder::until`], and the member knows [`CopyOrder::standing`], all
    /// durably; or it fails. The gate of the owner may be open or closed. For the owner itself
    /// there is nothing to do.
    ///
    /// Dropping the future leaves a part of the copy, or all of it; the next call goes on.
    async fn copy(&self, order: &CopyOrder) -> Result<DataPosition, Fault>;

    /// Has the owner in `standing` close its gate for `range` under the epoch there, and returns
    /// its last write.
    ///
    /// Guarantees, on which everything rests: when it returns, the owner admits no write under
    /// that epoch any more, the closure is durable at the owner, and it never opens under that
    /// epoch again, nor did an earlier owner's outlast it (`leases::Gates::close_durably`). If
    /// it was closed already, the answer is the same as then. Under any other epoch than the
    /// owner's own it fails and closes nothing. The owner has followed to `standing` first: what
    /// was split off before has a gate of its own, which stays open.
    ///
    /// Dropping the future leaves it open or closed.
    async fn close(&self, range: &RangeKey, standing: &RangeStanding) -> Result<ClosedGate, Fault>;

    /// The copies that members keep without having a role in the range, as far as they know.
    /// An embedder whose members delete such copies by themselves answers none.
    ///
    /// Dropping the future changes nothing.
    async fn orphans(&self) -> Result<Vec<(RangeKey, MemberId)>, Fault>;

    /// Deletes what `member` keeps of `range`, in which it has no role when the range is at
    /// `standing`. A member that knows a higher standing refuses, whatever its role there: it
    /// may have been given the range again since this was sent. One that knows a lower one
    /// follows first, so that what was split off stays.
    ///
    /// Dropping the future leaves a part of the copy, or nothing; the next call goes on.
    async fn delete(&self, range: &RangeKey, member: &MemberId, standing: &RangeStanding) -> Result<(), Fault>;
}

/// A copy to be made or brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOrder {
    /// Of which range.
    pub range: RangeKey,
    /// Where that stands: whom to copy from, and what the member is to know.
    pub standing: RangeStanding,
    /// Whose copy.
    pub member: MemberId,
    /// As what: an archive is behind by its nature, and needs only to be there.
    pub role: Role,
    /// What it must hold at the least, if that is known.
    pub until: Option<DataPosition>,
}
