//! Whom the new owner of a range has to wait for.

use crate::instant::Monotonic;
use cp_catalog::{Epoch, RangeKey, RangeStanding};
use cp_seam::{ControlPlaneLogIndex, MemberId};
use std::time::Duration;

/// Why a range's new owner may not write yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Withheld {
    /// There is no such range.
    #[error("range {range} is not known at index {as_of}; follow the catalog, then ask again")]
    Unknown {
        /// The range.
        range: RangeKey,
        /// What the book has seen.
        as_of: ControlPlaneLogIndex,
    },
    /// The range is under another epoch.
    #[error("range {range} is not at epoch {epoch}, it has {standing}; ask about that")]
    OtherEpoch {
        /// The range.
        range: RangeKey,
        /// What was asked.
        epoch: Epoch,
        /// Where it stands.
        standing: RangeStanding,
    },
    /// The gate was closed, for another owner to take over.
    #[error("the gate of range {range} is closed under epoch {epoch}; complete the transfer")]
    Closed {
        /// The range.
        range: RangeKey,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// An earlier owner may still write.
    #[error("{earlier} may hold a lease for range {range} for {remaining:?}; wait, or have its gate closed")]
    Wait {
        /// The range.
        range: RangeKey,
        /// Who may still write, or the owner itself if a new leader cannot tell.
        earlier: MemberId,
        /// For how long.
        remaining: Duration,
    },
}

/// A range whose owner waits for an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaiting {
    /// The range.
    pub range: RangeKey,
    /// Its owner.
    pub owner: MemberId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Who may still write.
    pub earlier: MemberId,
    /// For how long.
    pub remaining: Duration,
}

/// An earlier owner that may still write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocker {
    /// Under which epoch, at most.
    pub(crate) epoch: Epoch,
    pub(crate) owner: MemberId,
    /// When its lease is over on the granter's clock, the margin included.
    pub(crate) until: Monotonic,
}

/// All earlier owners that may still write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Blockers(Vec<Blocker>);

impl From<Blocker> for Blockers {
    fn from(blocker: Blocker) -> Self {
        Self(vec![blocker])
    }
}

impl Blockers {
    pub(crate) fn push(&mut self, blocker: Blocker) {
        self.0.push(blocker);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// None is lifted by less than a closed gate of `epoch`.
    pub(crate) fn raise(&mut self, epoch: Epoch) {
        self.0.iter_mut().for_each(|blocker| blocker.epoch = blocker.epoch.max(epoch));
    }

    /// The gate of `epoch` was closed, and a gate closes only once it was in effect: nobody
    /// writes under it or an earlier one. Says whether that frees anybody.
    pub(crate) fn lift(&mut self, epoch: Epoch) -> bool {
        let count = self.0.len();
        self.0.retain(|blocker| blocker.epoch > epoch);
        self.0.len() < count
    }

    /// Whether `owner` is waited for under `epoch`.
    pub(crate) fn name(&self, owner: &MemberId, epoch: Epoch) -> bool {
        self.0.iter().any(|blocker| blocker.owner == *owner && blocker.epoch == epoch)
    }

    pub(crate) fn are_over(&self, now: Monotonic) -> bool {
        self.last(now).is_none()
    }

    /// The one that is waited for the longest.
    pub(crate) fn last(&self, now: Monotonic) -> Option<&Blocker> {
        self.0.iter().filter(|blocker| blocker.until > now).max_by_key(|blocker| blocker.until)
    }
}
