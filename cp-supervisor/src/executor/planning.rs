//! What a run does next: a plan by what is seen now and by what failed before.

use super::report::{Blocked, Obstacle};
use super::steps::fenced;
use super::{Executor, Goal, RunError};
use cp_catalog::plan::{Blocker, NoTarget, Observed, Plan, Warning};
use cp_catalog::{Catalog, DataPosition, Epoch, RangeKey};
use cp_seam::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// A copy of a range.
type CopyOf = (RangeKey, MemberId);

/// What a run has learnt that its next plan goes by. It need not outlast the run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The copies that could not be brought up.
    failed: BTreeSet<CopyOf>,
    /// The gates that were closed for a step that was not done.
    shut: BTreeSet<(RangeKey, Epoch)>,
}

impl Memory {
    /// Learns from a step that was not done; whether that is new, so that another plan may
    /// find another way.
    pub(super) fn learn(&mut self, blocked: &Blocked) -> bool {
        let Blocked::Step { step, why, shut } = blocked else { return false };
        let Some((range, fence)) = fenced(&step.command) else { return false };
        let failed = match why {
            Obstacle::Copy { member, .. } | Obstacle::Short { member, .. } => {
                self.failed.insert((range.clone(), member.clone()))
            }
            _ => false,
        };
        let shut = *shut && self.shut.insert((range.clone(), fence.epoch));
        failed || shut
    }
}

impl Executor<'_> {
    /// What is to be done by what is so now, and what is in the way. Copies for which that
    /// alone keeps others waiting, that they lack writes, are brought up first.
    pub(super) async fn plan(&self, goal: &Goal, memory: &mut Memory) -> Result<(Plan, Vec<Blocked>), RunError> {
        let catalog = self.course.control.state().await.map_err(RunError::State)?.catalog;
        let members = self.course.data.members().await.map_err(RunError::Data)?;
        let mut observed = Observed { members, ..Observed::default() };
        goal.mark(&mut observed);
        let (scope, lost) = (goal.ranges(&catalog, &observed), goal.lost(&catalog, &observed));
        observed.ranges = self.course.data.ranges(&scope, &lost).await.map_err(RunError::Data)?;
        for (range, member) in &memory.failed {
            observed.ranges.entry(range.clone()).or_default().failed.insert(member.clone());
        }
        let mut failures: BTreeMap<CopyOf, Obstacle> = BTreeMap::new();
        let mut tried: BTreeSet<CopyOf> = BTreeSet::new();
        loop {
            let plan = goal.plan(&catalog, &observed);
            let mut behind = behind(&plan, goal);
            behind.extend(copying(&plan, goal, &catalog, &observed, &scope, &tried));
            behind.retain(|copy| tried.insert(copy.clone()));
            if behind.is_empty() {
                return Ok(sorted(plan, &failures));
            }
            let calls = behind.into_iter().map(|copy| self.catch_up(&catalog, &observed, copy));
            for (copy, result) in self.beside_each_other(calls).await {
                let seen = observed.ranges.entry(copy.0.clone()).or_default();
                match result {
                    Ok(applied) => {
                        seen.applied.insert(copy.1, applied);
                    }
                    Err(why) => {
                        seen.failed.insert(copy.1.clone());
                        memory.failed.insert(copy.clone());
                        failures.insert(copy, why);
                    }
                }
            }
        }
    }

    /// Brings a copy up to what it must hold by what was observed.
    async fn catch_up(
        &self,
        catalog: &Catalog,
        observed: &Observed,
        copy: CopyOf,
    ) -> (CopyOf, Result<DataPosition, Obstacle>) {
        let (key, member) = &copy;
        let result = match catalog.range(key) {
            Some(range) => self.course.bring_up(key, range, member, observed.needed(key, range)).await,
            None => Err(Obstacle::Gone),
        };
        (copy, result)
    }
}

/// The copies that could take a range over if they had its last writes. Those of a range
/// whose owner is lost have nobody to bring them up.
fn behind(plan: &Plan, goal: &Goal) -> Vec<CopyOf> {
    if matches!(goal, Goal::Failover { .. }) {
        return Vec::new();
    }
    let copy = |blocker: &Blocker| match blocker {
        Blocker::NoHandoffTarget { range, why: NoTarget::Behind { member, .. } } => {
            Some((range.clone(), member.clone()))
        }
        _ => None,
    };
    plan.blockers.iter().filter_map(copy).collect()
}

/// The copies under way that keep a rebalance from going on, so many as may be at a time.
fn copying(
    plan: &Plan,
    goal: &Goal,
    catalog: &Catalog,
    observed: &Observed,
    scope: &[RangeKey],
    tried: &BTreeSet<CopyOf>,
) -> Vec<CopyOf> {
    let capped = plan.warnings.iter().any(|warning| matches!(warning, Warning::Capped { .. }));
    let (Goal::Rebalance { moves_max }, true) = (goal, capped) else { return Vec::new() };
    let still = scope.iter().filter_map(|key| Some((key, catalog.range(key).filter(|range| range.moving.is_none())?)));
    let copies = still.flat_map(|(key, range)| {
        observed.copying(catalog, key, range).into_iter().map(move |member| (key.clone(), member.clone()))
    });
    copies.filter(|copy| !tried.contains(copy)).take((*moves_max).max(1)).collect()
}

/// The plan, and what it leaves: each blocker, or why the copy that is behind was not
/// brought up, and the warnings that say that something is not done.
fn sorted(mut plan: Plan, failures: &BTreeMap<CopyOf, Obstacle>) -> (Plan, Vec<Blocked>) {
    let why = |range: &RangeKey, why: &NoTarget| {
        let NoTarget::Behind { member, .. } = why else { return None };
        failures.get(&(range.clone(), member.clone())).map(|why| (member.clone(), why.clone()))
    };
    let blocked = |blocker: Blocker| match &blocker {
        Blocker::NoHandoffTarget { range, why: no } => {
            why(range, no).map_or(Blocked::Unplanned(blocker.clone()), |(member, why)| Blocked::Behind {
                range: range.clone(),
                member,
                why,
            })
        }
        _ => Blocked::Unplanned(blocker),
    };
    let mut left: Vec<_> = plan.blockers.iter().cloned().map(blocked).collect();
    let undone = |warning: &Warning| matches!(warning, Warning::Capped { .. } | Warning::TooFewCopies(_));
    let (undone, warnings) = std::mem::take(&mut plan.warnings).into_iter().partition(undone);
    plan.warnings = warnings;
    let undone: Vec<Warning> = undone;
    left.extend(undone.into_iter().map(Blocked::Left));
    (plan, left)
}
