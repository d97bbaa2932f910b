//! What an interrupted run has left half done.

use super::draft::Draft;
use super::drain::hand_over;
use super::evacuate::Planning;
use super::observed::Cover;
use super::{Awaits, Blocker, NoTarget, Observed, Plan, Reason};
use crate::catalog::Catalog;
use crate::command::OwnershipCommand;
use crate::id::RangeKey;
use crate::range::{Move, MovePhase, Range, Role};
use std::collections::BTreeMap;

/// What to propose so that no move is in flight, and no range has an owner that has closed
/// its gate.
///
/// A move goes on through its phases to its end. If its target may not take the range it
/// is aborted; if its source is lost or expelled it is resolved, once the target was seen to
/// cover the watermark. A range whose owner closed its gate, which never opens again under its
/// epoch, goes to the furthest eligible replica, or is given one; if the owner is lost or
/// expelled it is blocked, for a failover. What was not seen of a
/// range counts as an open gate. Planning again when some is done gives the rest.
pub fn finish(catalog: &Catalog, observed: &Observed) -> Plan {
    let mut halves: BTreeMap<RangeKey, &Range> = BTreeMap::new();
    for (name, collection) in catalog.collections.iter() {
        let moving = collection.by_key().filter(|range| range.moving.is_some());
        halves.extend(moving.map(|range| (RangeKey::new(name.clone(), range.id), &**range)));
    }
    let found = observed.ranges.keys().filter_map(|key| Some((key, catalog.range(key)?)));
    halves.extend(found.filter(|(key, range)| observed.is_closed(key, range)).map(|(key, range)| (key.clone(), range)));
    let mut planning = Planning::new(catalog, observed, None);
    for (key, range) in halves {
        settle(&mut planning, &mut Draft::new(catalog, key, range), range);
    }
    planning.finish()
}

fn settle(planning: &mut Planning<'_>, draft: &mut Draft<'_>, range: &Range) {
    let closed_here = planning.observed.is_closed(&draft.key, range);
    let gone = planning.is_gone(&range.owner);
    // Behind a closed gate the range does not wait for a target that copies do not reach.
    let waits = |moving: &Move| !closed_here || !planning.observed.has_failed(&draft.key, &moving.target);
    match range.moving.as_deref() {
        Some(moving) if gone => resolve(planning, draft, moving),
        Some(moving) if planning.pool.contains(&moving.target) && waits(moving) => go_on(planning, draft, moving),
        Some(moving) if !closed_here => {
            let reason = Reason::Moving { target: moving.target.clone() };
            let command = draft.drop(Role::Replica, &moving.target);
            planning.propose(draft, command, None, reason);
        }
        // That is a failover's.
        None if gone => planning.owner_gone(draft),
        Some(_) | None => {
            hand_over(planning, draft, None, closed(range));
        }
    }
}

/// Why a range whose owner closed its gate goes to another, and why that one is given a copy.
pub(super) fn closed(range: &Range) -> [Reason; 2] {
    let owner = range.owner.clone();
    [Reason::Closed { owner: owner.clone() }, Reason::Closed { owner }]
}

fn go_on(planning: &mut Planning<'_>, draft: &mut Draft<'_>, moving: &Move) {
    let reason = || Reason::Moving { target: moving.target.clone() };
    let mut phase = moving.phase;
    while let Some(next) = phase.next() {
        let awaits = (next == MovePhase::CatchingUp).then(|| Awaits::Caught {
            range: draft.key.clone(),
            members: vec![moving.target.clone()],
            watermark: planning.observed.watermark(&draft.key, &draft.range),
        });
        let command = draft.advance(next);
        if !planning.propose(draft, command, awaits, reason()) {
            return;
        }
        phase = next;
    }
    let observed = planning.observed;
    let (command, awaits) = draft.complete(observed).map_or_else(|e| (Err(e), None), |(c, a)| (Ok(c), a));
    planning.propose(draft, command, awaits, reason());
}

fn resolve(planning: &mut Planning<'_>, draft: &mut Draft<'_>, moving: &Move) {
    let (owner, observed) = (draft.range.owner.clone(), planning.observed);
    let evidence = observed.evidence(&draft.key, &draft.range, &moving.target);
    let why = match observed.cover(&draft.key, &draft.range, &moving.target) {
        _ if !planning.pool.contains(&moving.target) => NoTarget::NoReplica,
        Cover::Whole(_) => {
            let (range, fence) = (draft.key.clone(), draft.range.fence());
            let command = OwnershipCommand::ResolveMove { range, fence, evidence };
            planning.propose(draft, Ok(command), None, Reason::Lost { owner, for_ms: None });
            return;
        }
        Cover::Short(applied) => NoTarget::Behind { member: moving.target.clone(), applied },
        Cover::Unseen => NoTarget::Unseen,
    };
    planning.plan.blockers.push(Blocker::NoSafeCandidate { range: draft.key.clone(), owner, why });
}
