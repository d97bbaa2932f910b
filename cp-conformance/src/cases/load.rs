//! What a change costs those who write meanwhile: nothing that was acknowledged, and a
//! pause that is bounded and on record ([`Report::waits`](crate::Report)).

use crate::backend::Backend;
use crate::disk::Survivors;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::ensure;
use cp_catalog::MembershipCommand;
use cp_seam::MemberKind;
use std::time::Duration;
use tokio::time::Instant;

/// Leadership is handed round among callers that do not let up: none of their requests
/// hangs, and the service is away for less than half of T (CP-L1, CP-P1, CP-S2).
///
/// openraft has no abort of its own for a transfer; raft-rs drops proposals while one is on.
pub fn a_transfer_is_hardly_noticed(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 7, acknowledged: 48, ..Least::default() };
    Scenario::new("load::a_transfer_is_hardly_noticed").least(least).run(backend, async |world| {
        world.settled_leader().await?;
        let steady = world.steady();
        for round in 0..6_usize {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            let target = others.get(round % 2).copied().unwrap_or_default();
            let (up, name, from) = (world.up(leader)?, world.member(target)?, Instant::now());
            let handed = up.node.transfer_leadership(&name).await;
            ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
            world.waited(&steady, from, "transfer", world.election_timeout() / 2).await?;
        }
        Ok(())
    })
}

/// The target of a transfer does not come: callers are refused, not left hanging, for at
/// most T and a little, and are served by the old leader again (CP-L1, CP-P1).
pub fn a_transfer_that_is_called_off_ends_in_time(backend: &'static dyn Backend) -> Verdict {
    let least = Least { acknowledged: 24, ..Least::default() };
    Scenario::new("load::a_transfer_that_is_called_off_ends_in_time").least(least).run(backend, async |world| {
        world.settled_leader().await?;
        let steady = world.steady();
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let target = world.others(&[leader]).first().copied().unwrap_or_default();
            let (up, name) = (world.up(leader)?, world.member(target)?);
            world.network().cut(&[target], &world.others(&[target]));
            let from = Instant::now();
            let refused = up.node.transfer_leadership(&name).await;
            ensure(refused.is_err(), Promise::L1, || format!("handing over to {name} ended {refused:?}"))?;
            world.waited(&steady, from, "transfer called off", world.election_timeout() * 3 / 2).await?;
            world.network().heal();
        }
        Ok(())
    })
}

/// Members are admitted, given a vote, lose it and are removed, the leader last, among
/// callers that do not let up. Only the removal of a leader takes the service away, for as
/// long as a transfer does (CP-M1, CP-S2, CP-L1).
pub fn members_come_and_go_unnoticed(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, acknowledged: 100, ..Least::default() };
    Scenario::new("load::members_come_and_go_unnoticed").least(least).run(backend, async |world| {
        world.settled_leader().await?;
        let (steady, t) = (world.steady(), world.election_timeout());
        for name in ["n3", "n4"] {
            let from = Instant::now();
            let joiner = world.join(name, MemberKind::Data).await?;
            world
                .until(t * 8, Promise::R1, "the joiner to catch up", |world| {
                    let last = world.up(world.running().first().copied()?).ok()?.store.committed();
                    (world.status(joiner).ok()?.applied.0 + 8 >= last.0).then_some(())
                })
                .await?;
            world.waited(&steady, from, "admission", t / 2).await?;
            let from = Instant::now();
            world.promote(joiner).await?;
            world.waited(&steady, from, "promotion", t / 2).await?;
        }
        let leader = world.settled_leader().await?;
        let follower = world.others(&[leader]).first().copied().unwrap_or_default();
        let from = Instant::now();
        world.demote_unsettled(follower).await?;
        world.settled().await?;
        world.waited(&steady, from, "demotion", t / 2).await?;
        let (from, member) = (Instant::now(), world.life_of(follower)?);
        world.decide(MembershipCommand::SetVoting { member }).await?;
        world.settled().await?;
        world.waited(&steady, from, "promotion", t / 2).await?;
        let from = Instant::now();
        world.remove(follower).await?;
        world.waited(&steady, from, "removal of a follower", t / 2).await?;
        let (leader, from) = (world.settled_leader().await?, Instant::now());
        world.remove(leader).await?;
        world.waited(&steady, from, "removal of the leader", t).await
    })
}

/// The leader is killed, and its disk hangs another time, among callers that do not let
/// up: another serves them within 3T (CP-L1, CP-L2, CP-S2).
pub fn a_failover_ends_in_time(backend: &'static dyn Backend) -> Verdict {
    let (options, least) = (Options::nodes(5), Least { elections: 7, acknowledged: 100, ..Least::default() });
    Scenario::new("load::a_failover_ends_in_time").options(options).least(least).run(backend, async |world| {
        world.settled_leader().await?;
        let (steady, t) = (world.steady(), world.election_timeout());
        for _ in 0..3 {
            let (leader, from) = (world.settled_leader().await?, Instant::now());
            world.kill(leader, Survivors::Nothing)?;
            world.waited(&steady, from, "failover, leader killed", t * 3).await?;
            world.start(leader).await?;
            let (leader, from) = (world.settled_leader().await?, Instant::now());
            world.disk(leader)?.stall(true);
            world.waited(&steady, from, "failover, disk hung", t * 3 + Duration::from_millis(100)).await?;
            world.disk(leader)?.stall(false);
            world.pass(t).await;
        }
        Ok(())
    })
}
