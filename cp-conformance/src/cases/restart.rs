//! Power loss and restart.

use crate::backend::{Backend, Sign};
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure};
use cp_seam::Outcome;
use std::time::Duration;

/// What a crash may leave, from nothing unsynced to all of it.
const EVERY_KIND: [Survivors; 6] = [
    Survivors::Nothing,
    Survivors::Everything,
    Survivors::Prefix,
    Survivors::Subset,
    Survivors::Torn { unit_bytes: 512 },
    Survivors::Torn { unit_bytes: 16 },
];

/// Each node loses power in turn, the leader among them; service goes on, and
/// nothing acknowledged is lost (CP-S2, CP-D2).
pub fn each_node_restarts_in_turn(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 6, acknowledged: 21, ..Least::default() };
    Scenario::new("restart::each_node_restarts_in_turn").least(least).run(backend, async |world| {
        for survivors in [Survivors::Nothing, Survivors::Torn { unit_bytes: 512 }] {
            for slot in [0, 1, 2] {
                world.writes(3).await?;
                world.kill(slot, survivors)?;
                let last = world.writes(3).await?;
                world.start(slot).await?;
                world.applied(&[slot], last, world.election_timeout() * 6).await?;
            }
        }
        Ok(())
    })
}

/// The whole room loses power under load, again and again; every acknowledged
/// position is still told as committed by every node (CP-S2, CP-D2, CP-D3).
pub fn all_nodes_lose_power_at_once(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 18, acknowledged: 30, lost_changes: 1, ..Least::default() };
    Scenario::new("restart::all_nodes_lose_power_at_once").least(least).run(backend, async |world| {
        for survivors in EVERY_KIND {
            let position = world.writes(5).await?;
            let leader = world.leader().await?;
            // Some more is on its way: the power goes when the first disk has written and not synced.
            for slot in [0, 1, 2] {
                world.disk(slot)?.with_faults(|faults| faults.crash_after = Some(1));
            }
            let (up, entry) = (world.up(leader)?, world.entry()?);
            let proposing = tokio::spawn(async move { up.node.propose(entry).await });
            let fallen = |world: &crate::World| {
                [0, 1, 2].iter().any(|slot| world.up(*slot).is_ok_and(|up| !up.life.goes_on())).then_some(())
            };
            world.until(world.election_timeout(), Promise::L1, "the power to go", fallen).await?;
            proposing.abort();
            for slot in [0, 1, 2] {
                world.kill(slot, survivors)?;
                world.disk(slot)?.with_faults(|faults| faults.crash_after = None);
            }
            for slot in [0, 1, 2] {
                world.start(slot).await?;
            }
            world.settled_leader().await?;
            for slot in [0, 1, 2] {
                let outcome = world.outcome(slot, position, world.election_timeout() * 4).await?;
                ensure(outcome == Outcome::Committed, Promise::S2, || {
                    format!("n{slot} says {outcome:?} of {position}")
                })?;
            }
        }
        Ok(())
    })
}

/// A leader whose own append is unflushed, and flushed at a follower, loses power
/// and is back within its lease: it must not lead the same term again and put
/// something else into the same position (CP-S2, CP-S1). openraft alpha.37 with
/// its leader restore on diverges here.
pub fn a_leader_restarts_with_an_unflushed_tail(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 6, stalls: 1, cut: 1, ..Least::default() };
    Scenario::new("restart::a_leader_restarts_with_an_unflushed_tail").least(least).run(backend, async |world| {
        for _ in 0..6 {
            let leader = world.settled_leader().await?;
            let followers = world.others(&[leader]);
            let lagging = followers.last().copied().unwrap_or_default();
            world.network().cut(&[lagging], &world.others(&[lagging]));
            world.disk(leader)?.stall(true);
            let (up, entry) = (world.up(leader)?, world.entry()?);
            let proposing = tokio::spawn(async move { up.node.propose(entry).await });
            world.pass(world.election_timeout() / 8).await;
            world.kill(leader, Survivors::Nothing)?;
            proposing.abort();
            world.disk(leader)?.stall(false);
            world.network().heal();
            world.start(leader).await?;
            world.writes(2).await?;
        }
        Ok(())
    })
}

/// A follower loses power right after its acknowledgement left, and the leader
/// right after its appends did; what was acknowledged is there (CP-D2, CP-S2).
pub fn an_acknowledged_append_survives(backend: &'static dyn Backend) -> Verdict {
    let least = Least { aimed: 8, restarts: 8, ..Least::default() };
    Scenario::new("restart::an_acknowledged_append_survives").least(least).run(backend, async |world| {
        for round in 0..8_u32 {
            let leader = world.settled_leader().await?;
            let follower = world.others(&[leader]).first().copied().unwrap_or_default();
            let (slot, sign) = if round % 4 == 3 { (leader, Sign::Leads) } else { (follower, Sign::AppendAck) };
            let moment = if round % 2 == 0 { Moment::After } else { Moment::Before };
            world.monitor().aim(Aim { slot: Some(slot), sign, moment, skip: 0 });
            world.writes(1).await?;
            let struck = move |world: &crate::World| world.up(slot).is_ok_and(|up| !up.life.goes_on()).then_some(());
            world.until(world.election_timeout(), Promise::L1, "the aim to strike", struck).await?;
            for slot in world.reap(Survivors::Nothing)? {
                world.start(slot).await?;
            }
            world.writes(1).await?;
        }
        Ok(())
    })
}

/// A leader under load loses power between any two of its disk operations; it
/// always starts again, its committed index never ahead of its log (CP-D3, CP-D4, CP-S2).
pub fn power_is_lost_at_each_disk_operation(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 24, ..Least::default() };
    Scenario::new("restart::power_is_lost_at_each_disk_operation").least(least).run(backend, async |world| {
        for round in 0..24_u64 {
            let leader = world.settled_leader().await?;
            let victim =
                if round % 3 == 2 { world.others(&[leader]).first().copied().unwrap_or_default() } else { leader };
            world.disk(victim)?.with_faults(|faults| faults.crash_after = Some(round / 2));
            let within = world.election_timeout() * 6;
            let deadline = tokio::time::Instant::now() + within;
            while world.up(victim)?.life.goes_on() && tokio::time::Instant::now() < deadline {
                let leader = world.leader().await?;
                world.attempt(leader, Duration::from_millis(20)).await?;
            }
            let survivors = EVERY_KIND.get(usize::try_from(round).unwrap_or_default() % EVERY_KIND.len());
            let gone = world.reap(survivors.copied().unwrap_or(Survivors::Nothing))?;
            ensure(gone == [victim], Promise::L1, || format!("{gone:?} are gone, not n{victim}"))?;
            world.start(victim).await?;
        }
        Ok(())
    })
}

/// A leader that is shut down hands over first, so that service hardly pauses;
/// it comes back with everything (CP-L1, CP-S2).
pub fn a_node_stops_in_good_order(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 3, ..Least::default() };
    Scenario::new("restart::a_node_stops_in_good_order").least(least).run(backend, async |world| {
        for _ in 0..3 {
            world.writes(3).await?;
            let leader = world.settled_leader().await?;
            world.stop(leader).await?;
            let others = world.others(&[leader]);
            world.leader_among(&others, world.election_timeout() / 2).await?;
            let last = world.writes(2).await?;
            world.start(leader).await?;
            world.applied(&[leader], last, world.election_timeout() * 4).await?;
        }
        Ok(())
    })
}

/// A voter loses power right after its vote has left, and its candidate is gone too. It
/// is asked again in the same term, by one that knows of neither: it has no second vote
/// (CP-S3, CP-D1).
pub fn a_voter_restarts_within_its_election(backend: &'static dyn Backend) -> Verdict {
    let least = Least { aimed: 6, restarts: 18, elections: 6, ..Least::default() };
    Scenario::new("restart::a_voter_restarts_within_its_election").least(least).run(backend, async |world| {
        for _ in 0..6 {
            let leader = world.settled_leader().await?;
            world.monitor().aim(Aim { slot: None, sign: Sign::Grant, moment: Moment::After, skip: 0 });
            world.kill(leader, Survivors::Nothing)?;
            let struck =
                |world: &World| (0..world.size()).find(|slot| world.up(*slot).is_ok_and(|up| !up.life.goes_on()));
            let voter = world.until(world.election_timeout() * 10, Promise::L1, "a vote to leave", struck).await?;
            for slot in 0..world.size() {
                world.kill(slot, Survivors::Nothing)?;
            }
            world.monitor().hold_fire();
            // The old leader is still in the term before: it stands in the very one of that vote.
            world.start(leader).await?;
            world.start(voter).await?;
            world.writes(1).await?;
            for slot in world.others(&[leader, voter]) {
                world.start(slot).await?;
            }
        }
        Ok(())
    })
}
