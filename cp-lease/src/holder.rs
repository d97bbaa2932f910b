//! One member's gates: they follow the catalog, and one renewal serves them all.

use crate::follow::{FollowError, effects};
use crate::gate::{GateRefusal, NeverInEffect, RangeGate};
use crate::instant::{Margin, Monotonic};
use crate::lease::{Coverage, Renewal};
use cp_catalog::{
    Catalog, Changes, ClosedGate, DataPosition, Epoch, MemberLife, RangeEffect, RangeKey, RangeStanding, Role,
};
use cp_seam::ControlPlaneLogIndex;
use std::collections::BTreeMap;

/// The gates of all ranges that a member owns or owned, in one process of one of its lives.
#[derive(Debug, Clone)]
pub struct Holder {
    life: MemberLife,
    margin: Margin,
    applied: ControlPlaneLogIndex,
    gates: BTreeMap<RangeKey, Held>,
    /// The highest closure of each range, gate or no gate: the state that a process begins
    /// from may be older than what it closed, and not show the range as its own yet.
    closed: BTreeMap<RangeKey, ClosedGate>,
}

#[derive(Debug, Clone)]
struct Held {
    gate: RangeGate,
    /// From this index on at least, the range has had its present owner and epoch.
    since: ControlPlaneLogIndex,
}

/// Why a renewal was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// The leader knew more than this member: a range may have gone that it still believes to own.
    #[error("the renewal is as of {as_of}, this member is at {applied}; follow the catalog, then renew by it again")]
    Behind {
        /// What the leader had seen.
        as_of: ControlPlaneLogIndex,
        /// What this member has seen.
        applied: ControlPlaneLogIndex,
    },
    /// It is another member's, or an earlier life's.
    #[error("the renewal is for {}{}, not for {}{}; drop it", .of.id, .of.incarnation, .here.id, .here.incarnation)]
    OtherLife {
        /// Whose it is.
        of: MemberLife,
        /// Who was given it.
        here: MemberLife,
    },
}

impl Holder {
    /// The gates of `life` for what it owns in `catalog`, which is at `applied`. None admits
    /// anything yet.
    ///
    /// `closed` is what [`close`](Self::close) answered before a restart, in any order: those stay
    /// closed, also where `catalog` is older and does not show the range as this member's yet.
    pub fn new(
        life: MemberLife,
        margin: Margin,
        applied: ControlPlaneLogIndex,
        catalog: &Catalog,
        closed: impl IntoIterator<Item = ClosedGate>,
    ) -> Self {
        let mut holder = Self { life, margin, applied, gates: BTreeMap::new(), closed: BTreeMap::new() };
        for gate in closed {
            holder.note_closed(&gate);
        }
        holder.reset(applied, catalog);
        holder
    }

    /// Where to ask for changes from.
    pub fn next(&self) -> ControlPlaneLogIndex {
        self.applied.next()
    }

    /// Follows what was done to ranges: `changes` from [`next`](Self::next) on.
    ///
    /// Errors: if some are no longer kept, [`reset`](Self::reset) by the whole catalog.
    pub fn follow(&mut self, changes: &Changes) -> Result<(), FollowError> {
        let (effects, reached) = effects(changes, self.applied)?;
        for (change, effect) in effects {
            let index = change.position.index;
            match effect {
                RangeEffect::At { range, now } => self.stands(range, now, index),
                RangeEffect::Split { lower, lower_now, upper, upper_now } => {
                    self.stands(lower, lower_now, index);
                    if let Some(held) = self.gates.get(lower).filter(|held| held.gate.owned()) {
                        // Not since the parent had them: a renewal from before may withhold the parent.
                        let gate = held.gate.split_off(upper, upper_now);
                        self.hold(upper, gate, index);
                    }
                }
                RangeEffect::Merged { survivor, now, retired } => {
                    let gone = self.gates.remove(retired);
                    match self.gates.get(survivor).zip(gone) {
                        Some((held, gone)) if held.gate.owned() => {
                            let gate = held.gate.joined_with(&gone.gate, now);
                            self.hold(survivor, gate, index);
                        }
                        _ => self.stands(survivor, now, index),
                    }
                }
            }
        }
        self.applied = self.applied.max(reached);
        Ok(())
    }

    /// Begins from the whole `catalog` at `applied`, for instance after a snapshot. Gates whose
    /// owner and epoch are the same go on as they were. Ignores a catalog that is older than what
    /// was followed. Searches all ranges.
    pub fn reset(&mut self, applied: ControlPlaneLogIndex, catalog: &Catalog) {
        if applied < self.applied {
            return;
        }
        self.gates.retain(|range, _| catalog.range(range).is_some());
        for (range, held) in &mut self.gates {
            if let Some(standing) = catalog.range(range).map(cp_catalog::Range::standing) {
                held.stands(&standing, applied);
            }
        }
        let member = self.life.id.clone();
        for (range, role, record) in catalog.held_by(&member) {
            if role == Role::Owner && !self.gates.contains_key(&range) {
                self.stands(&range, &record.standing(), applied);
            }
        }
        self.applied = applied;
    }

    fn stands(&mut self, range: &RangeKey, now: &RangeStanding, index: ControlPlaneLogIndex) {
        if let Some(held) = self.gates.get_mut(range) {
            held.stands(now, index);
        } else if now.owner == self.life.id {
            let gate = RangeGate::new(range.clone(), self.life.id.clone(), now.clone(), self.margin);
            self.hold(range, gate, index);
        }
    }

    /// Holds `gate`, closed if it is known to be.
    fn hold(&mut self, range: &RangeKey, gate: RangeGate, since: ControlPlaneLogIndex) {
        let gate = match self.closed.get(range) {
            Some(closed) => gate.closed(closed.clone()),
            None => gate,
        };
        self.gates.insert(range.clone(), Held { gate, since });
    }

    fn note_closed(&mut self, gate: &ClosedGate) {
        if self.closed.get(&gate.range).is_none_or(|highest| gate.epoch > highest.epoch) {
            self.closed.insert(gate.range.clone(), gate.clone());
        }
    }

    /// Extends the leases that `renewal` covers, and says how many.
    ///
    /// `sent_at` is when this process sent the request that it answers, as it remembers
    /// it itself: an answer to a request of an earlier process is dropped, and no lease is
    /// counted from when the answer came. Old and repeated renewals do no harm. Errors:
    /// [`RenewError`]; nothing was extended.
    pub fn renew(&mut self, renewal: &Renewal, sent_at: Monotonic) -> Result<usize, RenewError> {
        if renewal.owner != self.life {
            return Err(RenewError::OtherLife { of: renewal.owner.clone(), here: self.life.clone() });
        }
        if renewal.as_of > self.applied {
            return Err(RenewError::Behind { as_of: renewal.as_of, applied: self.applied });
        }
        let mut extended = 0;
        for (range, held) in &mut self.gates {
            let epoch = held.gate.standing().epoch;
            let covered = match &renewal.coverage {
                Coverage::Owned { withheld } => withheld.binary_search(range).is_err(),
                Coverage::InEffect { released } => {
                    let released = || released.binary_search_by(|(of, at)| of.cmp(range).then(at.cmp(&epoch)));
                    held.gate.is_in_effect() || released().is_ok()
                }
            };
            if covered && held.gate.owned() && held.since <= renewal.as_of {
                extended += usize::from(held.gate.install(renewal.lease(range, epoch, sent_at)));
            }
        }
        Ok(extended)
    }

    /// Whether a write to `range` under `epoch` may be made at `now`; see [`RangeGate::admit`].
    pub fn admit(&self, range: &RangeKey, epoch: Epoch, now: Monotonic) -> Result<(), GateRefusal> {
        match self.gates.get(range) {
            Some(held) => held.gate.admit(epoch, now),
            None => Err(GateRefusal::NotOwned { range: range.clone(), member: self.life.id.clone() }),
        }
    }

    /// Admits no more writes to `range` under its epoch; see [`RangeGate::close`].
    pub fn close(&mut self, range: &RangeKey, applied: DataPosition) -> Result<ClosedGate, NeverInEffect> {
        let Some(held) = self.gates.get_mut(range) else {
            return Err(NeverInEffect { range: range.clone(), member: self.life.id.clone() });
        };
        let gate = held.gate.close(applied)?;
        self.note_closed(&gate);
        Ok(gate)
    }

    /// The gate of `range`, if the member owns or owned it.
    pub fn gate(&self, range: &RangeKey) -> Option<&RangeGate> {
        self.gates.get(range).map(|held| &held.gate)
    }

    /// Every gate, in ascending order of ranges.
    pub fn gates(&self) -> impl Iterator<Item = (&RangeKey, &RangeGate)> {
        self.gates.iter().map(|(range, held)| (range, &held.gate))
    }
}

impl Held {
    fn stands(&mut self, now: &RangeStanding, index: ControlPlaneLogIndex) {
        let was = self.gate.standing();
        if was.owner != now.owner || was.epoch != now.epoch {
            self.since = index;
        }
        self.gate.superseded(now.clone());
    }
}
