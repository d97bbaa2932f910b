//! All lose power, at any moment.

use crate::{EVERY_KIND, EitherEngine, run, swap};
use cp_conformance::disk::Survivors;
use cp_conformance::{Least, Scenario};
use std::time::Duration;

/// A member lags behind a snapshot, a leader holds what it could not replicate, and
/// the power goes: the other engine makes the same history of it (CP-S2, CP-S3, CP-D3).
#[test]
fn engines_swap_on_power_loss() {
    static ENGINE: EitherEngine = EitherEngine::raftrs();
    let least =
        Least { elections: 6, restarts: 18, acknowledged: 100, snapshot_installs: 1, cut: 1, ..Least::default() };
    let scenario = Scenario::new("engines_swap_on_power_loss").least(least);
    run(scenario, &ENGINE, async |world| {
        let all = [0, 1, 2];
        for round in 0..6 {
            world.writes(4).await?;
            let leader = world.settled_leader().await?;
            let lagging = world.others(&[leader]).first().copied().unwrap_or_default();
            match round % 3 {
                0 => {
                    world.network().cut(&[lagging], &world.others(&[lagging]));
                    world.writes(80).await?;
                }
                1 => {
                    world.network().cut(&[leader], &world.others(&[leader]));
                    let mut taken = 0;
                    for _ in 0..3 {
                        taken += u32::from(world.propose(leader).await?.is_ok());
                    }
                    assert!(taken > 0, "a leader just cut off does not know it yet");
                    world.pass(world.election_timeout() * 3).await;
                    world.writes(3).await?;
                }
                _ => {}
            }
            let survivors = EVERY_KIND.into_iter().cycle().nth(round).unwrap_or(Survivors::Nothing);
            swap(world, &ENGINE, &all, &all, survivors).await?;
            let last = world.writes(1).await?;
            world.applied(&all, last, world.election_timeout() * 20).await?;
        }
        Ok(())
    });
}

/// A disk takes so many operations and no more: the power goes within each persist of a
/// leader and of a follower, snapshots and compactions among them, and every node goes on
/// under the other engine with whatever was acknowledged (CP-E1, CP-S2, CP-D2, CP-D3, CP-R3).
#[test]
fn engines_swap_at_each_disk_operation() {
    static ENGINE: EitherEngine = EitherEngine::openraft();
    let least = Least { elections: 48, restarts: 144, acknowledged: 96, ..Least::default() };
    let scenario = Scenario::new("engines_swap_at_each_disk_operation").least(least);
    run(scenario, &ENGINE, async |world| {
        let all = [0, 1, 2];
        for round in 0..48_u64 {
            let leader = world.settled_leader().await?;
            let follower = world.others(&[leader]).first().copied().unwrap_or_default();
            // Each operation under each engine, of a leader and of a follower.
            let (operation, victim) = (round / 4, if round % 4 < 2 { leader } else { follower });
            world.writes(if round % 8 == 0 { 40 } else { 2 }).await?;
            world.disk(victim)?.with_faults(|faults| faults.crash_after = Some(operation));
            let deadline = tokio::time::Instant::now() + world.election_timeout() * 6;
            while world.up(victim)?.life.goes_on() && tokio::time::Instant::now() < deadline {
                let leader = world.leader().await?;
                world.attempt(leader, Duration::from_millis(20)).await?;
            }
            let survivors = EVERY_KIND.into_iter().cycle().nth(round as usize).unwrap_or(Survivors::Nothing);
            let gone = world.reap(survivors)?;
            assert_eq!(gone, [victim], "the disk of n{victim} did not end its life");
            world.disk(victim)?.with_faults(|faults| faults.crash_after = None);
            swap(world, &ENGINE, &world.others(&[victim]), &all, survivors).await?;
            let last = world.writes(1).await?;
            world.applied(&all, last, world.election_timeout() * 20).await?;
            world.same_state(&all, world.election_timeout() * 4).await?;
        }
        Ok(())
    });
}
