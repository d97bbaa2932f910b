//! The gate before the writes of one range, at one member.

use crate::instant::{Margin, Monotonic};
use crate::lease::Lease;
use cp_catalog::{ClosedGate, DataPosition, Epoch, RangeKey, RangeStanding};
use cp_seam::MemberId;

/// Admits or refuses a write to one range at one member, from the writer's epoch
/// and the member's clock alone.
///
/// Epochs are what makes it safe (CP-S5), leases are what lets another owner go on
/// without this one's word. The term of the control plane plays no part: a lease
/// outlives a failover, until it is over (CP-S4: no write waits for the log).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeGate {
    range: RangeKey,
    member: MemberId,
    margin: Margin,
    /// The newest that this member has heard.
    standing: RangeStanding,
    lease: Option<Lease>,
    closed: Option<ClosedGate>,
}

/// Why a write is not admitted. Checked in this order; the standing says where to go next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateRefusal {
    /// The gate was closed, for another owner to take over.
    #[error(
        "{member} has closed its gate for range {range}; ask the catalog for the next owner, the last known is {standing}"
    )]
    Revoked {
        /// The range.
        range: RangeKey,
        /// Who refuses.
        member: MemberId,
        /// Where it stands, as far as the member knows.
        standing: RangeStanding,
    },
    /// The member has no lease for it.
    #[error("{member} has no lease for range {range}; it has {standing}: go there, or wait for a renewal")]
    Unleased {
        /// The range.
        range: RangeKey,
        /// Who refuses.
        member: MemberId,
        /// Where it stands, as far as the member knows.
        standing: RangeStanding,
    },
    /// The write, or the member's own authority, is of an epoch that is over.
    #[error("range {range} at {member}: epoch {epoch} is over; go to {standing}")]
    EpochSuperseded {
        /// The range.
        range: RangeKey,
        /// Who refuses.
        member: MemberId,
        /// The epoch that is over.
        epoch: Epoch,
        /// Where it stands, as far as the member knows.
        standing: RangeStanding,
    },
    /// The writer knows of a later epoch than the member does.
    #[error(
        "range {range} at {member}: epoch {epoch} is not known here yet, only {standing}; try again once {member} has caught up"
    )]
    EpochAhead {
        /// The range.
        range: RangeKey,
        /// Who refuses.
        member: MemberId,
        /// The writer's epoch.
        epoch: Epoch,
        /// Where it stands, as far as the member knows.
        standing: RangeStanding,
    },
    /// The lease is over, or within the margin of its end.
    #[error(
        "the lease of {member} for range {range} is over; it had {standing}: try again after a renewal, or ask the catalog"
    )]
    Expired {
        /// The range.
        range: RangeKey,
        /// Who refuses.
        member: MemberId,
        /// Where it stands, as far as the member knows.
        standing: RangeStanding,
    },
    /// The member never owned the range, as far as it knows.
    #[error("{member} does not own range {range}; ask the catalog who does")]
    NotOwned {
        /// The range.
        range: RangeKey,
        /// Who refuses.
        member: MemberId,
    },
}

/// Why a gate cannot vouch for what passed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{member} has had no lease for range {range} under its epoch, so an earlier owner may still write; close the gate once a lease was granted"
)]
pub struct NeverInEffect {
    /// The range.
    pub range: RangeKey,
    /// Whose gate.
    pub member: MemberId,
}

impl RangeGate {
    /// The gate of `range` at `member`. Admits nothing before a lease is installed.
    pub fn new(range: RangeKey, member: MemberId, standing: RangeStanding, margin: Margin) -> Self {
        Self { range, member, margin, standing, lease: None, closed: None }
    }

    /// A gate that was closed before its member restarted. It stays so; of several closures,
    /// in whatever order, the one under the highest epoch counts, and none of another range.
    #[must_use]
    pub fn closed(mut self, gate: ClosedGate) -> Self {
        let newer = self.closed.as_ref().is_none_or(|have| gate.epoch > have.epoch);
        if newer && gate.range == self.range && gate.epoch >= self.standing.epoch {
            self.closed = Some(gate);
        }
        self
    }

    /// Whether a write under `epoch` may be made at `now`.
    ///
    /// Guarantees: while every clock keeps within the margin and leases come from
    /// [`Grants`](crate::Grants), no two members admit writes to the same key at the
    /// same time (CP-S5). Ask where the write gets its place in the range's log, under
    /// the lock that [`close`](Self::close) takes, and once more before it is
    /// acknowledged: a process may be paused in between.
    pub fn admit(&self, epoch: Epoch, now: Monotonic) -> Result<(), GateRefusal> {
        let named = || (self.range.clone(), self.member.clone(), self.standing.clone());
        let current = self.standing.epoch;
        if self.closed.is_some() {
            let (range, member, standing) = named();
            return Err(GateRefusal::Revoked { range, member, standing });
        }
        let Some(lease) = &self.lease else {
            let (range, member, standing) = named();
            return Err(GateRefusal::Unleased { range, member, standing });
        };
        if lease.epoch < current || epoch < current {
            let (range, member, standing) = named();
            return Err(GateRefusal::EpochSuperseded { range, member, epoch: epoch.min(lease.epoch), standing });
        }
        if epoch > current {
            let (range, member, standing) = named();
            return Err(GateRefusal::EpochAhead { range, member, epoch, standing });
        }
        let margin = self.margin;
        #[cfg(planted_bugs)]
        let margin = crate::planted::margin(margin);
        if lease.is_over(now, margin) {
            let (range, member, standing) = named();
            return Err(GateRefusal::Expired { range, member, standing });
        }
        Ok(())
    }

    /// Admits no more writes under this epoch, and says which was the last.
    ///
    /// `applied` is the last write that passed. Guarantees: whatever lease comes later,
    /// only one under a higher epoch opens the gate; the first answer is the answer.
    /// Make it durable before you pass it on, and give it back by
    /// [`closed`](Self::closed) after a restart: the control plane takes it for the word
    /// that nothing follows. It is that for this range alone: whoever needs it for a part that
    /// was split off closes the part's own gate, durably too. Errors: a gate that never was in effect cannot know.
    pub fn close(&mut self, applied: DataPosition) -> Result<ClosedGate, NeverInEffect> {
        if let Some(closed) = &self.closed {
            return Ok(closed.clone());
        }
        let Some(lease) = &self.lease else {
            return Err(NeverInEffect { range: self.range.clone(), member: self.member.clone() });
        };
        let (range, epoch) = (self.range.clone(), lease.epoch);
        Ok(self.closed.insert(ClosedGate { range, epoch, last: applied }).clone())
    }

    /// Takes a lease, and says whether it did.
    ///
    /// Ignores what is not for this range and member, what is of an epoch that is over
    /// or was closed, and what ends no later than the lease there is.
    pub fn install(&mut self, lease: Lease) -> bool {
        let closed = self.closed.as_ref().is_some_and(|gate| lease.epoch <= gate.epoch);
        let ends_sooner = self.lease.as_ref().is_some_and(|have| {
            lease.epoch < have.epoch || (lease.epoch == have.epoch && lease.expires_at <= have.expires_at)
        });
        let elsewhere = lease.range != self.range || lease.owner != self.member;
        if elsewhere || closed || ends_sooner || lease.epoch < self.standing.epoch {
            return false;
        }
        if lease.epoch > self.standing.epoch {
            self.standing.owner = self.member.clone();
            self.standing.epoch = lease.epoch;
        }
        self.closed = None;
        self.lease = Some(lease);
        true
    }

    /// Notes where the range stands now. What is older than what is known is ignored.
    pub fn superseded(&mut self, standing: RangeStanding) {
        if (standing.epoch, standing.version) < (self.standing.epoch, self.standing.version) {
            return;
        }
        if standing.owner == self.member && standing.epoch > self.standing.epoch {
            // Its own again: what went before has no bearing on it.
            self.lease = None;
            self.closed = self.closed.take().filter(|gate| gate.epoch >= standing.epoch);
        }
        self.standing = standing;
    }

    /// Where the range stands, as far as this member knows.
    pub fn standing(&self) -> &RangeStanding {
        &self.standing
    }

    /// The lease, over or not.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Whether the member owns the range and has had a lease for it under its present epoch.
    pub fn is_in_effect(&self) -> bool {
        // Its lease is of the present epoch: a higher one takes it away.
        self.owned() && self.lease.is_some()
    }

    pub(crate) fn owned(&self) -> bool {
        self.standing.owner == self.member
    }

    /// The gate of a range that was cut off from this one, with the same epoch and owner.
    pub(crate) fn split_off(&self, range: &RangeKey, standing: &RangeStanding) -> Self {
        let lease = self.lease.clone().map(|lease| Lease { range: range.clone(), ..lease });
        // Closed with it; the word of it, should it be asked for, is about the part.
        let closed = self.closed.clone().map(|gate| ClosedGate { range: range.clone(), ..gate });
        Self { range: range.clone(), standing: standing.clone(), lease, closed, ..self.clone() }
    }

    /// This gate for the keys of `other` too. It is in effect if both were.
    pub(crate) fn joined_with(&self, other: &Self, standing: &RangeStanding) -> Self {
        let both = self.lease.as_ref().zip(other.lease.as_ref());
        let lease = both.map(|(one, two)| Lease {
            epoch: standing.epoch,
            expires_at: one.expires_at.min(two.expires_at),
            ..one.clone()
        });
        // Closed under the epoch of the union it can be only by an earlier process.
        let closed = self.closed.clone().filter(|gate| gate.epoch >= standing.epoch);
        Self { standing: standing.clone(), lease, closed, ..self.clone() }
    }
}
