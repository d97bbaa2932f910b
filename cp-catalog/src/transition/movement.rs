//! Moves: a range goes to a member that had no copy of it, in phases.

use super::gate::{Source, safe};
use super::{edited, not_moving, written};
use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::command::Evidence;
use crate::edit::Edit;
use crate::id::{Fence, RangeKey};
use crate::range::{Copies, Move, MovePhase, Range, Role};
use crate::refusal::{CopyLimit, EvidenceRefusal, HolderRefusal, Refusal, StandingRefusal};
use crate::verdict::Effect;
use cp_seam::MemberId;

impl Catalog {
    pub(super) fn begin_move(&self, key: &RangeKey, fence: Fence, target: &MemberId) -> Decision {
        let (_, range) = self.fenced(key, fence)?;
        not_moving(key, range)?;
        if range.owner == *target {
            let (candidate, current) = (target.clone(), range.standing());
            return Err(Refusal::Holder(HolderRefusal::AlreadyOwner { range: key.clone(), candidate, current }));
        }
        let target = self.newcomer(key, range, target)?;
        let mut next = edited(range)?;
        next.replicas = room(key, range, Role::Replica, &range.replicas)?.with(&target);
        next.moving = Some(Box::new(Move { target, phase: MovePhase::Begun }));
        written(key, next)
    }

    pub(super) fn advance_move(&self, key: &RangeKey, fence: Fence, phase: MovePhase) -> Decision {
        let (_, range) = self.fenced(key, fence)?;
        let moving = moving(key, range)?;
        if moving.phase.next() != Some(phase) {
            return Err(wrong_phase(key, range, moving));
        }
        let mut next = edited(range)?;
        next.moving = Some(Box::new(Move { phase, ..moving.clone() }));
        written(key, next)
    }

    pub(super) fn complete_move(&self, key: &RangeKey, fence: Fence, evidence: Option<&Evidence>) -> Decision {
        let (_, range) = self.fenced(key, fence)?;
        let moving = moving(key, range)?;
        if moving.phase != MovePhase::CatchingUp {
            return Err(wrong_phase(key, range, moving));
        }
        self.eligible(&moving.target)?;
        safe(key, range, &moving.target, evidence, Source::Alive)?;
        written(key, self.cut_over(range, moving)?)
    }

    /// The target takes over if it is shown to be safe; whatever speaks against
    /// it leaves the range with its source, and only evidence about somebody
    /// else is refused.
    pub(super) fn resolve_move(&self, key: &RangeKey, fence: Fence, evidence: Option<&Evidence>) -> Decision {
        let (_, range) = self.fenced(key, fence)?;
        let moving = moving(key, range)?;
        let shown = safe(key, range, &moving.target, evidence, Source::Lost);
        match shown.and_then(|()| self.eligible(&moving.target)) {
            Ok(_) => written(key, self.cut_over(range, moving)?),
            Err(refusal @ Refusal::Evidence(EvidenceRefusal::OtherEvidence { .. })) => Err(refusal),
            Err(_) => {
                let next = called_off(range, moving)?;
                let effect = Effect::SourceKept { range: key.clone(), now: next.standing() };
                Ok((effect, vec![Edit::PutRange(key.collection.clone(), next)]))
            }
        }
    }

    pub(super) fn abort_move(&self, key: &RangeKey, fence: Fence) -> Decision {
        let (_, range) = self.fenced(key, fence)?;
        written(key, called_off(range, moving(key, range)?)?)
    }

    /// The range once its target owns it: the source has left, all others stay.
    pub(crate) fn cut_over(&self, range: &Range, moving: &Move) -> Result<Range, Refusal> {
        let mut next = edited(range)?;
        next.epoch = self.epoch_after(range.epoch)?;
        next.replicas = range.replicas.without(&moving.target);
        next.owner = moving.target.clone();
        next.moving = None;
        Ok(next)
    }

    /// The member, if it may hold a copy of the range and has no role in it yet.
    pub(super) fn newcomer(&self, key: &RangeKey, range: &Range, member: &MemberId) -> Result<MemberId, Refusal> {
        if let Some(role) = range.role(member) {
            let (member, current) = (member.clone(), Some(range.standing()));
            return Err(Refusal::Holder(HolderRefusal::RoleTaken { range: key.clone(), member, role, current }));
        }
        Ok(self.eligible(member)?.id.clone())
    }
}

/// `copies`, which are to be those of `range` in `role`, if one more fits.
pub(crate) fn room<'a>(key: &RangeKey, range: &Range, role: Role, copies: &'a Copies) -> Result<&'a Copies, Refusal> {
    if copies.len() < Copies::COUNT_MAX {
        return Ok(copies);
    }
    let limit = CopyLimit { role, max: Copies::COUNT_MAX as u64, current: range.standing() };
    let (range, count, limit) = (key.clone(), copies.len() as u64, Some(Box::new(limit)));
    Err(Refusal::Holder(HolderRefusal::TooManyCopies { range, count, limit }))
}

fn moving<'a>(key: &RangeKey, range: &'a Range) -> Result<&'a Move, Refusal> {
    range
        .moving
        .as_deref()
        .ok_or_else(|| Refusal::Standing(StandingRefusal::NotMoving { range: key.clone(), current: range.standing() }))
}

fn wrong_phase(key: &RangeKey, range: &Range, moving: &Move) -> Refusal {
    Refusal::Standing(StandingRefusal::WrongPhase {
        range: key.clone(),
        phase: moving.phase,
        current: range.standing(),
    })
}

/// The range without its move and without the copy that the move enlisted.
pub(crate) fn called_off(range: &Range, moving: &Move) -> Result<Range, Refusal> {
    let mut next = edited(range)?;
    next.replicas = range.replicas.without(&moving.target);
    next.moving = None;
    Ok(next)
}
