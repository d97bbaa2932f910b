//! Proposals, positions, outcomes, fences.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{Attempt, World, ensure, scenario};
use cp_catalog::{
    Bounds, CollectionName, Copies, CopyEdit, DataPosition, Effect, Epoch, Evidence, Fence, GroupName, Mode, NewRange,
    OwnershipCommand, Placement, Range, RangeId, RangeKey, Transfer, Verdict as Decision,
};
use cp_seam::{ControlPlaneEntryKind, LogPosition, Outcome, ProposeError, ProposeRefusal, Term};
use std::collections::BTreeSet;
use std::time::Duration;

/// Entries of both kinds are committed; every node tells so, tells of another
/// term in the same slot that it is superseded, and of what is beyond the log
/// that it is unknown (CP-P3, CP-D3, CP-S4).
pub fn outcomes_are_told_on_every_node(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("propose::outcomes_are_told_on_every_node").run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let mut kinds = BTreeSet::new();
        while kinds.len() < 2 {
            let (up, entry) = (world.up(leader)?, world.entry()?);
            kinds.insert(entry.kind() == ControlPlaneEntryKind::MembershipChange);
            let since = world.monitor().begin();
            let position = up.node.propose(entry.clone()).await.map_err(|e| scenario(e.to_string()))?;
            world.monitor().placed(position, &entry);
            let outcome = up.node.outcome(position, world.election_timeout()).await;
            world.monitor().told(&up.life, position, outcome, Some(since));
            ensure(outcome == Outcome::Committed, Promise::P3, || format!("{position} ended {outcome:?}"))?;
            for slot in [0, 1, 2] {
                let outcome = world.outcome(slot, position, world.election_timeout()).await?;
                ensure(outcome == Outcome::Committed, Promise::P3, || format!("n{slot} says {outcome:?}"))?;
                let other = LogPosition::new(Term(position.term.0 + 1), position.index);
                let outcome = world.outcome(slot, other, Duration::from_millis(10)).await?;
                ensure(outcome == Outcome::Superseded, Promise::P3, || format!("n{slot} says {outcome:?} of {other}"))?;
                let beyond = LogPosition::new(position.term, position.index.next());
                let outcome = world.outcome(slot, beyond, Duration::from_millis(10)).await?;
                ensure(outcome == Outcome::Unknown, Promise::P3, || format!("n{slot} says {outcome:?} of {beyond}"))?;
            }
        }
        Ok(())
    })
}

/// A follower refuses, names the leader, and what it refused is in no log (CP-P1).
pub fn a_follower_refuses_and_names_the_leader(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("propose::a_follower_refuses_and_names_the_leader").run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let name = world.member(leader)?;
        for follower in world.others(&[leader]) {
            let refused = world.propose(follower).await?;
            let expected = ProposeRefusal::NotLeader { leader: Some(name.clone()) };
            let as_expected = matches!(&refused, Err(ProposeError::Refused(refusal)) if *refusal == expected);
            ensure(as_expected, Promise::P1, || format!("n{follower} answers {refused:?}"))?;
            let read = world.read(follower).await?;
            ensure(read.is_err(), Promise::P4, || format!("n{follower} serves a read"))?;
        }
        world.write(leader).await.map(drop)
    })
}

/// Fifty proposals at once get fifty positions, and all are committed (CP-P3, CP-S2).
pub fn concurrent_proposals_get_positions_of_their_own(backend: &'static dyn Backend) -> Verdict {
    let least = Least { commits: 50, ..Least::default() };
    Scenario::new("propose::concurrent_proposals_get_positions_of_their_own").least(least).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let up = world.up(leader)?;
        let entries = (0..50).map(|_| world.entry()).collect::<Result<Vec<_>, _>>()?;
        let proposed = futures::future::join_all(entries.iter().map(|entry| up.node.propose(entry.clone()))).await;
        let mut positions = BTreeSet::new();
        for (entry, position) in entries.iter().zip(proposed) {
            let position = position.map_err(|error| scenario(error.to_string()))?;
            world.monitor().placed(position, entry);
            positions.insert(position);
        }
        ensure(positions.len() == 50, Promise::P3, || format!("{} positions for 50 proposals", positions.len()))?;
        for position in positions {
            let outcome = world.outcome(leader, position, world.election_timeout()).await?;
            ensure(outcome == Outcome::Committed, Promise::P3, || format!("{position} ended {outcome:?}"))?;
        }
        Ok(())
    })
}

/// A request that is retried under its id, at the same leader and at the next,
/// takes effect once (CP-P5).
pub fn a_request_takes_effect_once(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("propose::a_request_takes_effect_once").run(backend, async |world| {
        let entry = world.entry()?;
        for attempt in 0..3 {
            let leader = world.settled_leader().await?;
            let up = world.up(leader)?;
            let position = up.node.propose(entry.clone()).await.map_err(|error| scenario(error.to_string()))?;
            let outcome = up.node.outcome(position, world.election_timeout() * 2).await;
            ensure(outcome == Outcome::Committed, Promise::P5, || format!("attempt {attempt} ended {outcome:?}"))?;
            let repeated = up.state.change(position.index).map(|change| change.repeated);
            ensure(repeated == Some(attempt > 0), Promise::P5, || format!("attempt {attempt}: repeated {repeated:?}"))?;
            if attempt == 1 {
                world.kill(leader, Survivors::Nothing)?;
            }
        }
        Ok(())
    })
}

/// A range of `n0`, in a collection of its own.
pub(super) async fn fenced_range(world: &mut World) -> Result<RangeKey, Broken> {
    let bad = |error: &dyn std::fmt::Display| scenario(error.to_string());
    let collection = CollectionName::new("fenced").map_err(|e| bad(&e))?;
    let group = GroupName::new("g").map_err(|e| bad(&e))?;
    let range = RangeKey::new(collection.clone(), RangeId(1));
    let create = OwnershipCommand::CreateCollection { collection, group, mode: Mode::Ordered };
    world.decide(create).await?;
    let new = NewRange {
        range: range.clone(),
        mode: Mode::Ordered,
        bounds: Bounds::ALL,
        owner: world.member(0)?,
        replicas: Copies::default(),
        archives: Copies::default(),
        placement: Placement::default(),
    };
    world.decide(OwnershipCommand::CreateRange(new)).await?;
    Ok(range)
}

/// Of two transitions that saw the same fence one is accepted, and the fence that
/// it leaves is the only one that counts, also at the next leader (CP-S5).
pub fn ownership_is_fenced(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("propose::ownership_is_fenced").run(backend, async |world| {
        let range = fenced_range(world).await?;
        let leader = world.settled_leader().await?;
        let fence_at = |world: &World, slot| -> Result<Option<Fence>, Broken> {
            Ok(world.up(slot)?.state.read(|catalog| catalog.range(&range).map(cp_catalog::Range::fence)))
        };
        let fence = fence_at(world, leader)?.ok_or_else(|| scenario("the range is not there"))?;
        let edit = |slot| -> Result<OwnershipCommand, Broken> {
            let member = world.member(slot)?;
            Ok(OwnershipCommand::AddReplica(CopyEdit { range: range.clone(), fence, member }))
        };
        let (one, two) = (edit(1)?, edit(2)?);
        let first = world.decide(one).await?;
        ensure(first.is_done(), Promise::S5, || format!("the first edit ended {first}"))?;
        for attempt in 0..2 {
            let stale = world.decide(two.clone()).await?;
            ensure(matches!(stale, Decision::Refused(_)), Promise::S5, || format!("a stale edit ended {stale}"))?;
            if attempt == 0 {
                let leader = world.settled_leader().await?;
                world.kill(leader, Survivors::Nothing)?;
            }
        }
        let leader = world.leader().await?;
        let now = fence_at(world, leader)?.ok_or_else(|| scenario("the range is gone"))?;
        ensure(now.version > fence.version && now.epoch >= fence.epoch, Promise::S5, || {
            format!("{fence} became {now}")
        })?;
        match world.attempt(leader, world.election_timeout()).await? {
            Attempt::Committed(_) => Ok(()),
            other => Err(scenario(format!("a write ended {other:?}"))),
        }
    })
}

/// Lets the replica of `range` own it, and answers the epoch that this left.
async fn promoted(world: &mut World, range: &RangeKey) -> Result<Epoch, Broken> {
    let leader = world.settled_leader().await?;
    let seen = world.up(leader)?.state.read(|catalog| {
        let of = |range: &Range| Some((range.owner.clone(), range.fence(), range.replicas.iter().next()?.clone()));
        catalog.range(range).and_then(of)
    });
    let (from, fence, to) = seen.ok_or_else(|| scenario("the range has no replica"))?;
    let position = DataPosition { term: 1, lsn: 1 };
    let evidence = Evidence { candidate: to.clone(), applied: position, watermark: position, closed_gate: None };
    let transfer = Transfer { range: range.clone(), from, fence, to, evidence: Some(evidence) };
    match world.decide(OwnershipCommand::Promote(transfer)).await? {
        Decision::Done(Effect::RangeAt { now, .. }) => Ok(now.epoch),
        other => Err(scenario(format!("a promotion ended {other:?}"))),
    }
}

/// A range changes hands, all members lose power and start from snapshots that hold it,
/// and it changes hands again: its epoch has not begun anew (CP-S5, CP-R1).
pub fn an_epoch_rises_across_a_restart(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 6, transitions: 6, ..Least::default() };
    Scenario::new("propose::an_epoch_rises_across_a_restart").least(least).run(backend, async |world| {
        let range = fenced_range(world).await?;
        let leader = world.settled_leader().await?;
        let fence = world.up(leader)?.state.read(|catalog| catalog.range(&range).map(Range::fence));
        let fence = fence.ok_or_else(|| scenario("the range is not there"))?;
        let (copied, member) = (range.clone(), world.member(1)?);
        world.decide(OwnershipCommand::AddReplica(CopyEdit { range: copied, fence, member })).await?;
        let mut last = fence.epoch;
        for _ in 0..3 {
            for _ in 0..2 {
                let next = promoted(world, &range).await?;
                ensure(next > last, Promise::S5, || format!("after epoch {last} came {next}"))?;
                last = next;
            }
            // More than what calls for a snapshot.
            let position = world.writes(80).await?;
            world.applied(&[0, 1, 2], position, world.election_timeout() * 4).await?;
            for slot in 0..world.size() {
                world.kill(slot, Survivors::Nothing)?;
            }
            for slot in 0..world.size() {
                world.start(slot).await?;
            }
        }
        Ok(())
    })
}
