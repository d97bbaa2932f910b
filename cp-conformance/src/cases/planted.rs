//! Bugs planted where no engine has to change, each killed by the checker meant for it.
//!
//! A suite that cannot fail proves nothing. These cases pass when the checker
//! fires, and fail when it does not or when another had to.

use crate::backend::{Backend, Sign};
use crate::checks::ledger::Ledger;
use crate::checks::{Broken, audit};
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Violation;
use crate::scenario::{Scenario, Verdict};
use crate::world::World;

/// The run must end in a violation that one of `killers` found.
fn killed(verdict: Verdict, name: &'static str, backend: &'static dyn Backend, killers: &[&str]) -> Verdict {
    let missed = |what: String| {
        let broken = Broken::new("planted bugs", Promise::E1, what);
        Err(Box::new(Violation::of(broken, name, backend, &Options::default())))
    };
    match verdict {
        Ok(report) => missed(format!("the planted bug was not noticed: {report}")),
        Err(violation) if killers.contains(&violation.broken.checker) => Ok(violation.wanted()),
        Err(violation) => missed(format!("{killers:?} should have noticed, but it was: {}", violation.broken)),
    }
}

/// A disk that says it has synced and has not: the first vote, acknowledgement or
/// commit that leaves its node is caught by the audit (CP-D1, CP-D2, CP-D3).
pub fn a_lying_disk_is_caught_by_the_audit(backend: &'static dyn Backend) -> Verdict {
    const NAME: &str = "planted::a_lying_disk_is_caught_by_the_audit";
    let verdict = Scenario::new(NAME).run(backend, async |world| {
        world.writes(3).await?;
        for slot in 0..world.size() {
            world.disk(slot)?.with_faults(|faults| faults.lies = true);
        }
        world.writes(10).await.map(drop)
    });
    killed(verdict, NAME, backend, &[audit::NAME])
}

/// What the voter has left of its vote when it restarts inside the same election.
#[derive(Debug, Clone, Copy)]
enum Memory {
    /// Its disk, as it was before the vote.
    SetBack,
    /// Nothing: its disk was emptied and founded anew under the same incarnation.
    Wiped,
}

/// Elections in which the voter forgets, right after its vote has left: the next
/// candidate of the same term gets a second vote.
async fn forgetful_elections(world: &mut World, memory: Memory) -> Result<(), Broken> {
    let genesis = world.genesis()?;
    for _ in 0..40 {
        let leader = world.settled_leader().await?;
        let before: Vec<_> =
            (0..world.size()).map(|slot| world.disk(slot).map(|d| d.synced_only())).collect::<Result<_, _>>()?;
        world.monitor().aim(Aim { slot: None, sign: Sign::Grant, moment: Moment::After, skip: 0 });
        world.kill(leader, Survivors::Nothing)?;
        let struck = |world: &World| (0..world.size()).find(|slot| world.up(*slot).is_ok_and(|up| !up.life.goes_on()));
        let voter = world.until(world.election_timeout() * 10, Promise::L1, "a vote to leave", struck).await?;
        // The candidate never learns of its win, and the voter has forgotten: both stand again.
        for slot in world.running() {
            world.kill(slot, Survivors::Nothing)?;
        }
        world.kill(voter, Survivors::Nothing)?;
        match (memory, before.get(voter)) {
            (Memory::SetBack, Some(old)) => world.set_back(voter, old)?,
            _ => {
                world.wipe(voter)?;
                world.resurrect(voter, &genesis)?;
            }
        }
        world.monitor().hold_fire();
        world.start(leader).await?;
        world.start(voter).await?;
        world.writes(1).await?;
        for slot in 0..world.size() {
            if world.up(slot).is_err() {
                world.start(slot).await?;
            }
        }
    }
    Ok(())
}

/// A disk that is set back, at a restart, to before the vote that has just left:
/// the next candidate gets a second vote, and the ledger sees it (CP-S3).
///
/// No outcome checker may have noticed: the second grant does no visible harm.
pub fn a_forgotten_vote_is_caught_by_the_ledger(backend: &'static dyn Backend) -> Verdict {
    const NAME: &str = "planted::a_forgotten_vote_is_caught_by_the_ledger";
    let verdict =
        Scenario::new(NAME).run(backend, async |world| Box::pin(forgetful_elections(world, Memory::SetBack)).await);
    killed(verdict, NAME, backend, &[Ledger::NAME])
}

/// A voter that is wiped, comes back under its incarnation and votes once more in the
/// term in which it has voted: the ledger judges what leaves a wiped life (CP-S3, CP-M3).
pub fn a_second_vote_of_a_wiped_life_is_caught_by_the_ledger(backend: &'static dyn Backend) -> Verdict {
    const NAME: &str = "planted::a_second_vote_of_a_wiped_life_is_caught_by_the_ledger";
    let verdict =
        Scenario::new(NAME).run(backend, async |world| Box::pin(forgetful_elections(world, Memory::Wiped)).await);
    killed(verdict, NAME, backend, &[Ledger::NAME])
}
