//! Elections and votes.

use crate::backend::{Backend, Sign};
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_seam::{
    ControlPlaneLogIndex, ControlPlaneRole, LogPosition, MemberKind, ProposeError, ProposeRefusal, ReadError, Term,
};

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

/// One voter is a quorum, and keeps what it has over a power loss (CP-L1, CP-S2). Genesis is at
/// index 0 of its log and of its state, and the first record at index 1, whichever engine wrote it.
pub fn a_lone_voter_leads_itself(backend: &'static dyn Backend) -> Verdict {
    let options = Options::nodes(1);
    let least = Least { restarts: 1, ..Least::default() };
    Scenario::new("election::a_lone_voter_leads_itself").options(options).least(least).run(backend, async |world| {
        world.writes(5).await?;
        let store = world.up(0)?.store;
        let (genesis, first) = (ControlPlaneLogIndex(0), ControlPlaneLogIndex(1));
        let begins = (store.term_at(genesis), store.purged(), store.snapshot().position);
        let as_genesis = (Some(Term(0)), LogPosition::GENESIS, LogPosition::GENESIS);
        ensure(begins == as_genesis, Promise::S2, || format!("the log begins with {begins:?}"))?;
        let records = store.read(first..first.next(), 1).map_err(|failure| scenario(failure.to_string()))?;
        let at = records.first().map(|record| record.position.index);
        ensure(at == Some(first), Promise::S2, || format!("the first record is at {at:?}"))?;
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

/// A member that was away, with a short log and an early term, asks one that has a
/// later term for its vote. The answer carries that later term and refuses: it is not
/// a grant, whatever it looks like, and the one with the longer log leads (CP-S1, CP-S2).
///
/// openraft took an answer with a higher vote for a grant (#1220, #1146).
pub fn a_higher_term_is_no_grant(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 12, restarts: 4, cut: 1, ..Least::default() };
    Scenario::new("election::a_higher_term_is_no_grant").least(least).run(backend, async |world| {
        for _ in 0..4 {
            let mut leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            let (away, mut heir) =
                (others.first().copied().unwrap_or_default(), others.last().copied().unwrap_or_default());
            world.network().cut(&[away], &[leader, heir]);
            for _ in 0..2 {
                world.write(leader).await?;
                let (up, name) = (world.up(leader)?, world.member(heir)?);
                let handed = up.node.transfer_leadership(&name).await;
                ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
                (leader, heir) = (world.leader_among(&[heir], world.election_timeout()).await?, leader);
            }
            let last = world.write(leader).await?;
            world.applied(&[heir], last, world.election_timeout()).await?;
            // Without a leader for long: it asks at once, the other has only just lost its own.
            world.kill(leader, Survivors::Nothing)?;
            world.network().heal();
            let next = world.leader_among(&[away, heir], world.election_timeout() * 8).await?;
            ensure(next == heir, Promise::S2, || format!("n{next} leads without what was committed"))?;
            world.applied(&[away], last, world.election_timeout() * 4).await?;
            world.start(leader).await?;
        }
        Ok(())
    })
}

/// A leader is cut off with many records that nobody else gets, while two others go on in a
/// later term with fewer. One of these is lost: the other one leads, and votes for the
/// longer log never. Logs compare by (term, index), not by how long they are (CP-S1, CP-S2).
pub fn a_longer_log_of_an_earlier_term_gets_no_vote(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 8, restarts: 4, cut: 4, ..Least::default() };
    Scenario::new("election::a_longer_log_of_an_earlier_term_gets_no_vote").least(least).run(backend, async |world| {
        let t = world.election_timeout();
        for _ in 0..4 {
            let old = world.settled_leader().await?;
            let others = world.others(&[old]);
            let last = world.write(old).await?;
            world.applied(&others, last, t * 2).await?;
            world.network().cut(&[old], &others);
            let tail = world.burst(old, 20).await?.last().copied().unwrap_or_default();
            let durable = |world: &World| (world.up(old).ok()?.store.durable().borrow().last >= tail).then_some(());
            world.until(t, Promise::D2, "the tail to be durable", durable).await?;
            let lost = world.leader_among(&others, t * 8).await?;
            let committed = world.write(lost).await?;
            let shorter = tail.index > committed.index && tail.term < committed.term;
            ensure(shorter, Promise::S2, || format!("{tail} is no longer log of an earlier term than {committed}"))?;
            let heir = world.others(&[old, lost]).first().copied().unwrap_or_default();
            world.applied(&[heir], committed, t * 2).await?;
            world.kill(lost, Survivors::Nothing)?;
            // The old leader knows by then that it is none.
            world.pass(t * 2).await;
            world.network().heal();
            let next = world.leader_among(&[old, heir], t * 8).await?;
            ensure(next == heir, Promise::S2, || format!("n{next} leads without what was committed"))?;
            world.applied(&[old], committed, t * 4).await?;
            world.start(lost).await?;
        }
        Ok(())
    })
}

/// A member has entered later terms than all others and lacks what they have; the
/// only one that can win is of an earlier term, and learns the later one from a
/// refusal, a trial vote's too: there is a leader (CP-L1, CP-S2).
///
/// openraft's trial vote once kept the earlier term for good (#1796).
pub fn the_longest_log_wins_from_an_earlier_term(backend: &'static dyn Backend) -> Verdict {
    let least = Least { aimed: 9, restarts: 24, ..Least::default() };
    Scenario::new("election::the_longest_log_wins_from_an_earlier_term").least(least).run(backend, async |world| {
        let mut ahead_seen = 0;
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let others = world.others(&[leader]);
            let (ahead, helper) =
                (others.first().copied().unwrap_or_default(), others.last().copied().unwrap_or_default());
            // Both hold the same, so that either may win.
            let last = world.write(leader).await?;
            world.applied(&others, last, world.election_timeout()).await?;
            // It wins a trial vote, writes the next term down and loses power, again and again. The
            // one that helps it each time starts too late to stand, and to learn of those terms.
            world.kill(leader, Survivors::Nothing)?;
            for _ in 0..3 {
                let (sign, moment) = (Sign::Candidacy, Moment::Before);
                world.monitor().aim(Aim { slot: Some(ahead), sign, moment, skip: 0 });
                // Who stands first is chance: when the helper does, they begin anew.
                for _ in 0..20 {
                    world.kill(helper, Survivors::Nothing)?;
                    world.restart(ahead, Survivors::Nothing).await?;
                    world.pass(world.election_timeout() * 2 / 5).await;
                    world.start(helper).await?;
                    let either = |world: &World| {
                        let (ahead, helper) = (world.up(ahead).ok()?, world.up(helper).ok()?);
                        (!ahead.life.goes_on() || helper.node.is_leader()).then_some(())
                    };
                    world.until(world.election_timeout() * 8, Promise::L1, "one of two to stand", either).await?;
                    if !world.up(ahead)?.life.goes_on() {
                        break;
                    }
                }
            }
            world.restart(ahead, Survivors::Nothing).await?;
            let later = world.up(ahead)?.store.vote().term;
            world.kill(ahead, Survivors::Nothing)?;
            world.restart(helper, Survivors::Nothing).await?;
            world.start(leader).await?;
            let last = world.writes(3).await?;
            world.applied(&[leader, helper], last, world.election_timeout() * 4).await?;
            let early = world.up(leader)?.store.vote().term;
            world.kill(helper, Survivors::Nothing)?;
            world.restart(leader, Survivors::Nothing).await?;
            world.start(ahead).await?;
            ahead_seen += u32::from(later > early);
            let next = world.leader_among(&[leader, ahead], world.election_timeout() * 8).await?;
            ensure(next == leader, Promise::S2, || format!("n{next} leads without what was committed"))?;
            world.start(helper).await?;
        }
        // How often is chance, and the engine's: one that asks for no trial vote in time has nobody ahead.
        world.trace().note(&"sim", &format_args!("ahead by its term alone: {ahead_seen} times"));
        Ok(())
    })
}

/// A follower that was cut off for long comes back, to an idle leader and to a busy
/// one: it has not raised its term, and the leader leads on in its own (CP-L1).
///
/// openraft's network asks for a trial vote and grants it by default; an adapter
/// that leaves it at that has none.
pub fn a_member_that_was_cut_off_does_not_disturb(backend: &'static dyn Backend) -> Verdict {
    let least = Least { cut: 1, ..Least::default() };
    Scenario::new("election::a_member_that_was_cut_off_does_not_disturb").least(least).run(backend, async |world| {
        for busy in [false, true] {
            let leader = world.settled_leader().await?;
            let term = world.status(leader)?.term;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.network().cut(&[away], &world.others(&[away]));
            world.pass(world.election_timeout() * 8).await;
            if busy {
                world.writes(10).await?;
            }
            world.network().heal();
            for _ in 0..6 {
                world.pass(world.election_timeout() / 2).await;
                let status = world.status(leader)?;
                ensure(status.serving && status.term == term, Promise::L1, || {
                    format!("n{leader} led term {term} and now {}, serving {}", status.term, status.serving)
                })?;
            }
        }
        Ok(())
    })
}

/// A new leader has not yet heard that anything of its own term is committed: it
/// takes no proposal and serves no read, since it does not know what is committed
/// (CP-P1, CP-P4). It refuses; it does not leave a caller without an answer, as raft-rs
/// alone would a read, and its followers pass nothing on to it.
pub fn a_new_leader_serves_once_it_has_committed(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 5, restarts: 4, ..Least::default() };
    Scenario::new("election::a_new_leader_serves_once_it_has_committed").least(least).run(backend, async |world| {
        let mut met = 0;
        for _ in 0..4 {
            let leader = world.settled_leader().await?;
            world.write(leader).await?;
            let all: Vec<usize> = (0..world.size()).collect();
            world.network().slow_one_way(&all, &all, world.election_timeout() / 12);
            world.kill(leader, Survivors::Nothing)?;
            let others = world.others(&[leader]);
            let leads = |world: &World| {
                let leads = |slot: &usize| world.status(*slot).is_ok_and(|s| s.role == ControlPlaneRole::Leader);
                others.iter().copied().find(leads)
            };
            let next = world.until(world.election_timeout() * 6, Promise::L1, "a new leader", leads).await?;
            if !world.up(next)?.node.is_leader() {
                met += 1;
                let (read, taken) = (world.read(next).await?, world.propose(next).await?);
                let unsure = matches!(&taken, Err(ProposeError::Refused(ProposeRefusal::NoQuorum)));
                ensure(unsure || world.up(next)?.node.is_leader(), Promise::P1, || format!("it answers {taken:?}"))?;
                ensure(read == Err(ReadError::NoQuorum), Promise::P4, || format!("it serves {read:?}"))?;
            }
            world.network().heal();
            world.start(leader).await?;
        }
        ensure(met > 0, Promise::P4, || "no leader was met before its first commit".to_owned())
            .map_err(|broken| scenario(broken.what))
    })
}

/// One voter and a learner. The voter wins by itself, so its term may be on no disk
/// when its first records leave: it loses power right then, again and again, and
/// never wins a term twice (CP-D1, CP-S1, CP-S2).
///
/// raft-rs lets a leader's appends outrun the write of its term; the learner then
/// held another record at (6, 2) than the voter.
pub fn a_lone_voter_never_wins_a_term_twice(backend: &'static dyn Backend) -> Verdict {
    let options = Options::nodes(1);
    let least = Least { aimed: 10, restarts: 10, elections: 8, ..Least::default() };
    Scenario::new("election::a_lone_voter_never_wins_a_term_twice").options(options).least(least).run(
        backend,
        async |world| {
            let learner = world.join("n1", MemberKind::Data).await?;
            world.settled().await?;
            for round in 0..10_u32 {
                let last = world.writes(2).await?;
                world.applied(&[learner], last, world.election_timeout() * 6).await?;
                let moment = if round % 3 == 2 { Moment::Before } else { Moment::After };
                world.monitor().aim(Aim { slot: Some(0), sign: Sign::Leads, moment, skip: round % 2 });
                world.kill(0, Survivors::Nothing)?;
                world.start(0).await?;
                let struck = |world: &World| world.up(0).is_ok_and(|up| !up.life.goes_on()).then_some(());
                world.until(world.election_timeout() * 4, Promise::L1, "the aim to strike", struck).await?;
                world.reap(Survivors::Nothing)?;
                world.start(0).await?;
            }
            let last = world.writes(1).await?;
            world.applied(&[learner], last, world.election_timeout() * 6).await
        },
    )
}

/// Voters and candidates lose power at each disk operation of a vote in turn: what is
/// left is the old vote or the new one, and nothing between (CP-S3, CP-D1).
pub fn power_is_lost_within_a_vote(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 16, elections: 6, ..Least::default() };
    Scenario::new("election::power_is_lost_within_a_vote").least(least).run(backend, async |world| {
        for operations in 0..8 {
            let leader = world.settled_leader().await?;
            let (t, others) = (world.election_timeout(), world.others(&[leader]));
            world.kill(leader, Survivors::Nothing)?;
            for slot in &others {
                world.disk(*slot)?.with_faults(|faults| faults.crash_after = Some(operations));
            }
            let struck = |world: &World| {
                others.iter().any(|slot| world.up(*slot).is_ok_and(|up| !up.life.goes_on())).then_some(())
            };
            world.until(t * 10, Promise::L1, "an election to be struck", struck).await?;
            for slot in others {
                world.kill(slot, Survivors::Nothing)?;
                world.disk(slot)?.with_faults(|faults| faults.crash_after = None);
            }
            for slot in 0..world.size() {
                world.start(slot).await?;
            }
            world.writes(1).await?;
        }
        Ok(())
    })
}
