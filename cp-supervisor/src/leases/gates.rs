//! The gates of one member, as its write path sees them.

use super::clock::Clock;
use super::closures::{Closures, Failure};
use cp_catalog::{Catalog, Changes, ClosedGate, DataPosition, Epoch, MemberLife, RangeKey, RangeStanding};
use cp_lease::{
    FollowError, GateRefusal, Holder, Lease, Monotonic, NeverInEffect, Policy, RangeGate, RenewError, Renewal,
};
use cp_seam::{ControlPlaneLogIndex, Generation};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

/// Admits or refuses the writes of one member, for one process of one of its lives. Cheap to
/// clone; clones are the same gates.
///
/// They go by what a [`Keeper`](super::Keeper) tells them. If that has stopped, is late, or was
/// never started, they refuse once the leases that they know of are over: by themselves, and by
/// this process's clock.
#[derive(Debug, Clone)]
pub struct Gates {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    life: MemberLife,
    generation: Generation,
    policy: Policy,
    clock: Arc<dyn Clock>,
    closures: Arc<dyn Closures>,
    holder: RwLock<Holder>,
}

/// How a gate is at one moment. To close it, ask the [`Gates`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateView {
    /// Where the range stands, as far as the member knows.
    pub standing: RangeStanding,
    /// The newest lease, over or not.
    pub lease: Option<Lease>,
    /// Whether the member owns the range and has had a lease for it under its present epoch.
    pub in_effect: bool,
}

impl From<&RangeGate> for GateView {
    fn from(gate: &RangeGate) -> Self {
        Self { standing: gate.standing().clone(), lease: gate.lease().cloned(), in_effect: gate.is_in_effect() }
    }
}

/// Tells whether gates are still there, or clones of them.
#[derive(Debug, Default)]
pub(crate) struct InUse(Weak<Inner>);

impl InUse {
    pub(crate) fn is_so(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Why a gate was not closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotClose {
    /// It was never in effect, so it cannot vouch for what passed.
    #[error(transparent)]
    NeverInEffect(#[from] NeverInEffect),
    /// It is closed here, and not durably.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// A gate is closed and could not be kept so.
#[derive(Debug, thiserror::Error)]
#[error("the gate of range {range} is closed here, and may be forgotten at a restart; make room, then close it again")]
pub struct NotDurable {
    /// The range.
    pub range: RangeKey,
    /// Why.
    #[source]
    pub reason: Failure,
}

/// A gate that is closed and not durably so yet: nobody may be told.
#[derive(Debug)]
#[must_use = "a closed gate is nobody's evidence before it is durable"]
pub struct Closing {
    closures: Arc<dyn Closures>,
    gate: ClosedGate,
}

impl Closing {
    /// The closed gate, once it is durable: the evidence for a handoff. Dropping the future
    /// leaves the gate closed; close it again for another.
    pub async fn durable(self) -> Result<ClosedGate, NotDurable> {
        match self.closures.keep(&self.gate).await {
            Ok(()) => Ok(self.gate),
            Err(reason) => Err(NotDurable { range: self.gate.range, reason }),
        }
    }
}

impl Gates {
    pub(super) fn new(
        life: MemberLife,
        generation: Generation,
        policy: Policy,
        clock: Arc<dyn Clock>,
        closures: Arc<dyn Closures>,
        holder: Holder,
    ) -> Self {
        Self { inner: Arc::new(Inner { life, generation, policy, clock, closures, holder: RwLock::new(holder) }) }
    }

    /// Whose they are.
    pub fn life(&self) -> &MemberLife {
        &self.inner.life
    }

    /// The generation of the cluster that they are of.
    pub fn generation(&self) -> Generation {
        self.inner.generation
    }

    /// Whether a write to `range` under `epoch` may be made now. Neither waits nor does I/O.
    ///
    /// Guarantees: [`RangeGate::admit`]'s: no two members admit writes to one key at the same
    /// time (CP-S5). Ask where the write gets its place in the range's log, under the lock under
    /// which [`close`](Self::close) is called, and once more before it is acknowledged.
    /// The refusal says where to go next.
    pub fn admit(&self, range: &RangeKey, epoch: Epoch) -> Result<(), GateRefusal> {
        let holder = self.holder();
        holder.admit(range, epoch, self.inner.clock.now())
    }

    /// Admits no more writes to `range` under its epoch, whose last one was `last`. At once, and
    /// for good; the answer is the evidence once it is [durable](Closing::durable), for this range
    /// alone: a part that is split off later is closed too, and needs a closure of its own.
    ///
    /// Errors: the gate was never in effect under its epoch, and is as it was.
    pub fn close(&self, range: &RangeKey, last: DataPosition) -> Result<Closing, NeverInEffect> {
        let gate = self.holder_mut().close(range, last)?;
        Ok(Closing { closures: Arc::clone(&self.inner.closures), gate })
    }

    /// [`close`](Self::close) and [`Closing::durable`] in one. It is closed once the future is polled.
    pub async fn close_durably(&self, range: &RangeKey, last: DataPosition) -> Result<ClosedGate, CannotClose> {
        Ok(self.close(range, last)?.durable().await?)
    }

    /// The gate of `range` as it is now, if the member owns or owned it.
    pub fn gate(&self, range: &RangeKey) -> Option<GateView> {
        self.holder().gate(range).map(GateView::from)
    }

    pub(crate) fn in_use(&self) -> InUse {
        InUse(Arc::downgrade(&self.inner))
    }

    pub(super) fn policy(&self) -> Policy {
        self.inner.policy
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub(super) fn next(&self) -> ControlPlaneLogIndex {
        self.holder().next()
    }

    pub(super) fn follow(&self, changes: &Changes) -> Result<(), FollowError> {
        self.holder_mut().follow(changes)
    }

    pub(super) fn reset(&self, applied: ControlPlaneLogIndex, catalog: &Catalog) {
        self.holder_mut().reset(applied, catalog);
    }

    /// Takes a renewal that answers what was sent at `sent_at`.
    pub(super) fn renew(&self, renewal: &Renewal, sent_at: Monotonic) -> Result<usize, RenewError> {
        self.holder_mut().renew(renewal, sent_at)
    }

    /// Whether the member owns `range` and has had no lease for it under its epoch.
    pub(super) fn lacks(&self, range: &RangeKey) -> bool {
        let holder = self.holder();
        holder.gate(range).is_some_and(|gate| gate.standing().owner == self.inner.life.id && !gate.is_in_effect())
    }

    fn holder(&self) -> RwLockReadGuard<'_, Holder> {
        self.inner.holder.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder_mut(&self) -> RwLockWriteGuard<'_, Holder> {
        self.inner.holder.write().unwrap_or_else(PoisonError::into_inner)
    }
}
