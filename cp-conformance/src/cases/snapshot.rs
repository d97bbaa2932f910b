//! Snapshots and compaction.

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::ensure;
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
