//! Who takes over from owners that are lost.

use super::authorities::reassign;
use super::observed::Cover;
use super::{Blocker, Condition, Health, NoTarget, Observed, Plan, Reason, Step, Warning};
use crate::catalog::Catalog;
use crate::command::{OwnershipCommand, Transfer};
use crate::id::RangeKey;
use crate::range::Range;
use cp_seam::{MemberId, MemberKind};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What to propose so that no range stays with an owner that is lost, and no authority with
/// a holder that is: one that has failed by `health` at `now_ms`, which is when it has failed
/// for long enough without a break, or that `observed` takes for lost.
///
/// A candidate is a hot replica on an active data member that has been heard from and has
/// not failed, and is known to cover the range's watermark: the healthy before the
/// failing, then the furthest, then the lowest name. What was not seen is not covered:
/// then, and where all are behind, the range is blocked and nothing is proposed for it.
/// Authorities go to who holds fewest of those that are healthy, else of the failing.
pub fn failover(catalog: &Catalog, observed: &Observed, health: &Health, now_ms: u64) -> Plan {
    let mut plan = Plan::default();
    // For how long, if that is known.
    let mut failed: BTreeMap<&MemberId, Option<u64>> = BTreeMap::new();
    let mut takers = Vec::new();
    let mut members = 0_u64;
    for member in catalog.members().filter(|member| member.kind == MemberKind::Data) {
        members = members.saturating_add(1);
        let condition = health.condition(&member.id, now_ms);
        let alive = matches!(condition, Condition::Healthy | Condition::Failing { .. });
        if alive && !observed.is_lost(&member.id) && member.eligibility().is_ok() {
            takers.push((condition != Condition::Healthy, &member.id));
        }
        match condition {
            Condition::Failed { since_ms } => {
                failed.insert(&member.id, Some(now_ms.saturating_sub(since_ms)));
            }
            _ if observed.is_lost(&member.id) => {
                failed.insert(&member.id, None);
            }
            Condition::Failing { since_ms } if catalog.holdings(&member.id).owned > 0 => {
                let for_ms = now_ms.saturating_sub(since_ms);
                let act_after_ms = health.settings().fail_after_ms;
                plan.warnings.push(Warning::Failing { member: member.id.clone(), for_ms, act_after_ms });
            }
            Condition::Failing { .. } | Condition::Unheard | Condition::Healthy => {}
        }
    }
    let lost = u64::try_from(failed.len()).unwrap_or(u64::MAX);
    if lost.saturating_mul(2) > members {
        plan.warnings.push(Warning::MostLost { lost, members });
    }
    let orphaned = failed.keys().any(|member| catalog.holdings(member).owned > 0);
    for (name, collection) in catalog.collections.iter().filter(|_| orphaned) {
        for range in collection.by_key() {
            let Some(for_ms) = failed.get(&range.owner) else { continue };
            let key = RangeKey::new(name.clone(), range.id);
            let owner = range.owner.clone();
            match candidate(catalog, observed, &key, range, |member| health.condition(member, now_ms)) {
                Ok(to) => {
                    let evidence = observed.evidence(&key, range, &to);
                    let transfer = Transfer { range: key, from: owner.clone(), fence: range.fence(), to, evidence };
                    let (command, reason) =
                        (OwnershipCommand::Promote(transfer), Reason::Lost { owner, for_ms: *for_ms });
                    plan.steps.push(Step { command, awaits: None, reason });
                }
                Err(why) => plan.blockers.push(Blocker::NoSafeCandidate { range: key, owner, why }),
            }
        }
    }
    let leaves =
        |holder: &MemberId| failed.get(holder).map(|for_ms| Reason::Lost { owner: holder.clone(), for_ms: *for_ms });
    reassign(&mut plan, catalog, takers, leaves);
    plan
}

fn candidate(
    catalog: &Catalog,
    observed: &Observed,
    key: &RangeKey,
    range: &Range,
    condition: impl Fn(&MemberId) -> Condition,
) -> Result<MemberId, NoTarget> {
    let living = range.replicas.iter().filter_map(|member| {
        let eligible = catalog.member(member).is_some_and(|record| record.eligibility().is_ok());
        let healthy = match condition(member) {
            Condition::Healthy => true,
            Condition::Failing { .. } => false,
            Condition::Unheard | Condition::Failed { .. } => return None,
        };
        let cover = observed.cover(key, range, member);
        (eligible && !observed.is_lost(member)).then_some((healthy, cover, Reverse(member)))
    });
    let (whole, others): (Vec<_>, Vec<_>) = living.partition(|(_, cover, _)| matches!(cover, Cover::Whole(_)));
    if let Some((_, _, Reverse(member))) = whole.into_iter().max() {
        return Ok(member.clone());
    }
    match others.into_iter().map(|(_, cover, member)| (cover, member)).max() {
        None => Err(NoTarget::NoReplica),
        Some((Cover::Short(applied), Reverse(member))) => Err(NoTarget::Behind { member: member.clone(), applied }),
        Some((Cover::Unseen | Cover::Whole(_), _)) => Err(NoTarget::Unseen),
    }
}
