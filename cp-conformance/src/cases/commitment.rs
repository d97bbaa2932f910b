//! What is committed by what: holding a record is not enough, nor is any majority.

use crate::backend::{Backend, Sign};
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_seam::{LogPosition, MemberKind};

/// A leader that is cut off takes a record and is lost. Answers where it is, in its log alone.
async fn a_record_of_one(world: &mut World, first: usize) -> Result<LogPosition, Broken> {
    let last = world.write(first).await?;
    let others = world.others(&[first]);
    world.applied(&others, last, world.election_timeout() * 2).await?;
    world.network().cut(&[first], &others);
    let taken = world.burst(first, 1).await?;
    let old = taken.last().copied().ok_or_else(|| scenario("a leader took nothing in its first moments alone"))?;
    held(world, first, old).await?;
    world.kill(first, Survivors::Nothing)?;
    world.network().heal();
    Ok(old)
}

/// Waits until a power loss would leave `slot` with a log at least up to `position`.
async fn held(world: &mut World, slot: usize, position: LogPosition) -> Result<(), Broken> {
    let durable = |world: &World| (world.up(slot).ok()?.store.durable().borrow().last >= position).then_some(());
    world.until(world.election_timeout(), Promise::D2, "a record to be durable", durable).await
}

/// Two others elect a leader whose first record reaches nobody, since its voter is lost
/// with the vote; then it is lost too. Answers the voter and that leader.
async fn a_leader_of_nobody(world: &mut World, after: LogPosition) -> Result<(usize, usize), Broken> {
    world.monitor().aim(Aim { slot: None, sign: Sign::Grant, moment: Moment::After, skip: 0 });
    let gone = |world: &World, slot: &usize| world.up(*slot).is_ok_and(|up| !up.life.goes_on());
    let struck = |world: &World| (0..world.size()).find(|slot| gone(world, slot));
    let voter = world.until(world.election_timeout() * 10, Promise::L1, "a vote to leave", struck).await?;
    world.monitor().hold_fire();
    world.reap(Survivors::Nothing)?;
    let later = world.running().first().copied().ok_or_else(|| scenario("nobody is left"))?;
    let own = |world: &World| {
        let last = world.up(later).ok()?.store.durable().borrow().last;
        (last.term > after.term).then_some(())
    };
    world.until(world.election_timeout() * 2, Promise::L1, "a record of the new term", own).await?;
    world.kill(later, Survivors::Nothing)?;
    Ok((voter, later))
}

/// Raft's figure 8. A leader brings a record of an earlier term to a majority, and is lost
/// before any of its own gets there; one with a record of a term in between may win, and
/// replaces it. So it was not committed by being held by a majority (CP-S2).
pub fn an_earlier_terms_record_is_not_committed_by_count(backend: &'static dyn Backend) -> Verdict {
    let calm = Options::default();
    // A record in a frame: the old one travels alone.
    let settings = cp_driver::Settings { append_bytes_max: 1, ..calm.settings.clone() };
    let options = Options { settings, ..calm };
    let least = Least { aimed: 4, restarts: 16, elections: 12, cut: 4, ..Least::default() };
    Scenario::new("commitment::an_earlier_terms_record_is_not_committed_by_count").options(options).least(least).run(
        backend,
        async |world| {
            let t = world.election_timeout();
            let mut alone = 0;
            for _ in 0..4 {
                let first = world.settled_leader().await?;
                let old = a_record_of_one(world, first).await?;
                let (voter, later) = a_leader_of_nobody(world, old).await?;
                world.network().slow_one_way(&[first], &[voter], t / 12);
                world.start(first).await?;
                world.start(voter).await?;
                let brought = |world: &World| {
                    let last = world.up(voter).ok()?.store.last();
                    (last >= old).then_some(last)
                };
                let last = world.until(t * 8, Promise::L1, "the old record to be brought on", brought).await?;
                world.network().cut_one_way(&[first], &[voter]);
                alone += u32::from(last == old);
                held(world, voter, old).await?;
                // For the acknowledgement, and for whatever the leader makes of it.
                world.pass(t / 4).await;
                world.kill(first, Survivors::Nothing)?;
                world.kill(voter, Survivors::Nothing)?;
                world.network().heal();
                world.start(voter).await?;
                world.start(later).await?;
                world.writes(1).await?;
                world.start(first).await?;
            }
            ensure(alone > 0, Promise::E1, || "an old record never travelled alone".to_owned())
                .map_err(|broken| scenario(broken.what))
        },
    )
}

/// All voters but the leader are exchanged for others, and the leader is cut off from the
/// old ones before they hear of it. The old ones are a majority of those they know, and
/// the new ones of theirs: only one of the two commits (CP-M1, CP-S2).
pub fn voters_that_are_exchanged_are_never_two_majorities(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, cut: 1, acknowledged: 8, ..Least::default() };
    Scenario::new("commitment::voters_that_are_exchanged_are_never_two_majorities").least(least).run(
        backend,
        async |world| {
            let t = world.election_timeout();
            let joiners = [world.join("n3", MemberKind::Data).await?, world.join("n4", MemberKind::Data).await?];
            let last = world.writes(2).await?;
            world.applied(&joiners, last, t * 6).await?;
            world.settled().await?;
            let leader = world.settled_leader().await?;
            let old = world.others(&[leader, joiners[0], joiners[1]]);
            // Nobody gets a vote while it is out of touch, so all that is asked for meanwhile is one change.
            world.network().cut(&joiners, &world.others(&joiners));
            world.pass(t * 2).await;
            for joiner in joiners {
                let member = world.life_of(joiner)?;
                world.decide(cp_catalog::MembershipCommand::SetVoting { member }).await?;
            }
            for slot in &old {
                world.demote_unsettled(*slot).await?;
            }
            let before = world.configuration(leader)?;
            world.network().heal();
            world.network().slow_one_way(&[leader], &old, t / 12);
            let taken = |world: &World| (world.configuration(leader).ok()? != before).then_some(());
            world.until(t * 6, Promise::M1, "a step of the change", taken).await?;
            world.network().cut(&old, &[leader, joiners[0], joiners[1]]);
            world.attempt(leader, t / 2).await?;
            let knows = old.iter().any(|slot| world.configuration(*slot).is_ok_and(|has| has != before));
            ensure(!knows, Promise::M1, || "the old voters know of the change".to_owned())
                .map_err(|broken| scenario(broken.what))?;
            let other = world.leader_among(&old, t * 8).await?;
            world.write(other).await?;
            world.network().heal();
            world.settled().await?;
            world.writes(2).await.map(drop)
        },
    )
}
