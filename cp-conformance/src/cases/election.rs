//! Elections and votes.

use crate::backend::{Backend, Sign};
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure};

/// A leader stands within 3T of the start, all follow it, and nobody else says that it
/// may accept proposals (CP-S1, CP-L1).
pub fn one_leader_is_elected(backend: &'static dyn Backend) -> Verdict {
    let options = Options::nodes(5);
    Scenario::new("election::one_leader_is_elected").options(options).run(backend, async |world| {
        let within = world.election_timeout() * 3;
        let all = [0, 1, 2, 3, 4];
        world.leader_among(&all, within).await?;
        let leader = world.settled_leader().await?;
        let serving = world.running().into_iter().filter(|slot| world.up(*slot).is_ok_and(|up| up.node.is_leader()));
        let serving: Vec<_> = serving.collect();
        ensure(serving == [leader], Promise::S1, || format!("{serving:?} say they lead"))?;
        world.write(leader).await.map(drop)
    })
}

/// One voter is a quorum, and keeps what it has over a power loss (CP-L1, CP-S2).
pub fn a_lone_voter_leads_itself(backend: &'static dyn Backend) -> Verdict {
    let options = Options::nodes(1);
    let least = Least { restarts: 1, ..Least::default() };
    Scenario::new("election::a_lone_voter_leads_itself").options(options).least(least).run(backend, async |world| {
        world.writes(5).await?;
        world.restart(0, Survivors::Nothing).await?;
        world.writes(5).await.map(drop)
    })
}

/// Elections whose voters and candidates lose power at the very moment, and are
/// back before the election is over.
async fn interrupted_elections(world: &mut World, moment: Moment) -> Result<(), Broken> {
    for round in 0..8_u32 {
        let leader = world.settled_leader().await?;
        let sign = if round % 2 == 0 { Sign::Grant } else { Sign::Candidacy };
        world.monitor().aim(Aim { slot: None, sign, moment, skip: 0 });
        world.kill(leader, Survivors::Nothing)?;
        let (within, others) = (world.election_timeout() * 10, world.others(&[leader]));
        world
            .until(within, Promise::L1, "an election to be struck", |world| {
                others.iter().any(|slot| world.up(*slot).is_ok_and(|up| !up.life.goes_on())).then_some(())
            })
            .await?;
        for slot in world.reap(Survivors::Nothing)? {
            world.start(slot).await?;
        }
        world.start(leader).await?;
        world.monitor().hold_fire();
        world.writes(2).await?;
    }
    Ok(())
}

/// Whoever loses power right after its vote left, and restarts inside the same
/// election, votes for nobody else in that term (CP-S3, CP-D1). Random crashes
/// practically never find this; aimed ones do.
pub fn votes_survive_a_power_loss_after_they_left(backend: &'static dyn Backend) -> Verdict {
    let least = Least { aimed: 8, restarts: 16, elections: 8, ..Least::default() };
    Scenario::new("election::votes_survive_a_power_loss_after_they_left")
        .least(least)
        .run(backend, async |world| Box::pin(interrupted_elections(world, Moment::After)).await)
}

/// The same, with the power lost when the vote is on the disk and has not left (CP-S3, CP-D1).
pub fn votes_survive_a_power_loss_before_they_leave(backend: &'static dyn Backend) -> Verdict {
    let least = Least { aimed: 8, restarts: 16, elections: 8, ..Least::default() };
    Scenario::new("election::votes_survive_a_power_loss_before_they_leave")
        .least(least)
        .run(backend, async |world| Box::pin(interrupted_elections(world, Moment::Before)).await)
}
