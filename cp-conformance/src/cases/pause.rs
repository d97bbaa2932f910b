//! Nodes that stand still, a clock that jumps, ways that are clogged.

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::ensure;
use cp_seam::{Outcome, ProposeError};
use std::time::Duration;

/// A paused node sends nothing and writes nothing, whatever its role; the others go
/// on without it, and it comes back as a member (CP-L1, CP-S1).
pub fn a_paused_node_does_nothing(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, pauses: 3, held: 10, ..Least::default() };
    Scenario::new("pause::a_paused_node_does_nothing").least(least).run(backend, async |world| {
        for slot in 0..world.size() {
            let last = world.writes(2).await?;
            world.applied(&[slot], last, world.election_timeout() * 4).await?;
            world.pause(slot)?;
            let before = (world.network().sent_by(slot), world.disk(slot)?.version(), world.status(slot)?);
            world.writes(5).await?;
            world.pass(world.election_timeout() * 3).await;
            let after = (world.network().sent_by(slot), world.disk(slot)?.version(), world.status(slot)?);
            ensure(before == after, Promise::E1, || {
                format!("n{slot} is paused and went from {before:?} to {after:?}")
            })?;
            world.resume(slot)?;
            let last = world.writes(2).await?;
            world.applied(&[slot], last, world.election_timeout() * 6).await?;
        }
        Ok(())
    })
}

/// A leader is paused until another has served, and wakes up as it was: a read and a
/// proposal that waited for it see nothing old and decide nothing, and it follows
/// (CP-P2, CP-P4, CP-S1, CP-S2).
pub fn an_old_leader_wakes_up_and_serves_nothing(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 7, pauses: 6, held: 6, ..Least::default() };
    Scenario::new("pause::an_old_leader_wakes_up_and_serves_nothing").least(least).run(backend, async |world| {
        for _ in 0..6 {
            let old = world.settled_leader().await?;
            world.write(old).await?;
            world.pause(old)?;
            let next = world.leader_among(&world.others(&[old]), world.election_timeout() * 4).await?;
            let last = world.write(next).await?;
            // Callers who believe that it leads still, and began after that write.
            let (up, since, entry) = (world.up(old)?, world.monitor().begin(), world.entry()?);
            let asking = tokio::spawn({
                let up = up.clone();
                async move { up.node.read_barrier().await }
            });
            let proposing = tokio::spawn({
                let (up, entry) = (up.clone(), entry.clone());
                async move { up.node.propose(entry).await }
            });
            world.pass(Duration::from_millis(50)).await;
            world.resume(old)?;
            match proposing.await {
                Ok(Ok(position)) => {
                    world.monitor().placed(position, &entry);
                    let outcome = world.outcome(old, position, world.election_timeout() * 6).await?;
                    let lost = outcome != Outcome::Committed || position.term > last.term;
                    ensure(lost, Promise::S2, || format!("{position} of an old leader is committed"))?;
                }
                Ok(Err(ProposeError::Refused(_))) => world.monitor().refused(&entry),
                _ => world.monitor().unknown(),
            }
            if let Ok(Ok(point)) = asking.await {
                world.monitor().read(&up.life, since, point);
            }
            world.applied(&[old], last, world.election_timeout() * 6).await?;
        }
        Ok(())
    })
}

/// All voters but one stand still in the midst of an election, and go on one after
/// the other, each with late timers; there is one leader per term all the same
/// (CP-S1, CP-S3, CP-L1).
pub fn an_election_among_sleepers_has_one_winner(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 6, pauses: 15, ..Least::default() };
    let options = Options::nodes(5);
    Scenario::new("pause::an_election_among_sleepers_has_one_winner").options(options).least(least).run(
        backend,
        async |world| {
            for _ in 0..5 {
                let leader = world.settled_leader().await?;
                world.kill(leader, Survivors::Nothing)?;
                let others = world.others(&[leader]);
                let t = u64::try_from(world.election_timeout().as_millis()).unwrap_or(1);
                // Somewhere around the moment at which the first of them stands.
                let when = world.rng().between(t / 2, t);
                world.pass(Duration::from_millis(when)).await;
                for slot in others.iter().take(3) {
                    world.pause(*slot)?;
                }
                world.pass(world.election_timeout() * 2).await;
                for slot in others {
                    world.resume(slot)?;
                    let apart = world.rng().between(0, 40);
                    world.pass(Duration::from_millis(apart)).await;
                }
                world.writes(2).await?;
                world.start(leader).await?;
            }
            Ok(())
        },
    )
}

/// The clock of all nodes jumps forward, by less than T and by far more, under load:
/// every timer is late at once. Nothing is lost, and service goes on (CP-S1, CP-S2,
/// CP-P4, CP-L1).
pub fn the_clock_jumps(backend: &'static dyn Backend) -> Verdict {
    let least = Least { jumps: 8, acknowledged: 24, ..Least::default() };
    Scenario::new("pause::the_clock_jumps").least(least).run(backend, async |world| {
        for quarters in [1, 2, 3, 5, 8, 20, 100, 400] {
            let leader = world.settled_leader().await?;
            let (up, entry) = (world.up(leader)?, world.entry()?);
            let proposing = tokio::spawn(async move { up.node.propose(entry).await });
            world.pass(Duration::from_millis(1)).await;
            world.jump(world.election_timeout() * quarters / 4).await;
            let read = world.read(leader).await?;
            world.trace().node(leader, format_args!("after the jump a read ends {}", read.is_ok()));
            proposing.abort();
            world.leader_among(&[0, 1, 2], world.election_timeout() * 3).await?;
            world.writes(3).await?;
        }
        Ok(())
    })
}

/// The ways of a leader are clogged until another has served, then all that it had
/// sent arrives in one burst: its appends, its heartbeats, the votes and answers of
/// others, all out of date. Nothing changes by them (CP-S1, CP-S2, CP-P2).
pub fn a_burst_of_old_frames_changes_nothing(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 4, clogged: 20, ..Least::default() };
    Scenario::new("pause::a_burst_of_old_frames_changes_nothing").least(least).run(backend, async |world| {
        for round in 0..4 {
            let old = world.settled_leader().await?;
            let others = world.others(&[old]);
            if round % 2 == 0 {
                world.network().clog(&[old], &others);
            } else {
                world.network().clog_one_way(&[old], &others);
            }
            let (up, entry) = (world.up(old)?, world.entry()?);
            let proposing = tokio::spawn(async move { up.node.propose(entry).await });
            let next = world.leader_among(&others, world.election_timeout() * 4).await?;
            world.write(next).await?;
            let last = world.write(next).await?;
            proposing.abort();
            world.network().unclog();
            world.applied(&[0, 1, 2], last, world.election_timeout() * 6).await?;
            world.writes(1).await?;
        }
        Ok(())
    })
}
