//! Snapshots that are cut at every one of their writes, where they are received and
//! where they are built.

use crate::Broken;
use crate::backend::Backend;
use crate::disk::Survivors;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure};
use std::time::Duration;
use tokio::time::Instant;

const EVERY_KIND: [Survivors; 4] =
    [Survivors::Nothing, Survivors::Everything, Survivors::Subset, Survivors::Torn { unit_bytes: 512 }];

/// Ends the node in `slot` at its first disk operation after a start, then at its
/// second after the next, and so on, until it has got to a snapshot above `from`
/// all the same; answers how often. With `feed`, something is written meanwhile.
async fn cut_at_each_operation(
    world: &mut World,
    slot: usize,
    from: u64,
    survivors: Survivors,
    feed: bool,
) -> Result<u64, Broken> {
    let there = |world: &World| world.up(slot).is_ok_and(|up| up.store.snapshot().position.index.0 > from);
    for cuts in 0..400 {
        if world.up(slot).is_err() {
            world.start(slot).await?;
        }
        if there(world) {
            return Ok(cuts);
        }
        world.disk(slot)?.with_faults(|faults| faults.crash_after = Some(cuts));
        let deadline = Instant::now() + world.election_timeout() * 4;
        while world.up(slot).is_ok_and(|up| up.life.goes_on()) && !there(world) && Instant::now() < deadline {
            if feed {
                let leader = world.leader().await?;
                world.attempt(leader, Duration::from_millis(100)).await?;
            }
            world.pass(Duration::from_millis(2)).await;
        }
        world.disk(slot)?.with_faults(|faults| faults.crash_after = None);
        world.reap(survivors)?;
    }
    Err(Broken::new("liveness", Promise::R1, format!("n{slot} never got to a snapshot above {from}")))
}

/// A member that is far behind loses power at the first disk operation after its
/// start, at the second, and at every other up to the end of the install; it always
/// starts again, and has the state of the others in the end (CP-R1, CP-S2, CP-D2).
pub fn an_install_is_cut_at_every_write(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 24, snapshot_installs: 1, ..Least::default() };
    Scenario::new("install::an_install_is_cut_at_every_write").least(least).run(backend, async |world| {
        for survivors in EVERY_KIND {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            let from = world.up(away)?.store.snapshot().position.index.0;
            world.kill(away, Survivors::Nothing)?;
            let last = world.writes(150).await?;
            let cuts = cut_at_each_operation(world, away, from, survivors, false).await?;
            world.trace().node(away, format_args!("was cut {cuts} times, {survivors:?} surviving"));
            ensure(cuts >= 4, Promise::R1, || format!("an install of {cuts} disk operations"))?;
            world.applied(&[away], last, world.election_timeout() * 10).await?;
            world.same_state(&[0, 1, 2], world.election_timeout() * 10).await?;
        }
        Ok(())
    })
}

/// The same where a snapshot is built and adopted, which compacts the log: whatever
/// is cut, every position is still told as it was (CP-R1, CP-P3, CP-S2).
pub fn a_build_is_cut_at_every_write(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 16, ..Least::default() };
    Scenario::new("install::a_build_is_cut_at_every_write").least(least).run(backend, async |world| {
        for survivors in EVERY_KIND {
            let early = world.writes(1).await?;
            let leader = world.settled_leader().await?;
            let builder = world.others(&[leader]).first().copied().unwrap_or_default();
            let from = world.up(builder)?.store.snapshot().position.index.0;
            let cuts = cut_at_each_operation(world, builder, from, survivors, true).await?;
            world.trace().node(builder, format_args!("was cut {cuts} times, {survivors:?} surviving"));
            let last = world.writes(2).await?;
            world.applied(&[0, 1, 2], last, world.election_timeout() * 10).await?;
            let outcome = world.outcome(builder, early, world.election_timeout()).await?;
            ensure(outcome == cp_seam::Outcome::Committed, Promise::P3, || format!("{early} is {outcome:?}"))?;
        }
        Ok(())
    })
}
