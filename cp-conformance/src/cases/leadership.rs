//! Leaders lost and handed over.

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{ensure, scenario};
use cp_seam::{MemberId, TransferError};

/// A leader is lost; within 3T another accepts proposals and commits them (CP-L1, CP-S1).
pub fn failover_is_bounded(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 7, restarts: 6, ..Least::default() };
    Scenario::new("leadership::failover_is_bounded").least(least).run(backend, async |world| {
        for _ in 0..6 {
            let leader = world.settled_leader().await?;
            world.write(leader).await?;
            world.kill(leader, Survivors::Nothing)?;
            let next = world.leader_among(&world.others(&[leader]), world.election_timeout() * 3).await?;
            world.write(next).await?;
            world.start(leader).await?;
        }
        Ok(())
    })
}

/// A leader restarts and is the only one left that can win: those that followed it
/// vote for it again (CP-L1).
pub fn a_restarted_leader_can_be_elected_again(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 4, restarts: 6, cut: 1, ..Least::default() };
    Scenario::new("leadership::a_restarted_leader_can_be_elected_again").least(least).run(backend, async |world| {
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            let (behind, lost) =
                (others.first().copied().unwrap_or_default(), others.last().copied().unwrap_or_default());
            world.network().cut(&[behind], &[leader, lost]);
            for _ in 0..3 {
                world.write(leader).await?;
            }
            // The one that is behind followed this leader too, and now it alone is left to vote for it.
            world.kill(lost, Survivors::Nothing)?;
            world.restart(leader, Survivors::Nothing).await?;
            world.network().heal();
            let next = world.leader_among(&[leader], world.election_timeout() * 8).await?;
            world.write(next).await?;
            world.start(lost).await?;
        }
        Ok(())
    })
}

/// Leadership goes to the voter that was asked to take it, while clients write (CP-L1, CP-S2).
pub fn leadership_is_transferred(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 5, ..Least::default() };
    Scenario::new("leadership::leadership_is_transferred").least(least).run(backend, async |world| {
        for round in 0..4_usize {
            let leader = world.settled_leader().await?;
            world.write(leader).await?;
            let others = world.others(&[leader]);
            let target = others.get(round % 2).copied().unwrap_or_default();
            let (up, name) = (world.up(leader)?, world.member(target)?);
            let handed = up.node.transfer_leadership(&name).await;
            ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
            ensure(!up.node.is_leader(), Promise::S1, || format!("n{leader} still says it leads"))?;
            let next = world.settled_leader().await?;
            ensure(next == target, Promise::L1, || format!("n{next} leads, n{target} was to"))?;
            world.write(next).await?;
        }
        Ok(())
    })
}

/// Leadership is offered to a member that does not answer, and to none: the
/// leader says so within T and a little, and serves on (CP-L1, CP-P1).
pub fn a_transfer_to_nobody_is_called_off(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("leadership::a_transfer_to_nobody_is_called_off").run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let target = world.others(&[leader]).first().copied().unwrap_or_default();
        let up = world.up(leader)?;
        let stranger = MemberId::new("stranger").map_err(|e| scenario(e.to_string()))?;
        let refused = up.node.transfer_leadership(&stranger).await;
        ensure(matches!(refused, Err(TransferError::NotAVoter { .. })), Promise::L1, || format!("{refused:?}"))?;

        world.network().cut(&[target], &world.others(&[target]));
        let begun = tokio::time::Instant::now();
        let name = world.member(target)?;
        let refused = up.node.transfer_leadership(&name).await;
        ensure(matches!(refused, Err(TransferError::TimedOut { .. })), Promise::L1, || format!("{refused:?}"))?;
        let took = begun.elapsed();
        ensure(took <= world.election_timeout() * 3 / 2, Promise::L1, || format!("it took {} ms", took.as_millis()))?;
        let still = world.leader_among(&world.others(&[target]), world.election_timeout()).await?;
        world.write(still).await.map(drop)
    })
}
