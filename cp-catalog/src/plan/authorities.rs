//! Placement authorities whose holders go.

use super::{Blocker, Plan, Reason, Step};
use crate::catalog::Catalog;
use crate::command::OwnershipCommand;
use cp_seam::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// Gives every authority whose holder `leaves` to one of `takers`: those that are not
/// marked before those that are, then who holds fewest, then the lowest name.
pub(super) fn reassign(
    plan: &mut Plan,
    catalog: &Catalog,
    takers: Vec<(bool, &MemberId)>,
    leaves: impl Fn(&MemberId) -> Option<Reason>,
) {
    let mut held: BTreeMap<&MemberId, u64> = BTreeMap::new();
    for authority in catalog.authorities() {
        let count = held.entry(&authority.holder).or_default();
        *count = count.saturating_add(1);
    }
    let of = |id| held.get(id).copied().unwrap_or_default();
    let mut free: BTreeSet<_> = takers.into_iter().map(|(marked, id)| (marked, of(id), id)).collect();
    for authority in catalog.authorities() {
        let Some(reason) = leaves(&authority.holder) else { continue };
        let Some((marked, count, holder)) = free.pop_first() else {
            plan.blockers.push(Blocker::NoAuthority { group: authority.group.clone() });
            continue;
        };
        free.insert((marked, count.saturating_add(1), holder));
        let (group, fence, holder) = (authority.group.clone(), authority.fence(), holder.clone());
        let command = OwnershipCommand::ReassignAuthority { group, fence, holder };
        plan.steps.push(Step { command, awaits: None, reason });
    }
}
