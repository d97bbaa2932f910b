//! A range as it will be after the steps planned so far.
//!
//! It is changed by the state's own functions, so that each step's fence is the one
//! which the steps before it leave.

use super::observed::Cover;
use super::{Awaits, Observed};
use crate::catalog::Catalog;
use crate::command::{CopyEdit, Evidence, OwnershipCommand, Transfer};
use crate::id::RangeKey;
use crate::range::{Move, MovePhase, Range, Role};
use crate::refusal::{Refusal, StandingRefusal};
use crate::transition::{called_off, edited, room, taken_over};
use cp_seam::MemberId;

#[derive(Debug)]
pub(super) struct Draft<'a> {
    catalog: &'a Catalog,
    pub(super) key: RangeKey,
    pub(super) range: Range,
    /// Who was given a copy: what was seen of an older one there says nothing.
    enlisted: Vec<MemberId>,
    /// Another owner writes: what was seen of hot copies says nothing any more.
    handed: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(catalog: &'a Catalog, key: RangeKey, range: &Range) -> Self {
        Self { catalog, key, range: range.clone(), enlisted: Vec::new(), handed: false }
    }

    /// Hands the range to a replica; awaits the cutover unless it was seen.
    pub(super) fn hand_off(
        &mut self,
        observed: &Observed,
        to: &MemberId,
    ) -> Result<(OwnershipCommand, Option<Awaits>), Refusal> {
        let (evidence, awaits) = self.cutover(observed, to);
        let transfer = Transfer {
            range: self.key.clone(),
            from: self.range.owner.clone(),
            fence: self.range.fence(),
            to: to.clone(),
            evidence,
        };
        self.range = taken_over(self.catalog, &self.range, to)?;
        self.handed = true;
        Ok((OwnershipCommand::Handoff(transfer), awaits))
    }

    /// Whether the copy of `member`, which is not the owner, is seen to be whole as the range will be then.
    pub(super) fn is_whole(&self, observed: &Observed, member: &MemberId) -> bool {
        match self.range.role(member) {
            _ if self.enlisted.contains(member) => false,
            // An archive is behind by its nature.
            Some(Role::Archive) => observed.applied(&self.key, &self.range, member).is_some(),
            _ => !self.handed && matches!(observed.cover(&self.key, &self.range, member), Cover::Whole(_)),
        }
    }

    /// Notes the next phase of the move in flight.
    pub(super) fn advance(&mut self, phase: MovePhase) -> Result<OwnershipCommand, Refusal> {
        let command = OwnershipCommand::AdvanceMove { range: self.key.clone(), fence: self.range.fence(), phase };
        let mut next = edited(&self.range)?;
        next.moving = next.moving.map(|moving| Box::new(Move { phase, ..*moving }));
        self.range = next;
        Ok(command)
    }

    /// Cuts the move in flight over; awaits the cutover unless it was seen.
    pub(super) fn complete(&mut self, observed: &Observed) -> Result<(OwnershipCommand, Option<Awaits>), Refusal> {
        let (range, fence) = (self.key.clone(), self.range.fence());
        let Some(moving) = self.range.moving.clone() else {
            return Err(Refusal::Standing(StandingRefusal::NotMoving { range, current: self.range.standing() }));
        };
        let (evidence, awaits) = self.cutover(observed, &moving.target);
        self.range = self.catalog.cut_over(&self.range, &moving)?;
        Ok((OwnershipCommand::CompleteMove { range, fence, evidence }, awaits))
    }

    /// The evidence that write authority may go to `to`; if it was not seen, what is awaited.
    fn cutover(&self, observed: &Observed, to: &MemberId) -> (Option<Evidence>, Option<Awaits>) {
        let seen = observed.evidence(&self.key, &self.range, to);
        let evidence = seen.filter(|evidence| evidence.closed_gate.is_some() && evidence.covers());
        let awaits = evidence.is_none().then(|| Awaits::Cutover {
            range: self.key.clone(),
            owner: self.range.owner.clone(),
            epoch: self.range.epoch,
            candidate: to.clone(),
            applied: observed.applied(&self.key, &self.range, to),
            watermark: observed.watermark(&self.key, &self.range),
        });
        (evidence, awaits)
    }

    /// Gives the range of a lost owner to a replica, with what was seen of it as evidence.
    pub(super) fn promote(&mut self, observed: &Observed, to: &MemberId) -> Result<OwnershipCommand, Refusal> {
        let transfer = Transfer {
            range: self.key.clone(),
            from: self.range.owner.clone(),
            fence: self.range.fence(),
            to: to.clone(),
            evidence: observed.evidence(&self.key, &self.range, to),
        };
        self.range = taken_over(self.catalog, &self.range, to)?;
        Ok(OwnershipCommand::Promote(transfer))
    }

    pub(super) fn add(&mut self, role: Role, member: &MemberId) -> Result<OwnershipCommand, Refusal> {
        let edit = self.edit(member);
        let mut next = edited(&self.range)?;
        let copies = if role == Role::Archive { &next.archives } else { &next.replicas };
        let copies = room(&self.key, &self.range, role, copies)?.with(member);
        if role == Role::Archive {
            next.archives = copies;
        } else {
            next.replicas = copies;
        }
        self.range = next;
        self.enlisted.push(member.clone());
        Ok(if role == Role::Archive { OwnershipCommand::AddArchive(edit) } else { OwnershipCommand::AddReplica(edit) })
    }

    /// Drops a copy; if it is the target of a move, by ending the move.
    pub(super) fn drop(&mut self, role: Role, member: &MemberId) -> Result<OwnershipCommand, Refusal> {
        let edit = self.edit(member);
        if let Some(moving) = self.range.moving.as_deref().filter(|moving| moving.target == *member) {
            self.range = called_off(&self.range, moving)?;
            return Ok(OwnershipCommand::AbortMove { range: edit.range, fence: edit.fence });
        }
        let mut next = edited(&self.range)?;
        if role == Role::Archive {
            next.archives = next.archives.without(member);
            self.range = next;
            return Ok(OwnershipCommand::RemoveArchive(edit));
        }
        next.replicas = next.replicas.without(member);
        self.range = next;
        Ok(OwnershipCommand::RemoveReplica(edit))
    }

    fn edit(&self, member: &MemberId) -> CopyEdit {
        CopyEdit { range: self.key.clone(), fence: self.range.fence(), member: member.clone() }
    }
}
