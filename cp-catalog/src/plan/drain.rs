//! How a member gives up all that it has.

use super::draft::Draft;
use super::evacuate::Planning;
use super::observed::Cover;
use super::{Blocker, NoTarget, Observed, Plan, Reason, Step, Warning};
use crate::catalog::Catalog;
use crate::command::OwnershipCommand;
use crate::member::Service;
use crate::range::Role;
use cp_seam::MemberId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What to propose so that `member` owns and holds nothing and can be removed.
///
/// Each range that it owns goes to the furthest-applied eligible replica which covers the
/// range's watermark; a replica whose position was not seen comes after those, and its
/// step awaits the evidence. Its hot and archive copies go, each replaced by one elsewhere
/// only if fewer than the replication factor would be left. Authorities that it holds go
/// to who holds fewest. Without blockers, and once every step is done, the member can be
/// removed. Planning again when some are done gives the rest.
pub fn drain(catalog: &Catalog, observed: &Observed, member: &MemberId) -> Plan {
    let mut planning = Planning::new(catalog, observed, Some(member));
    match catalog.member(member) {
        None => {
            planning.plan.blockers.push(Blocker::NotAMember { member: member.clone() });
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
            Role::Owner if !hand_over(&mut planning, &mut draft, member) => {}
            Role::Owner | Role::Replica => planning.evacuate(&mut draft, Role::Replica, member),
            Role::Archive => planning.evacuate(&mut draft, Role::Archive, member),
        }
    }
    reassign(&mut planning, catalog, member);
    planning.finish()
}

/// Hands the range to another owner; whether there is one.
fn hand_over(planning: &mut Planning<'_>, draft: &mut Draft<'_>, member: &MemberId) -> bool {
    let eligible = draft.range.replicas.iter().filter(|replica| planning.pool.contains(replica));
    let best = furthest(planning.observed, draft, eligible);
    let why = match best {
        Some((to, Cover::Whole(_) | Cover::Unseen)) => {
            let (reason, observed) = (Reason::Leaving { member: member.clone() }, planning.observed);
            let (command, awaits) = draft.hand_off(observed, &to).map_or_else(|e| (Err(e), None), |(c, a)| (Ok(c), a));
            return planning.propose(draft, command, awaits, reason);
        }
        Some((member, Cover::Short(applied))) => NoTarget::Behind { member, applied },
        None => NoTarget::NoReplica,
    };
    let enlists = why == NoTarget::NoReplica;
    planning.plan.blockers.push(Blocker::NoHandoffTarget { range: draft.key.clone(), why });
    if enlists {
        let reason = Reason::Successor { member: member.clone() };
        if planning.enlist(draft, Role::Replica, Some(member), reason).is_none() {
            planning.plan.blockers.push(Blocker::NoReplacement { range: draft.key.clone(), role: Role::Replica });
        }
    }
    false
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

fn reassign(planning: &mut Planning<'_>, catalog: &Catalog, member: &MemberId) {
    let mut held: BTreeMap<&MemberId, u64> = BTreeMap::new();
    for authority in catalog.authorities() {
        let count = held.entry(&authority.holder).or_default();
        *count = count.saturating_add(1);
    }
    if !held.contains_key(member) {
        return;
    }
    let of = |id| held.get(id).copied().unwrap_or_default();
    let mut free: BTreeSet<(u64, &MemberId)> =
        catalog.members().map(|m| &m.id).filter(|id| planning.pool.contains(id)).map(|id| (of(id), id)).collect();
    for authority in catalog.authorities().filter(|authority| authority.holder == *member) {
        let Some((count, holder)) = free.pop_first() else {
            planning.plan.blockers.push(Blocker::NoAuthority { group: authority.group.clone() });
            continue;
        };
        free.insert((count.saturating_add(1), holder));
        let (group, fence, holder) = (authority.group.clone(), authority.fence(), holder.clone());
        let command = OwnershipCommand::ReassignAuthority { group, fence, holder };
        planning.plan.steps.push(Step { command, awaits: None, reason: Reason::Authority { member: member.clone() } });
    }
}
