//! How a member gives up all that it has.

use super::authorities::reassign;
use super::draft::Draft;
use super::evacuate::Planning;
use super::finish::closed;
use super::observed::Cover;
use super::{Blocker, NoTarget, Observed, Plan, Reason, Warning};
use crate::catalog::Catalog;
use crate::member::{Join, Service};
use crate::range::Role;
use cp_seam::MemberId;
use std::cmp::Reverse;

/// What to propose so that `member` owns and holds nothing and can be removed.
///
/// Each range that it owns goes to the furthest-applied eligible replica which covers the
/// range's watermark; a replica whose position was not seen comes after those, and its
/// step awaits the evidence. Its hot and archive copies go, each replaced by one elsewhere
/// only if fewer than the replication factor would be left. Authorities that it holds go
/// to who holds fewest. Without blockers, and once every step is done, the member can be
/// removed. Planning again when some are done gives the rest.
///
/// A range that nobody may write, its owner having closed its gate, goes to another also if
/// `member` only has a copy of it. A range whose owner is lost or expelled is blocked: the
/// copy might be the last. Nothing of an expelled member is drained, see [`expel`](super::expel).
pub fn drain(catalog: &Catalog, observed: &Observed, member: &MemberId) -> Plan {
    let mut planning = Planning::new(catalog, observed, Some(member));
    match catalog.member(member) {
        None => {
            planning.plan.blockers.push(Blocker::NotAMember { member: member.clone() });
            return planning.finish();
        }
        Some(record) if record.join == Join::Expelled => {
            planning.plan.blockers.push(Blocker::Expelled { member: member.clone() });
            return planning.finish();
        }
        Some(record) if record.service == Service::Active => {
            planning.plan.warnings.push(Warning::NotDraining { member: member.clone() });
        }
        Some(_) => {}
    }
    for (key, role, range) in catalog.held_by(member) {
        let mut draft = Draft::new(catalog, key, range);
        match role {
            Role::Owner => {
                let reasons =
                    [Reason::Leaving { member: member.clone() }, Reason::Successor { member: member.clone() }];
                if hand_over(&mut planning, &mut draft, Some(member), reasons) {
                    planning.evacuate(&mut draft, Role::Replica, member);
                }
            }
            // Nobody may write it, and to abort a move to here would leave it so. If it was
            // moving here, the handoff ends that.
            Role::Replica if observed.is_closed(&draft.key, range) => {
                if hand_over(&mut planning, &mut draft, Some(member), closed(range))
                    && draft.range.role(member).is_some()
                {
                    planning.evacuate(&mut draft, Role::Replica, member);
                }
            }
            Role::Replica => planning.evacuate(&mut draft, Role::Replica, member),
            Role::Archive => planning.evacuate(&mut draft, Role::Archive, member),
        }
    }
    let takers = catalog.members().map(|m| &m.id).filter(|id| planning.pool.contains(id)).map(|id| (false, id));
    let takers = takers.collect();
    let leaves = |holder: &MemberId| (holder == member).then(|| Reason::Authority { member: member.clone() });
    reassign(&mut planning.plan, catalog, takers, leaves);
    planning.finish()
}

/// Hands the range to another owner, for `reason`; whether there is one. If nobody else has
/// a hot copy, somebody is given one, for which `successor` says why.
pub(super) fn hand_over(
    planning: &mut Planning<'_>,
    draft: &mut Draft<'_>,
    leaving: Option<&MemberId>,
    [reason, successor]: [Reason; 2],
) -> bool {
    let best = furthest(planning.observed, draft, candidates(planning, draft).into_iter());
    let why = match best {
        Some((to, Cover::Whole(_) | Cover::Unseen)) => {
            let observed = planning.observed;
            let (command, awaits) = draft.hand_off(observed, &to).map_or_else(|e| (Err(e), None), |(c, a)| (Ok(c), a));
            return planning.propose(draft, command, awaits, reason);
        }
        Some((member, Cover::Short(applied))) => NoTarget::Behind { member, applied },
        None => NoTarget::NoReplica,
    };
    let enlists = why == NoTarget::NoReplica;
    planning.plan.blockers.push(Blocker::NoHandoffTarget { range: draft.key.clone(), why });
    if enlists && planning.enlist(draft, Role::Replica, leaving, successor).is_none() {
        planning.plan.blockers.push(Blocker::NoReplacement { range: draft.key.clone(), role: Role::Replica });
    }
    false
}

/// The replicas that may own the range. Those that a copy failed to reach are left out if there
/// are others. If there are none and nobody may write the range, a new one is to be found,
/// unless so many failed that it is likely the source that does.
fn candidates<'r>(planning: &Planning<'_>, draft: &'r Draft<'_>) -> Vec<&'r MemberId> {
    let (observed, key, range) = (planning.observed, &draft.key, &draft.range);
    let eligible = range.replicas.iter().filter(|replica| planning.pool.contains(replica));
    let (failed, others): (Vec<_>, Vec<_>) = eligible.partition(|replica| observed.has_failed(key, replica));
    let few = u32::try_from(failed.len()).is_ok_and(|count| count <= range.placement.replication_factor);
    let finds = few && observed.is_closed(key, range) && planning.pool.choose(range, None).is_some();
    if finds || !others.is_empty() { others } else { failed }
}

/// The furthest of `replicas`; of those alike the lowest name.
pub(super) fn furthest<'a>(
    observed: &Observed,
    draft: &Draft<'_>,
    replicas: impl Iterator<Item = &'a MemberId>,
) -> Option<(MemberId, Cover)> {
    let seen = |member: &'a MemberId| (observed.cover(&draft.key, &draft.range, member), Reverse(member));
    replicas.map(seen).max().map(|(cover, Reverse(member))| (member.clone(), cover))
}
