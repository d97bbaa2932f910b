//! States that drift apart in memory, while log and disk are alike.

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{Attempt, ensure};

/// A bit of the state of a follower, another time of the leader, flips in memory. At the
/// next entry, and at no other, it differs from a majority, stops, and says where; the
/// others go on, and its next life, which applies its log anew, is alike (CP-R3, CP-L1).
pub fn a_flipped_bit_stops_the_one_that_has_it(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 4, acknowledged: 12, ..Least::default() };
    Scenario::new("divergence::a_flipped_bit_stops_the_one_that_has_it").least(least).run(backend, async |world| {
        for round in 0..4 {
            let last = world.writes(2).await?;
            let t = world.election_timeout();
            world.applied(&[0, 1, 2], last, t * 4).await?;
            world.pass(t / 2).await;
            let leader = world.settled_leader().await?;
            let slot =
                if round % 2 == 0 { world.others(&[leader]).first().copied().unwrap_or_default() } else { leader };
            let up = world.up(slot)?;
            up.life.expect_stop();
            up.life.drifts(1 << round);
            // Whether the caller is told depends on who leads; the entry is what is looked at.
            let attempt = world.attempt(leader, t * 2).await?;
            let stopped = |_: &_| up.node.watch().current().stopped;
            let why = world.until(t * 4, Promise::R3, "the one that differs to stop", stopped).await?;
            let at = format!("at index {} differs", last.index.0 + 1);
            ensure(why.contains(&at), Promise::R3, || {
                format!("it stopped with {why:?}, not {at:?}, after {attempt:?}")
            })?;
            let others = world.others(&[slot]);
            let next = world.leader_among(&others, t * 8).await?;
            world.write(next).await?;
            world.kill(slot, Survivors::Nothing)?;
            world.start(slot).await?;
        }
        Ok(())
    })
}

/// Each node makes another state of the same entries. No majority is alike, so nobody is
/// believed and none takes a proposal, rather than one of three states winning; started
/// anew, with a state machine that is one, they go on (CP-R3, CP-P1).
pub fn an_apply_that_depends_on_its_node_stops_all_proposals(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 3, acknowledged: 4, ..Least::default() };
    Scenario::new("divergence::an_apply_that_depends_on_its_node_stops_all_proposals").least(least).run(
        backend,
        async |world| {
            let last = world.writes(2).await?;
            let t = world.election_timeout();
            world.applied(&[0, 1, 2], last, t * 4).await?;
            let leader = world.settled_leader().await?;
            for slot in 0..3_u8 {
                let life = world.up(slot.into())?.life;
                life.expect_stop();
                life.drifts(1 << slot);
            }
            world.attempt(leader, t * 2).await?;
            let silent = |world: &crate::World| {
                let serves = |slot: &usize| world.up(*slot).is_ok_and(|up| up.node.is_leader());
                (!world.running().iter().any(serves)).then_some(())
            };
            world.until(t * 4, Promise::R3, "all to stop proposing", silent).await?;
            for _ in 0..8 {
                world.pass(t / 2).await;
                for slot in 0..3 {
                    let attempt = world.attempt(slot, t / 4).await?;
                    ensure(matches!(attempt, Attempt::Refused(_)), Promise::R3, || {
                        format!("with three states, n{slot} answers {attempt:?}")
                    })?;
                }
            }
            for slot in 0..3 {
                world.kill(slot, Survivors::Nothing)?;
            }
            for slot in 0..3 {
                world.start(slot).await?;
            }
            world.writes(2).await.map(drop)
        },
    )
}
