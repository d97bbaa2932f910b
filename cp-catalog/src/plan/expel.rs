//! How all that a member has is released, once it is gone for good.

use super::authorities::reassign;
use super::draft::Draft;
use super::drain::furthest;
use super::evacuate::Planning;
use super::observed::Cover;
use super::{Awaits, Blocker, NoTarget, Observed, Plan, Reason};
use crate::catalog::Catalog;
use crate::range::Role;
use cp_seam::MemberId;

/// What to propose so that nothing of `member` is left, after it was expelled
/// ([`MembershipCommand::ForceRemove`](crate::MembershipCommand::ForceRemove)).
///
/// Each range that it owns is promoted to the furthest eligible replica, through the same
/// gate as any other; one whose position was not seen awaits its evidence. A range of which
/// no replica has all that was acknowledged is unrecoverable without loss: it is a blocker,
/// with the archives that may own it. Copies, hot and archived, are dropped, and replaced by nobody: a
/// rebalance repairs that. Authorities that it holds go to who holds fewest. There is one
/// step for each range. Before the member is expelled, promotions leave it as a replica: plan
/// again then.
pub fn expel(catalog: &Catalog, observed: &Observed, member: &MemberId) -> Plan {
    let mut planning = Planning::new(catalog, observed, Some(member));
    if catalog.member(member).is_none() {
        planning.plan.blockers.push(Blocker::NotAMember { member: member.clone() });
        return planning.finish();
    }
    for (key, role, range) in catalog.held_by(member) {
        let mut draft = Draft::new(catalog, key, range);
        if role == Role::Owner {
            succeed(&mut planning, &mut draft, member);
        } else {
            let command = draft.drop(role, member);
            planning.propose(&draft, command, None, Reason::Lost { owner: member.clone(), for_ms: None });
        }
    }
    let takers = catalog.members().map(|m| &m.id).filter(|id| planning.pool.contains(id)).map(|id| (false, id));
    let takers = takers.collect();
    let leaves = |holder: &MemberId| (holder == member).then(|| Reason::Lost { owner: member.clone(), for_ms: None });
    reassign(&mut planning.plan, catalog, takers, leaves);
    planning.finish()
}

fn succeed(planning: &mut Planning<'_>, draft: &mut Draft<'_>, member: &MemberId) {
    let eligible = draft.range.replicas.iter().filter(|replica| planning.pool.contains(replica));
    let why = match furthest(planning.observed, draft, eligible) {
        Some((to, cover @ (Cover::Whole(_) | Cover::Unseen))) => {
            let observed = planning.observed;
            let awaits = (cover == Cover::Unseen).then(|| Awaits::Shown {
                range: draft.key.clone(),
                candidate: to.clone(),
                applied: observed.applied(&draft.key, &draft.range, &to),
                watermark: observed.watermark(&draft.key, &draft.range),
            });
            let command = draft.promote(observed, &to);
            planning.propose(draft, command, awaits, Reason::Lost { owner: member.clone(), for_ms: None });
            return;
        }
        Some((member, Cover::Short(applied))) => NoTarget::Behind { member, applied },
        None => NoTarget::NoReplica,
    };
    let archives = draft.range.archives.iter().filter(|archive| planning.pool.contains(archive)).cloned().collect();
    planning.plan.blockers.push(Blocker::Unrecoverable { range: draft.key.clone(), why, archives });
}
