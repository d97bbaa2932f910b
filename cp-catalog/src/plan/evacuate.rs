//! Copies that come and go: the part of a plan that drains and repairs share.

use super::draft::Draft;
use super::pool::Pool;
use super::report::Tally;
use super::{Awaits, Blocker, Observed, Plan, Reason, Step, Warning};
use crate::catalog::Catalog;
use crate::command::OwnershipCommand;
use crate::range::{Range, Role};
use crate::refusal::Refusal;
use cp_seam::MemberId;

/// A plan in the making, and who may take copies.
#[derive(Debug)]
pub(super) struct Planning<'a> {
    pub(super) plan: Plan,
    pub(super) catalog: &'a Catalog,
    pub(super) pool: Pool<'a>,
    pub(super) observed: &'a Observed,
    shared: Tally,
    unmatched: Tally,
}

impl<'a> Planning<'a> {
    pub(super) fn new(catalog: &'a Catalog, observed: &'a Observed, leaving: Option<&MemberId>) -> Self {
        let (plan, shared, unmatched) = Default::default();
        Self { plan, catalog, pool: Pool::new(catalog, observed, leaving), observed, shared, unmatched }
    }

    pub(super) fn finish(mut self) -> Plan {
        self.shared.warn(&mut self.plan.warnings, Warning::SharedDomain);
        self.unmatched.warn(&mut self.plan.warnings, Warning::AttributesUnmatched);
        self.plan
    }

    /// Takes up a step; what would be refused is a blocker. Whether it was taken up.
    pub(super) fn propose(
        &mut self,
        draft: &Draft<'_>,
        command: Result<OwnershipCommand, Refusal>,
        awaits: Option<Awaits>,
        reason: Reason,
    ) -> bool {
        match command {
            Ok(command) => self.plan.steps.push(Step { command, awaits, reason }),
            Err(refusal) => {
                let (range, refusal) = (draft.key.clone(), Box::new(refusal));
                self.plan.blockers.push(Blocker::Refused { range, refusal });
                return false;
            }
        }
        true
    }

    /// Gives the range one more copy. `None` if nobody may take it.
    pub(super) fn enlist(
        &mut self,
        draft: &mut Draft<'_>,
        role: Role,
        leaving: Option<&MemberId>,
        reason: Reason,
    ) -> Option<bool> {
        let (member, sharing) = self.pool.choose(&draft.range, leaving)?;
        let command = draft.add(role, &member.id);
        let taken = self.propose(draft, command, None, reason);
        if taken {
            self.pool.charge(member);
            if sharing > 0 && member.locality.domain.is_some() {
                self.shared.note(&draft.key);
            }
            self.placed(draft);
        }
        Some(taken)
    }

    /// Notes that the range has got a new copy.
    pub(super) fn placed(&mut self, draft: &Draft<'_>) {
        if !draft.range.placement.attributes.is_empty() {
            self.unmatched.note(&draft.key);
        }
    }

    /// Takes the copy of `member`, which is no owner, off the range. Another is enlisted
    /// first, in the same role, if fewer than the replication factor would be left: of
    /// hot copies where a hot one goes, of all copies where an archive goes. Members that are
    /// gone have none. Of a range whose owner is gone nothing is taken: it may be the last.
    pub(super) fn evacuate(&mut self, draft: &mut Draft<'_>, role: Role, member: &MemberId) {
        if self.is_gone(&draft.range.owner) {
            return self.owner_gone(draft);
        }
        let (left, wanted) = (self.copies_left(&draft.range, role, member), draft.range.placement.replication_factor);
        let replaced = left < wanted;
        if replaced {
            let reason = Reason::Replacement { member: member.clone(), left, wanted };
            match self.enlist(draft, role, Some(member), reason) {
                Some(true) => {}
                Some(false) => return,
                None => return self.plan.blockers.push(Blocker::NoReplacement { range: draft.key.clone(), role }),
            }
        }
        let command = draft.drop(role, member);
        let awaits = self.unfinished(draft, role);
        self.propose(draft, command, awaits, Reason::Evacuation { member: member.clone() });
    }

    /// Says that the range's owner is to be replaced first.
    pub(super) fn owner_gone(&mut self, draft: &Draft<'_>) {
        let (range, owner) = (draft.key.clone(), draft.range.owner.clone());
        self.plan.blockers.push(Blocker::OwnerGone { range, owner });
    }

    pub(super) fn is_gone(&self, member: &MemberId) -> bool {
        self.observed.is_gone(self.catalog, member)
    }

    /// The copies that must be whole before one goes, so that as many are as are wanted.
    fn unfinished(&self, draft: &Draft<'_>, role: Role) -> Option<Awaits> {
        let range = &draft.range;
        let archives = range.archives.iter().filter(|_| role == Role::Archive);
        let copies = range.replicas.iter().chain(archives).filter(|member| !self.is_gone(member));
        let (whole, lacking): (Vec<_>, Vec<_>) = copies.partition(|member| draft.is_whole(self.observed, member));
        // The owner's is whole.
        let have = whole.len().saturating_add(1);
        let want = have.saturating_add(lacking.len()).min(count(range.placement.replication_factor));
        (have < want).then(|| Awaits::Caught {
            range: draft.key.clone(),
            members: lacking.into_iter().cloned().collect(),
            watermark: self.observed.watermark(&draft.key, range),
        })
    }

    /// How many copies are left once `member` has gone and a move in flight has ended.
    fn copies_left(&self, range: &Range, role: Role, member: &MemberId) -> u32 {
        let hot = self.hot_copies(range);
        let archives = range.archives.iter().filter(|archive| !self.is_gone(archive)).count();
        let all = if role == Role::Archive { hot.saturating_add(small(archives)) } else { hot };
        // The end of its move has taken it away.
        let is_target = range.moving.as_deref().is_some_and(|moving| moving.target == *member);
        if is_target || self.is_gone(member) { all } else { all.saturating_sub(1) }
    }

    /// How many hot copies the range has once a move in flight has ended, which takes one
    /// away whichever way it ends.
    pub(super) fn hot_copies(&self, range: &Range) -> u32 {
        let hot = [&range.owner].into_iter().chain(&range.replicas).filter(|member| !self.is_gone(member)).count();
        let ends = range.moving.as_deref().is_some_and(|m| !self.is_gone(&range.owner) && !self.is_gone(&m.target));
        small(hot).saturating_sub(u32::from(ends))
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn count(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
