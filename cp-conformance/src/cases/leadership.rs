//! Leaders lost and handed over.

use crate::backend::{Backend, Sign};
use crate::disk::{Latency, Survivors};
use crate::monitor::{Aim, Moment};
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{ensure, scenario};
use cp_seam::{MemberId, TransferError};
use std::time::Duration;

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

/// Two members lose their leader, and each stands before it hears of the other, in the
/// same term: neither has a majority of it, and only a later term has a leader (CP-S1, CP-S3).
pub fn candidates_of_the_same_term_do_not_both_lead(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 8, elections: 8, ..Least::default() };
    Scenario::new("leadership::candidates_of_the_same_term_do_not_both_lead").least(least).run(backend, async |world| {
        for _ in 0..8 {
            let leader = world.settled_leader().await?;
            let (t, others) = (world.election_timeout(), world.others(&[leader]));
            world.network().slow_one_way(&others, &others, t / 4);
            world.kill(leader, Survivors::Nothing)?;
            world.pass(t * 3).await;
            world.network().heal();
            world.writes(1).await?;
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

/// A voter takes over while the end of its log is on its way to a slow disk, and loses
/// power as soon as it speaks as leader; another time it leads on. Its own records
/// count for it once they are on its disk and no sooner (CP-S2, CP-D1, CP-D2).
///
/// openraft counted a tail that a new leader had not flushed (#2118), and raft-rs
/// panics when it wins with records that it has not written (raft-rs#489).
pub fn a_leader_is_elected_with_an_unflushed_tail(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 5, aimed: 3, restarts: 3, ..Least::default() };
    Scenario::new("leadership::a_leader_is_elected_with_an_unflushed_tail").least(least).run(backend, async |world| {
        for round in 0..6_u32 {
            let leader = world.settled_leader().await?;
            let target = world.others(&[leader]).first().copied().unwrap_or_default();
            world.disk(target)?.take(Latency { low_us: 30_000, high_us: 50_000 });
            if round % 2 == 0 {
                let (sign, moment) = (Sign::Leads, Moment::After);
                world.monitor().aim(Aim { slot: Some(target), sign, moment, skip: round / 2 });
            }
            let taken = world.burst(leader, 8).await?;
            ensure(!taken.is_empty(), Promise::L1, || "it took nothing".to_owned())?;
            // What is on its way has arrived, and is not on the disk.
            world.pass(Duration::from_millis(3)).await;
            let (up, name) = (world.up(leader)?, world.member(target)?);
            let handing = tokio::spawn(async move { up.node.transfer_leadership(&name).await.is_ok() });
            let over = |world: &crate::World| {
                let up = world.up(target).ok()?;
                (!up.life.goes_on() || (round % 2 == 1 && up.node.is_leader())).then_some(())
            };
            world.until(world.election_timeout() * 4, Promise::L1, "the target to lead", over).await?;
            handing.abort();
            world.disk(target)?.take(Latency::default());
            for slot in world.reap(Survivors::Nothing)? {
                world.start(slot).await?;
            }
            world.writes(2).await?;
        }
        Ok(())
    })
}

/// Leadership is offered to a member that is dead, one whose disk hangs, and one that
/// hears and is not heard. Each time the leader says within T and a little that it
/// came to nothing, or somebody else leads; writes go on, and the next transfer, to a
/// member that can, succeeds (CP-L1, CP-P1).
///
/// openraft's own transfer ends the leader's writes before anybody has agreed (#1747, #2088).
pub fn a_failed_transfer_blocks_no_writes(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 1, stalls: 1, cut: 1, elections: 3, ..Least::default() };
    Scenario::new("leadership::a_failed_transfer_blocks_no_writes").least(least).run(backend, async |world| {
        for trouble in 0..3 {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            let (target, fit) =
                (others.first().copied().unwrap_or_default(), others.last().copied().unwrap_or_default());
            match trouble {
                0 => world.kill(target, Survivors::Nothing)?,
                1 => world.disk(target)?.stall(true),
                _ => world.network().cut_one_way(&[target], &world.others(&[target])),
            }
            let (up, name) = (world.up(leader)?, world.member(target)?);
            let begun = tokio::time::Instant::now();
            let offering = tokio::spawn(async move { up.node.transfer_leadership(&name).await.is_ok() });
            // Who writes meanwhile is told to wait, or is served; the monitor looks for what was refused.
            for _ in 0..4 {
                world.pass(world.election_timeout() / 8).await;
                world.attempt(leader, Duration::from_millis(5)).await?;
            }
            let handed = offering.await.map_err(|e| scenario(e.to_string()))?;
            ensure(!handed, Promise::L1, || format!("n{target} cannot have taken over"))?;
            let took = begun.elapsed();
            ensure(took <= world.election_timeout() * 3 / 2, Promise::L1, || format!("it took {took:?}"))?;
            let still = world.leader_among(&[leader, fit], world.election_timeout()).await?;
            world.write(still).await?;
            let next = if still == leader { fit } else { leader };
            let name = world.member(next)?;
            let handed = world.up(still)?.node.transfer_leadership(&name).await;
            ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
            let next = world.leader_among(&[next], world.election_timeout()).await?;
            world.write(next).await?;
            world.disk(target)?.stall(false);
            world.network().heal();
            if world.up(target).is_err() {
                world.start(target).await?;
            }
        }
        Ok(())
    })
}

/// The ways between the leader and the others are so slow that a round trip takes
/// longer than a heartbeat, and nobody writes: the leader leads on in its term, and
/// serves, for many election timeouts (CP-L1, CP-P2).
///
/// openraft gives up on an answer to a heartbeat when it would send the next one.
pub fn a_leader_on_slow_ways_leads_on(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("leadership::a_leader_on_slow_ways_leads_on").run(backend, async |world| {
        let leader = world.settled_leader().await?;
        world.write(leader).await?;
        let term = world.status(leader)?.term;
        // A round trip of a fifth of T: two heartbeats at the tuning of the suite.
        let (others, by) = (world.others(&[leader]), world.election_timeout() / 10);
        world.network().slow_one_way(&[leader], &others, by);
        world.network().slow_one_way(&others, &[leader], by);
        for _ in 0..20 {
            world.pass(world.election_timeout()).await;
            let status = world.status(leader)?;
            let leads = status.term == term && world.up(leader)?.node.is_leader();
            ensure(leads, Promise::L1, || format!("n{leader} led in {term}; now it says {status:?}"))?;
        }
        world.write(leader).await.map(drop)
    })
}
