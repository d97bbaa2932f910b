//! Networks that are cut, in every way.

use crate::backend::Backend;
use crate::network::Conditions;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{Attempt, World, ensure, scenario};
use cp_seam::{ControlPlaneRole, Outcome, ProposeError, ProposeRefusal, ReadError};
use std::sync::Arc;
use std::time::Duration;

/// What was on its way at the cut may still arrive.
const IN_FLIGHT: Duration = Duration::from_millis(20);

/// A leader that is cut off refuses with `NoQuorum` within T, is not
/// `is_leader()`, and serves no read; the others elect another, and when the cut
/// heals the old one follows (CP-P2, CP-P4, CP-L1).
pub fn an_isolated_leader_refuses(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 4, cut: 1, ..Least::default() };
    Scenario::new("partition::an_isolated_leader_refuses").least(least).run(backend, async |world| {
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let (t, others) = (world.election_timeout(), world.others(&[leader]));
            let up = world.up(leader)?;
            world.network().cut(&[leader], &others);
            world.pass(t + IN_FLIGHT).await;
            ensure(!up.node.is_leader(), Promise::P2, || format!("n{leader} says it leads after T without a quorum"))?;
            let asked = tokio::time::Instant::now();
            let refused = world.propose(leader).await?;
            let no_quorum = matches!(&refused, Err(ProposeError::Refused(ProposeRefusal::NoQuorum)));
            ensure(no_quorum, Promise::P2, || format!("n{leader} answers {refused:?}"))?;
            ensure(asked.elapsed() < t, Promise::P2, || "it took more than T to refuse".to_owned())?;
            let next = world.leader_among(&others, t * 3).await?;
            world.write(next).await?;
            let read = world.read(leader).await?;
            ensure(read == Err(ReadError::NoQuorum), Promise::P4, || format!("a read at n{leader} ended {read:?}"))?;
            let read = world.read(next).await?;
            ensure(read.is_ok(), Promise::P4, || format!("a read at n{next} ended {read:?}"))?;
            world.network().heal();
            let last = world.writes(1).await?;
            world.applied(&[leader], last, t * 6).await?;
            let role = up.node.role();
            let leads = world.settled_leader().await? == leader;
            ensure(leads || role == ControlPlaneRole::Follower, Promise::S1, || format!("n{leader} is {role:?}"))?;
        }
        Ok(())
    })
}

/// A leader is not heard any more and does not know it yet, because answers are
/// still on their way to it; another has been elected and has acknowledged. What
/// the old one answers to reads must not be older: no clock decides (CP-P4).
pub fn a_deposed_leader_serves_no_stale_read(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 6, cut: 1, ..Least::default() };
    Scenario::new("partition::a_deposed_leader_serves_no_stale_read").least(least).run(backend, async |world| {
        let mut dared = 0;
        for _ in 0..6 {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            world.network().slow_one_way(&others, &[leader], world.election_timeout() / 3);
            world.pass(world.election_timeout()).await;
            let leads = world.up(leader)?.node.is_leader();
            world.network().cut_one_way(&[leader], &others);
            let next = world.leader_among(&others, world.election_timeout() * 4).await?;
            world.write(next).await?;
            dared += u32::from(leads && world.up(leader)?.node.is_leader());
            // The monitor compares what is served with what was acknowledged.
            let read = world.read(leader).await?;
            ensure(read.is_err(), Promise::P4, || format!("n{leader} serves a read in the dark"))?;
            world.network().heal();
            world.writes(1).await?;
        }
        ensure(dared > 0, Promise::P4, || "no old leader ever believed itself".to_owned()).map_err(|b| scenario(b.what))
    })
}

/// Answers to what a leader sent before a read are on their way to it when the read begins;
/// meanwhile another leads, by the old one's own word, and has acknowledged. The first answer
/// commits a record, of which the leader tells everybody, and the rest come after that: they
/// hold what was told, and were given before the read. None of them confirms it (CP-P4).
///
/// openraft takes the answer to a request as one to every later request that ends at the
/// same record, and that word of a commit is such a request.
pub fn answers_from_before_a_read_do_not_confirm_it(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 5, slowed_frames: 16, ..Least::default() };
    Scenario::new("partition::answers_from_before_a_read_do_not_confirm_it")
        .options(Options::nodes(5))
        .least(least)
        .run(backend, async |world| {
            let (t, mut dared) = (world.election_timeout(), 0);
            for _ in 0..4 {
                let leader = world.settled_leader().await?;
                let others = world.others(&[leader]);
                let (Some((heir, rest)), before) = (others.split_first(), world.write(leader).await?) else { continue };
                let (first, late) = rest.split_at(1);
                world.applied(&others, before, t).await?;
                world.network().slow_one_way(first, &[leader], t / 6);
                world.network().slow_one_way(late, &[leader], t / 5);
                let record = world.burst(leader, 1).await?.pop().ok_or_else(|| scenario("it took nothing"))?;
                let answered = |world: &World| {
                    let durable = |slot: &usize| Some(world.up(*slot).ok()?.store.durable().borrow().last);
                    let incarnation = world.incarnation(*heir).ok()?;
                    let progress = world.up(leader).ok()?.node.progress();
                    let matched = progress.iter().find(|of| of.incarnation == incarnation)?.matched;
                    let held = rest.iter().all(|slot| durable(slot).is_some_and(|last| last >= record));
                    (held && matched >= record.index).then_some(())
                };
                world.until(t / 8, Promise::L1, "a record to be everywhere", answered).await?;
                // What is on a disk has been answered; nothing that is said from here on arrives in time.
                world.pass(Duration::from_millis(2)).await;
                world.network().slow_one_way(&others, &[leader], t * 2);
                let (up, name) = (world.up(leader)?, world.member(*heir)?);
                let handing = tokio::spawn({
                    let node = Arc::clone(&up.node);
                    async move { node.transfer_leadership(&name).await.is_ok() }
                });
                let next = world.leader_among(&[*heir], t).await?;
                world.write(next).await?;
                let leads = up.node.role() == ControlPlaneRole::Leader;
                dared += u32::from(leads && world.status(leader)?.committed < record.index);
                // The monitor compares what is served with what was acknowledged.
                let read = world.read(leader).await?;
                ensure(read.is_err(), Promise::P4, || format!("n{leader} serves a read by answers from before it"))?;
                handing.abort();
                world.network().heal();
                // What was slowed has arrived, and nothing waits behind it.
                world.pass(t * 2).await;
                let all: Vec<usize> = (0..world.size()).collect();
                let last = world.writes(1).await?;
                world.applied(&all, last, t * 6).await?;
            }
            let dared = ensure(dared > 0, Promise::P4, || "no read was ever answered so".to_owned());
            dared.map_err(|broken| scenario(broken.what))
        })
}

/// What a leader took while it was cut off is unknown as long as nobody can know,
/// and superseded, on every node, once another entry has its slot (CP-P3, CP-S2).
pub fn what_an_isolated_leader_took_is_superseded(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 4, cut: 1, ..Least::default() };
    Scenario::new("partition::what_an_isolated_leader_took_is_superseded").least(least).run(backend, async |world| {
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            world.network().cut(&[leader], &others);
            let mut taken = Vec::new();
            for _ in 0..5 {
                if let Ok(position) = world.propose(leader).await? {
                    taken.push(position);
                }
            }
            ensure(!taken.is_empty(), Promise::P3, || "it took nothing within its first moments".to_owned())?;
            for position in &taken {
                let outcome = world.outcome(leader, *position, Duration::from_millis(10)).await?;
                ensure(outcome == Outcome::Unknown, Promise::P3, || format!("{position} is {outcome:?} in the dark"))?;
            }
            let next = world.leader_among(&others, world.election_timeout() * 3).await?;
            for _ in 0..6 {
                world.write(next).await?;
            }
            world.network().heal();
            for slot in 0..world.size() {
                for position in &taken {
                    let outcome = world.outcome(slot, *position, world.election_timeout() * 6).await?;
                    let superseded = outcome == Outcome::Superseded;
                    ensure(superseded, Promise::P3, || format!("n{slot} says {outcome:?} of {position}"))?;
                }
            }
        }
        Ok(())
    })
}

/// Two of five, the leader among them, are cut off: they commit nothing, the three
/// go on, and afterwards there is one history (CP-S2, CP-P2, CP-L1).
pub fn a_minority_makes_no_progress(backend: &'static dyn Backend) -> Verdict {
    let (options, least) = (Options::nodes(5), Least { elections: 2, cut: 1, ..Least::default() });
    Scenario::new("partition::a_minority_makes_no_progress").options(options).least(least).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let friend = world.others(&[leader]).first().copied().unwrap_or_default();
        let (few, many) = ([leader, friend], world.others(&[leader, friend]));
        world.network().cut(&few, &many);
        let before = world.status(leader)?.committed;
        let proposed = world.attempt(leader, world.election_timeout() / 2).await?;
        ensure(!matches!(proposed, Attempt::Committed(_)), Promise::S2, || format!("{proposed:?} in a minority"))?;
        let next = world.leader_among(&many, world.election_timeout() * 3).await?;
        for _ in 0..5 {
            world.write(next).await?;
        }
        world.pass(world.election_timeout() + IN_FLIGHT).await;
        for slot in few {
            let (up, committed) = (world.up(slot)?, world.status(slot)?.committed);
            ensure(!up.node.is_leader(), Promise::P2, || format!("n{slot} says it leads a minority"))?;
            // It may learn of what was committed before the cut; no more.
            ensure(committed.0 <= before.0 + 1, Promise::S2, || format!("n{slot} went on to {committed}"))?;
        }
        Ok(())
    })
}

/// A leader that is heard and hears nothing, and one that hears and is not heard,
/// do not stand in the way of service for ever (CP-L1, CP-P2).
pub fn one_way_cuts_end_in_a_leader(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 3, cut: 1, ..Least::default() };
    Scenario::new("partition::one_way_cuts_end_in_a_leader").least(least).run(backend, async |world| {
        for heard in [true, false] {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            if heard {
                world.network().cut_one_way(&others, &[leader]);
            } else {
                world.network().cut_one_way(&[leader], &others);
            }
            let next = world.leader_among(&others, world.election_timeout() * 10).await?;
            for _ in 0..3 {
                world.write(next).await?;
            }
            world.network().heal();
            world.writes(2).await?;
        }
        Ok(())
    })
}

/// One of five sees all, two on either side see it and each other only: it, or
/// anyone with a majority through it, leads (CP-L1). openraft has no leader here
/// unless one that has lost its quorum keeps still (#2080).
pub fn a_bridge_has_a_leader(backend: &'static dyn Backend) -> Verdict {
    let (options, least) = (Options::nodes(5), Least { cut: 1, ..Least::default() });
    Scenario::new("partition::a_bridge_has_a_leader").options(options).least(least).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        for bridge in [world.others(&[leader]).first().copied().unwrap_or_default(), leader] {
            let banks = world.others(&[bridge]);
            let (left, right) = banks.split_at(2);
            world.network().cut(left, right);
            world.pass(world.election_timeout() * 3).await;
            world.writes(5).await?;
            world.network().heal();
            world.writes(1).await?;
        }
        Ok(())
    })
}

/// A leader and one follower cannot talk, both can with the third: service goes
/// on, and the follower's campaigns do not take it down for long (CP-L1).
pub fn a_partial_cut_disturbs_nobody_for_long(backend: &'static dyn Backend) -> Verdict {
    let least = Least { cut: 1, acknowledged: 20, ..Least::default() };
    Scenario::new("partition::a_partial_cut_disturbs_nobody_for_long").least(least).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let lone = world.others(&[leader]).first().copied().unwrap_or_default();
        world.network().cut(&[leader], &[lone]);
        let elections = world.monitor().tally().elections;
        for _ in 0..20 {
            world.writes(1).await?;
            world.pass(world.election_timeout() / 2).await;
        }
        let more = world.monitor().tally().elections - elections;
        ensure(more <= 10, Promise::L1, || format!("{more} elections in 10T of a partial cut"))
    })
}

/// Loss, duplication, delay and reordering slow service down and break nothing (CP-L1, CP-S2, CP-P3).
pub fn a_rough_network_is_no_excuse(backend: &'static dyn Backend) -> Verdict {
    let least = Least { acknowledged: 100, ..Least::default() };
    Scenario::new("partition::a_rough_network_is_no_excuse").least(least).run(backend, async |world| {
        world.network().conditions(Conditions::ROUGH);
        world.writes(100).await?;
        let traffic = world.network().traffic();
        let rough = traffic.lost > 10 && traffic.duplicated > 10 && traffic.reordered > 10;
        ensure(rough, Promise::E1, || format!("{traffic:?} is not rough")).map_err(|b| scenario(b.what))
    })
}
