//! Snapshots and compaction.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::network::Conditions;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_seam::{LogPosition, Outcome, Term};
use std::time::Duration;

/// A member that was away while the log was compacted past it gets a snapshot,
/// the same state as the others, and exact answers about what it never saw
/// (CP-R1, CP-R3, CP-P3).
pub fn a_member_far_behind_catches_up(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 2, commits: 300, restarts: 2, ..Least::default() };
    Scenario::new("snapshot::a_member_far_behind_catches_up").least(least).run(backend, async |world| {
        for round in 0..2 {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(away, Survivors::Nothing)?;
            let unseen = world.writes(1).await?;
            let last = world.writes(160).await?;
            world.start(away).await?;
            world.applied(&[away], last, world.election_timeout() * 10).await?;
            let all: Vec<usize> = (0..world.size()).collect();
            world.same_state(&all, world.election_timeout() * 10).await?;
            let outcome = world.outcome(away, unseen, Duration::from_millis(10)).await?;
            ensure(outcome == Outcome::Committed, Promise::P3, || format!("round {round}: {unseen} is {outcome:?}"))?;
            let never = LogPosition::new(Term(unseen.term.0 + 1), unseen.index);
            let outcome = world.outcome(away, never, Duration::from_millis(10)).await?;
            ensure(outcome == Outcome::Superseded, Promise::P3, || format!("round {round}: {never} is {outcome:?}"))?;
        }
        Ok(())
    })
}

/// A member loses power at any of the disk operations of an install, and gets its
/// snapshot in the end (CP-R1, CP-S2, CP-D2).
pub fn an_interrupted_install_is_begun_again(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 2, restarts: 12, ..Least::default() };
    Scenario::new("snapshot::an_interrupted_install_is_begun_again").least(least).run(backend, async |world| {
        for round in 0..2_u64 {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(away, Survivors::Nothing)?;
            let last = world.writes(150).await?;
            for cut in 0..8 {
                // Booting has operations of its own: those first, then the install's.
                world.disk(away)?.with_faults(|faults| faults.crash_after = Some(cut * 3 + round));
                if world.try_start(away).await.is_ok() {
                    world.pass(world.election_timeout()).await;
                }
                world.reap(Survivors::Nothing)?;
                if world.up(away).is_ok() {
                    world.kill(away, Survivors::Prefix)?;
                }
                world.disk(away)?.crash(Survivors::Nothing);
            }
            world.disk(away)?.with_faults(|faults| faults.crash_after = None);
            world.start(away).await?;
            world.applied(&[away], last, world.election_timeout() * 10).await?;
        }
        Ok(())
    })
}

/// A member that runs loses power at each disk operation of an install in turn, and
/// starts again from whatever that left (CP-R1, CP-S2, CP-D2).
pub fn an_install_happens_whole_or_not_at_all(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, restarts: 30, ..Least::default() };
    Scenario::new("snapshot::an_install_happens_whole_or_not_at_all").least(least).run(backend, async |world| {
        let t = world.election_timeout();
        let mut behind = false;
        for operations in 0..30 {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(away, Survivors::Nothing)?;
            let last = world.writes(if behind { 1 } else { 150 }).await?;
            world.start(away).await?;
            world.disk(away)?.with_faults(|faults| faults.crash_after = Some(operations));
            let over = |world: &crate::World| {
                let up = world.up(away).ok()?;
                let whole = world.status(away).ok()?.applied >= last.index;
                (whole || !up.life.goes_on()).then_some(whole)
            };
            behind = !world.until(t * 10, Promise::R1, "an install to end", over).await?;
            world.disk(away)?.with_faults(|faults| faults.crash_after = None);
            world.restart(away, Survivors::Nothing).await?;
        }
        Ok(())
    })
}

/// While a member that is far behind comes back, most of what it is sent is lost, an
/// offer of a snapshot too: it is offered again, and the member catches up (CP-R1, CP-L1).
pub fn an_offer_that_was_lost_is_repeated(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 3, restarts: 3, ..Least::default() };
    Scenario::new("snapshot::an_offer_that_was_lost_is_repeated").least(least).run(backend, async |world| {
        let t = world.election_timeout();
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(away, Survivors::Nothing)?;
            let last = world.writes(150).await?;
            world.network().conditions(Conditions { loss: 500, ..Conditions::default() });
            world.start(away).await?;
            world.pass(t * 2).await;
            world.network().conditions(Conditions::default());
            world.applied(&[away], last, t * 10).await?;
        }
        Ok(())
    })
}

/// After compaction and a power loss of all, every node still tells exactly what
/// became of early positions (CP-R1, CP-P3, CP-S2).
pub fn compaction_forgets_no_outcome(backend: &'static dyn Backend) -> Verdict {
    let least = Least { commits: 150, restarts: 3, ..Least::default() };
    Scenario::new("snapshot::compaction_forgets_no_outcome").least(least).run(backend, async |world| {
        let mut asked = vec![world.writes(1).await?];
        let leader = world.settled_leader().await?;
        world.restart(leader, Survivors::Nothing).await?;
        asked.push(world.writes(1).await?);
        world.writes(150).await?;
        for slot in 0..world.size() {
            world.kill(slot, Survivors::Nothing)?;
        }
        for slot in 0..world.size() {
            world.start(slot).await?;
        }
        world.settled_leader().await?;
        for slot in 0..world.size() {
            for position in &asked {
                let outcome = world.outcome(slot, *position, world.election_timeout() * 4).await?;
                ensure(outcome == Outcome::Committed, Promise::R1, || format!("n{slot}: {position} is {outcome:?}"))?;
                let other = LogPosition::new(Term(position.term.0 + 7), position.index);
                let outcome = world.outcome(slot, other, Duration::from_millis(10)).await?;
                ensure(outcome == Outcome::Superseded, Promise::R1, || format!("n{slot}: {other} is {outcome:?}"))?;
            }
        }
        Ok(())
    })
}

/// A leader takes more than a snapshot's worth of proposals in the dark, and the others
/// compact past the end of what it has committed. Answers it, what it took, and who leads.
async fn overtaken(world: &mut World) -> Result<(usize, Vec<LogPosition>, usize), Broken> {
    let old = world.settled_leader().await?;
    let others = world.others(&[old]);
    world.network().cut(&[old], &others);
    let mut taken = world.burst(old, 60).await?;
    taken.extend(world.burst(old, 60).await?);
    let first = world.leader_among(&others, world.election_timeout() * 4).await?;
    for _ in 0..90 {
        world.write(first).await?;
    }
    // The log of one that leads may be kept for a follower that still reads it.
    let next = others.iter().copied().find(|slot| *slot != first).unwrap_or_default();
    let name = world.member(next)?;
    let handed = world.up(first)?.node.transfer_leadership(&name).await;
    ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
    let next = world.leader_among(&others, world.election_timeout() * 4).await?;
    Ok((old, taken, next))
}

/// Callers wait for what they proposed to a leader that was cut off; what overtakes it is
/// a snapshot. Each is told that it was superseded, and the node goes on (CP-P3, CP-R1).
///
/// openraft panicked over callers that a snapshot left without their entries (#1761).
pub fn callers_that_wait_through_an_install_are_answered(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, cut: 1, elections: 3, ..Least::default() };
    Scenario::new("snapshot::callers_that_wait_through_an_install_are_answered").least(least).run(
        backend,
        async |world| {
            let (old, taken, next) = overtaken(world).await?;
            let node = world.up(old)?.node;
            let asked: Vec<LogPosition> = taken.iter().copied().step_by(10).collect();
            let patience = world.election_timeout() * 10;
            let waiting: Vec<_> = asked
                .iter()
                .map(|position| {
                    let (node, position) = (std::sync::Arc::clone(&node), *position);
                    tokio::spawn(async move { node.outcome(position, patience).await })
                })
                .collect();
            world.network().heal();
            for (position, waiting) in asked.iter().zip(waiting) {
                let outcome = waiting.await.map_err(|error| scenario(error.to_string()))?;
                ensure(outcome == Outcome::Superseded, Promise::P3, || format!("{position} ended {outcome:?}"))?;
                let elsewhere = world.outcome(next, *position, Duration::from_millis(10)).await?;
                ensure(elsewhere == outcome, Promise::P3, || format!("n{next} says {elsewhere:?} of {position}"))?;
            }
            Ok(())
        },
    )
}

/// The snapshot that overtakes a deposed leader ends in the middle of its own tail. The
/// whole tail goes: with any of it the node would seem further than it is, refuse
/// those that have more, and vote for those that have less (CP-S2, CP-R1).
///
/// raft-rs keeps what lies behind an installed snapshot; openraft took a conflicting
/// one for its own at the committed index (#1892).
pub fn a_snapshot_takes_a_conflicting_tail_with_it(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, cut: 1, elections: 4, restarts: 1, ..Least::default() };
    Scenario::new("snapshot::a_snapshot_takes_a_conflicting_tail_with_it").least(least).run(backend, async |world| {
        let (old, taken, next) = overtaken(world).await?;
        let end = taken.last().copied().unwrap_or_default();
        world.network().heal();
        let installed = |world: &World| {
            let at = world.up(old).ok()?.store.durable().borrow().snapshot;
            (at.index.0 > 0 && at.term != end.term).then_some(at)
        };
        let at = world.until(world.election_timeout() * 10, Promise::R1, "the snapshot", installed).await?;
        ensure(at.index < end.index, Promise::R1, || format!("the tail up to {end} is no longer than {at}"))
            .map_err(|broken| scenario(broken.what))?;
        // At once, before it can be brought further than the snapshot.
        world.kill(next, Survivors::Nothing)?;
        world.monitor().inspect(old);
        let kept = world.up(old)?.store.term_at(end.index) == Some(end.term);
        ensure(!kept, Promise::S2, || format!("{end} outlived the snapshot at {at}"))?;
        world.restart(old, Survivors::Nothing).await?;
        world.writes(2).await.map(drop)
    })
}

/// A snapshot is under way to a member whose ways are cut, and another time its disk
/// hangs, over and over: it is offered again until it has arrived (CP-R1, CP-L1).
///
/// raft-rs sends nothing more to a peer until it hears how its snapshot fared (tikv#2341).
pub fn a_snapshot_that_did_not_arrive_is_sent_again(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, restarts: 1, cut: 1, ..Least::default() };
    Scenario::new("snapshot::a_snapshot_that_did_not_arrive_is_sent_again").least(least).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let away = world.others(&[leader]).first().copied().unwrap_or_default();
        world.kill(away, Survivors::Nothing)?;
        let last = world.writes(110).await?;
        world.disk(away)?.stall(true);
        let others = world.others(&[away]);
        world.start(away).await?;
        for round in 0..6_u32 {
            let moment = world.rng().between(2, 40);
            world.pass(Duration::from_millis(moment)).await;
            // Chunks go through, the end of it does not.
            world.disk(away)?.stall(round % 2 == 0);
            world.network().cut(&[away], &others);
            world.pass(world.election_timeout()).await;
            world.network().heal();
        }
        world.disk(away)?.stall(false);
        world.applied(&[away], last, world.election_timeout() * 10).await
    })
}

/// Snapshots are taken and the log is cut behind them all the time, and power is lost
/// at any disk operation of it: the snapshot is there before the log goes, and with it
/// the committed index (CP-R1, CP-S2, CP-D4).
///
/// A log that went before its snapshot was durable (qdrant#7577), or a snapshot apart
/// from the hard state (nexus#4215, #4226), never started again.
pub fn power_is_lost_at_each_operation_of_a_compaction(backend: &'static dyn Backend) -> Verdict {
    let calm = Options::default();
    let settings = cp_driver::Settings { snapshot_every: 6, retained: 2, ..calm.settings.clone() };
    let options = Options { settings, ..calm };
    let least = Least { restarts: 20, commits: 80, ..Least::default() };
    Scenario::new("snapshot::power_is_lost_at_each_operation_of_a_compaction").options(options).least(least).run(
        backend,
        async |world| {
            for operation in 0..20_u64 {
                let leader = world.settled_leader().await?;
                let follower = world.others(&[leader]).first().copied().unwrap_or_default();
                let victim = if operation % 2 == 0 { leader } else { follower };
                world.writes(2).await?;
                world.disk(victim)?.with_faults(|faults| faults.crash_after = Some(operation));
                let deadline = tokio::time::Instant::now() + world.election_timeout() * 6;
                while world.up(victim)?.life.goes_on() && tokio::time::Instant::now() < deadline {
                    let leader = world.leader().await?;
                    world.attempt(leader, Duration::from_millis(20)).await?;
                }
                let survivors = if operation % 4 < 2 { Survivors::Nothing } else { Survivors::Subset };
                let gone = world.reap(survivors)?;
                ensure(gone == [victim], Promise::L1, || format!("{gone:?} are gone, not n{victim}"))?;
                world.start(victim).await?;
            }
            let taken = (0..3).all(|slot| world.up(slot).is_ok_and(|up| up.store.purged().index.0 > 40));
            ensure(taken, Promise::R1, || "too little was compacted".to_owned()).map_err(|b| scenario(b.what))
        },
    )
}
