//! How the log gets from the leader to the others, and what that must not be mistaken for.

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::network::Conditions;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::ensure;
use std::time::Duration;

/// Five voters, every way of another length and frames overtaking each other, so that
/// acknowledgements of many entries come in any order: what is reported committed is on
/// a quorum, also when the leader and the fastest follower are lost at that moment
/// (CP-S2, CP-D2).
///
/// openraft up to alpha.24 counted interleaved acknowledgements of five voters wrongly
/// (#1802), and one completion of an append for another (#1960).
pub fn interleaved_acknowledgements_commit_nothing_early(backend: &'static dyn Backend) -> Verdict {
    let conditions = Conditions { reorder: 300, duplication: 50, ..Conditions::default() };
    let options = Options { network: conditions, ..Options::nodes(5) };
    let least = Least { elections: 4, restarts: 8, commits: 80, ..Least::default() };
    Scenario::new("replication::interleaved_acknowledgements_commit_nothing_early").options(options).least(least).run(
        backend,
        async |world| {
            for round in 0..4 {
                let leader = world.settled_leader().await?;
                let followers = world.others(&[leader]);
                for (place, slot) in followers.iter().enumerate() {
                    // Another order in every round, and another for the ways back.
                    let (out, back) = ((place + round) % 4, (place * 3 + round) % 4);
                    let ways = [([leader], [*slot], out), ([*slot], [leader], back)];
                    for (from, to, steps) in ways {
                        let by = Duration::from_millis(7) * u32::try_from(steps).unwrap_or_default();
                        world.network().slow_one_way(&from, &to, by);
                    }
                }
                let mut last = None;
                for _ in 0..6 {
                    let taken = world.burst(leader, 6).await?;
                    last = taken.last().copied().or(last);
                    let pause = world.rng().between(0, 12);
                    world.pass(Duration::from_millis(pause)).await;
                }
                let last = last.ok_or_else(|| crate::world::scenario("it took nothing"))?;
                // As soon as anything of it is committed, and mostly not yet all.
                let begun = |world: &crate::World| {
                    world.status(leader).is_ok_and(|status| status.committed.0 + 12 >= last.index.0).then_some(())
                };
                let within = world.election_timeout() * 4;
                world.until(within, Promise::L1, "the bursts to be committed", begun).await?;
                let fastest = followers.get((4 - round) % 4).copied().unwrap_or_default();
                world.kill(leader, Survivors::Nothing)?;
                world.kill(fastest, Survivors::Nothing)?;
                world.network().heal();
                world.writes(2).await?;
                world.start(leader).await?;
                world.start(fastest).await?;
            }
            let reordered = world.network().traffic().reordered;
            ensure(reordered > 20, Promise::E1, || format!("{reordered} frames were reordered"))
        },
    )
}

/// A follower takes in frames and never answers, because its disk hangs; another time
/// its way back is shut. The leader commits with the others as if nothing were, past a
/// compaction too, and the follower catches up when it can (CP-L1, CP-R1).
///
/// In openraft a follower that hung could stop the core of its leader (#1810), and
/// raft-rs holds back from a peer whose snapshot was never reported (tikv#2341).
pub fn a_hung_follower_holds_nobody_up(backend: &'static dyn Backend) -> Verdict {
    let least = Least { stalls: 1, cut: 1, acknowledged: 180, ..Least::default() };
    Scenario::new("replication::a_hung_follower_holds_nobody_up").least(least).run(backend, async |world| {
        for hangs in [true, false] {
            let leader = world.settled_leader().await?;
            let term = world.status(leader)?.term;
            let hung = world.others(&[leader]).first().copied().unwrap_or_default();
            if hangs {
                world.disk(hung)?.stall(true);
            } else {
                world.network().cut_one_way(&[hung], &world.others(&[hung]));
            }
            let mut last = world.write(leader).await?;
            for _ in 0..90 {
                let begun = tokio::time::Instant::now();
                last = world.write(leader).await?;
                let took = begun.elapsed();
                ensure(took < world.election_timeout() / 4, Promise::L1, || {
                    format!("a write took {} ms beside a hung follower", took.as_millis())
                })?;
            }
            let now = world.status(leader)?.term;
            ensure(now == term, Promise::L1, || format!("a hung follower moved the term from {term} to {now}"))?;
            world.disk(hung)?.stall(false);
            world.network().heal();
            world.applied(&[hung], last, world.election_timeout() * 10).await?;
        }
        Ok(())
    })
}

/// The leader cannot read what a follower needs: it stops and says so, rather than
/// send something of the right shape; another brings the follower up (CP-D4, CP-R1, CP-S2).
///
/// openraft once sent a malformed append for a log that it could not read (#1795). Log
/// records are in memory once a store is open, so at the seam it is the snapshot's body
/// that cannot be read.
pub fn a_leader_that_cannot_read_sends_nothing_else(backend: &'static dyn Backend) -> Verdict {
    let least = Least { failed_operations: 1, restarts: 2, snapshot_installs: 1, ..Least::default() };
    Scenario::new("replication::a_leader_that_cannot_read_sends_nothing_else").least(least).run(
        backend,
        async |world| {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(away, Survivors::Nothing)?;
            let last = world.writes(100).await?;
            let leader = world.leader().await?;
            world.disk(leader)?.with_faults(|faults| faults.fail_read = true);
            world.start(away).await?;
            let stopped = |world: &crate::World| world.status(leader).ok()?.stopped;
            let within = world.election_timeout() * 6;
            let why = world.until(within, Promise::D4, "the leader to stop", stopped).await?;
            world.trace().node(leader, format_args!("says: {why}"));
            world.applied(&[away], last, world.election_timeout() * 10).await?;
            world.writes(2).await?;
            world.disk(leader)?.with_faults(|faults| faults.fail_read = false);
            world.restart(leader, Survivors::Nothing).await
        },
    )
}

/// A deposed leader has a long tail that nobody else has. It loses power at any of the
/// disk operations with which the tail is replaced: it always starts again, and holds
/// what was committed (CP-S2, CP-D2, CP-D4).
///
/// A truncation that was synced apart from what replaced it, or not at all, left logs
/// that no longer opened or matched (qdrant#1329, tsoracle#260).
pub fn power_is_lost_while_a_tail_is_replaced(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 10, elections: 8, cut: 1, ..Least::default() };
    Scenario::new("replication::power_is_lost_while_a_tail_is_replaced").least(least).run(backend, async |world| {
        for operation in 0..10 {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            world.network().cut(&[leader], &others);
            let taken = world.burst(leader, 12).await?;
            ensure(!taken.is_empty(), Promise::P3, || "it took nothing within its first moments".to_owned())?;
            let next = world.leader_among(&others, world.election_timeout() * 4).await?;
            for _ in 0..3 {
                world.write(next).await?;
            }
            world.disk(leader)?.with_faults(|faults| faults.crash_after = Some(operation));
            world.network().heal();
            let deadline = tokio::time::Instant::now() + world.election_timeout() * 6;
            while world.up(leader)?.life.goes_on() && tokio::time::Instant::now() < deadline {
                let now = world.leader().await?;
                world.attempt(now, Duration::from_millis(20)).await?;
            }
            let survivors = [Survivors::Nothing, Survivors::Prefix, Survivors::Torn { unit_bytes: 512 }];
            let survivors = survivors.into_iter().cycle().nth(usize::try_from(operation).unwrap_or_default());
            let gone = world.reap(survivors.unwrap_or(Survivors::Nothing))?;
            ensure(gone == [leader], Promise::L1, || format!("{gone:?} are gone, not n{leader}"))?;
            world.start(leader).await?;
            let last = world.writes(1).await?;
            world.applied(&[leader], last, world.election_timeout() * 6).await?;
        }
        Ok(())
    })
}
