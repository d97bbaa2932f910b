//! Changes of who votes, interrupted and interleaved.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_catalog::MembershipCommand;
use cp_seam::MemberKind;
use std::time::Duration;

fn votes(world: &World, at: usize, slot: usize) -> Result<bool, Broken> {
    Ok(world.configuration(at)?.1.is_voter(world.incarnation(slot)?))
}

/// A learner that has caught up, in a cluster of three.
async fn with_a_learner(world: &mut World) -> Result<usize, Broken> {
    let joiner = world.join("n3", MemberKind::Data).await?;
    let last = world.writes(2).await?;
    world.applied(&[joiner], last, world.election_timeout() * 6).await?;
    world.settled().await?;
    let leader = world.settled_leader().await?;
    // It may be cut off next: whoever gives it a vote must have heard that it is close behind.
    let life = world.life_of(joiner)?.incarnation;
    let heard = |world: &World| {
        let books = world.up(leader).map(|up| up.node.progress()).unwrap_or_default();
        books.iter().any(|member| member.incarnation == life && member.matched >= last.index).then_some(())
    };
    world.until(world.election_timeout() * 6, Promise::L1, "the leader to hear of its learner", heard).await?;
    Ok(joiner)
}

/// A vote is given and taken again and again, and each time somebody loses power after
/// so many disk operations of it: the leader, a voter, or whom it is about. Whoever
/// leads next finishes it, and no two majorities act (CP-M1, CP-S2, CP-L1).
pub fn power_is_lost_at_each_step_of_a_change(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 12, acknowledged: 24, ..Least::default() };
    Scenario::new("reconfiguration::power_is_lost_at_each_step_of_a_change").least(least).run(backend, async |world| {
        let joiner = with_a_learner(world).await?;
        for operation in 0..12_u64 {
            let leader = world.settled_leader().await?;
            if operation % 2 == 0 {
                let member = world.life_of(joiner)?;
                world.decide(MembershipCommand::SetVoting { member }).await?;
            } else {
                world.demote_unsettled(joiner).await?;
            }
            let follower = world.others(&[leader, joiner]).first().copied().unwrap_or_default();
            let bystander = if operation % 2 == 0 { joiner } else { follower };
            let victim = if operation % 6 < 3 { leader } else { bystander };
            world.disk(victim)?.with_faults(|faults| faults.crash_after = Some(operation));
            let deadline = tokio::time::Instant::now() + world.election_timeout() * 8;
            while world.up(victim)?.life.goes_on() && tokio::time::Instant::now() < deadline {
                let leader = world.leader().await?;
                world.attempt(leader, Duration::from_millis(20)).await?;
            }
            world.reap(Survivors::Nothing)?;
            world.disk(victim)?.with_faults(|faults| faults.crash_after = None);
            // Half of the time the change is finished without the one that fell.
            if operation % 4 < 2 {
                world.settled().await?;
            }
            if world.up(victim).is_err() {
                world.start(victim).await?;
            }
            world.settled().await?;
            let leader = world.settled_leader().await?;
            let has = votes(world, leader, joiner)?;
            ensure(has == (operation % 2 == 0), Promise::M1, || format!("at {operation} its vote counts: {has}"))?;
            world.writes(2).await?;
        }
        Ok(())
    })
}

/// A member has been given its vote and has not heard of it. The leader is lost, and
/// nobody can win without that vote: the member gives it, as it would have as a
/// learner that is asked, since it is the candidate's configuration that counts (CP-M1, CP-L1).
///
/// raft-rs's learners once refused to vote (raft-rs#57).
pub fn a_member_that_does_not_know_of_its_vote_votes(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, cut: 1, ..Least::default() };
    Scenario::new("reconfiguration::a_member_that_does_not_know_of_its_vote_votes").least(least).run(
        backend,
        async |world| {
            let joiner = with_a_learner(world).await?;
            let leader = world.settled_leader().await?;
            let member = world.life_of(joiner)?;
            world.network().cut(&[joiner], &world.others(&[joiner]));
            world.decide(MembershipCommand::SetVoting { member }).await?;
            world.settled().await?;
            let last = world.writes(1).await?;
            let followers = world.others(&[leader, joiner]);
            world.applied(&followers, last, world.election_timeout()).await?;
            ensure(votes(world, leader, joiner)? && !votes(world, joiner, joiner)?, Promise::M1, || {
                "it knows of its vote".to_owned()
            })
            .map_err(|broken| scenario(broken.what))?;
            world.kill(leader, Survivors::Nothing)?;
            world.network().heal();
            let next = world.leader_among(&followers, world.election_timeout() * 8).await?;
            world.write(next).await.map(drop)
        },
    )
}

/// Two members are given their votes and a third loses its own, all asked for at once:
/// each change waits for the one before, none is lost, and no blank record takes the
/// place of one (CP-M1, CP-P1).
///
/// raft-rs accepts a second change while one is pending and commits an empty entry instead.
pub fn changes_asked_for_at_once_all_happen(backend: &'static dyn Backend) -> Verdict {
    let least = Least { commits: 8, ..Least::default() };
    Scenario::new("reconfiguration::changes_asked_for_at_once_all_happen").least(least).run(backend, async |world| {
        let one = with_a_learner(world).await?;
        let two = world.join("n4", MemberKind::Data).await?;
        let last = world.writes(1).await?;
        world.applied(&[two], last, world.election_timeout() * 6).await?;
        let leader = world.settled_leader().await?;
        let third = world.others(&[leader, one, two]).first().copied().unwrap_or_default();
        for slot in [one, two] {
            let member = world.life_of(slot)?;
            world.decide(MembershipCommand::SetVoting { member }).await?;
        }
        world.demote_unsettled(third).await?;
        world.settled().await?;
        let leader = world.settled_leader().await?;
        let (_, newest) = world.configuration(leader)?;
        let have = [one, two, third].map(|slot| votes(world, leader, slot).unwrap_or_default());
        ensure(have == [true, true, false] && newest.voters.len() == 4, Promise::M1, || format!("{newest:?}"))?;
        for slot in [third, leader] {
            world.kill(slot, Survivors::Nothing)?;
        }
        world.writes(2).await.map(drop)
    })
}

/// The leader is removed, another time demoted, while callers propose to it without a
/// pause: it makes room, nothing that it acknowledged is lost, and it does not lead on
/// without a vote (CP-M1, CP-S2, CP-P3).
///
/// raft-rs panics when a leader that was voted out has an entry in flight, and a
/// demoted one goes on committing.
pub fn a_leader_leaves_under_load(backend: &'static dyn Backend) -> Verdict {
    let (options, least) = (Options::nodes(5), Least { elections: 3, commits: 40, ..Least::default() });
    Scenario::new("reconfiguration::a_leader_leaves_under_load").options(options).least(least).run(
        backend,
        async |world| {
            for removed in [true, false] {
                let leader = world.settled_leader().await?;
                let load = world.load(leader)?;
                world.pass(Duration::from_millis(30)).await;
                let asked = match removed {
                    true => world.remove_unsettled(leader).await,
                    false => world.demote_unsettled(leader).await,
                };
                asked?;
                world.settled().await?;
                load.abort();
                let others = world.others(&[leader]);
                let next = world.leader_among(&others, world.election_timeout() * 6).await?;
                ensure(!world.up(leader)?.node.is_leader(), Promise::M1, || format!("n{leader} leads on"))?;
                world.write(next).await?;
                ensure(!votes(world, next, leader)?, Promise::M1, || format!("n{leader} still has a vote"))?;
            }
            Ok(())
        },
    )
}

/// A leader that leaves hands over to a data member, though a witness is as far (CP-M2, CP-L1).
///
/// openraft's own step-down takes whoever is furthest.
pub fn a_leader_that_leaves_makes_no_witness_lead(backend: &'static dyn Backend) -> Verdict {
    let options = Options { witnesses: 1, ..Options::nodes(4) };
    let least = Least { elections: 2, ..Least::default() };
    Scenario::new("reconfiguration::a_leader_that_leaves_makes_no_witness_lead").options(options).least(least).run(
        backend,
        async |world| {
            world.writes(3).await?;
            let leader = world.leader_among(&[0, 1, 2], world.election_timeout() * 20).await?;
            world.remove(leader).await?;
            world.network().cut(&[leader], &world.others(&[leader]));
            for _ in 0..8 {
                let next = world.leader().await?;
                ensure(next < 3, Promise::M2, || "the witness leads beside two data members".to_owned())?;
                world.write(next).await?;
                world.pass(world.election_timeout() / 4).await;
            }
            Ok(())
        },
    )
}

/// A new member starts from genesis, and the leader's snapshot is from before its
/// admission and does not list it: it is taken all the same, and the member gets its
/// vote (CP-R1, CP-M1).
///
/// raft-rs refuses a snapshot whose configuration lacks its recipient (raft-rs#472).
pub fn a_snapshot_from_before_an_admission_will_do(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, commits: 100, ..Least::default() };
    Scenario::new("reconfiguration::a_snapshot_from_before_an_admission_will_do").least(least).run(
        backend,
        async |world| {
            let genesis = world.genesis()?;
            world.writes(100).await?;
            let joiner = world.join_on("n3", &genesis).await?;
            let last = world.writes(2).await?;
            world.applied(&[joiner], last, world.election_timeout() * 10).await?;
            let snapshot = world.up(joiner)?.store.snapshot();
            let incarnation = world.incarnation(joiner)?;
            ensure(snapshot.configuration.member(incarnation).is_none(), Promise::R1, || {
                "the snapshot lists it".to_owned()
            })
            .map_err(|broken| scenario(broken.what))?;
            world.promote(joiner).await?;
            world.restart(joiner, Survivors::Nothing).await?;
            let leader = world.settled_leader().await?;
            let other = world.others(&[leader, joiner]).first().copied().unwrap_or_default();
            world.kill(other, Survivors::Nothing)?;
            world.writes(2).await.map(drop)
        },
    )
}

/// A leader on a slow way has appended the step that gives a learner its vote, nobody
/// has heard of it, and it is cut off: the leader, and the learner.
async fn with_a_step_that_nobody_heard_of(world: &mut World) -> Result<(usize, usize), Broken> {
    let joiner = with_a_learner(world).await?;
    let leader = world.settled_leader().await?;
    let others = world.others(&[leader]);
    world.network().slow_one_way(&[leader], &others, world.election_timeout() / 10);
    let member = world.life_of(joiner)?;
    world.decide(MembershipCommand::SetVoting { member }).await?;
    let stepped = |world: &World| world.configuration(leader).is_ok_and(|(_, newest)| newest.is_joint()).then_some(());
    world.until(world.election_timeout(), Promise::M1, "the leader to append a step", stepped).await?;
    world.network().cut(&[leader], &others);
    let heard = others.iter().any(|slot| votes(world, *slot, joiner).unwrap_or_default());
    ensure(!heard, Promise::M1, || "the step has been heard of".to_owned()).map_err(|broken| scenario(broken.what))?;
    Ok((leader, joiner))
}

/// Two leaders take a step each from the same configuration, in two terms. The second
/// one's is committed, and a further step after it; the first one's is gone when its
/// leader is back, and the majorities that act have all met (CP-M1, CP-S2).
///
/// openraft let a leader reconfigure before it had committed in its own term (#2051).
pub fn steps_of_two_terms_do_not_both_happen(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, cut: 1, ..Least::default() };
    Scenario::new("reconfiguration::steps_of_two_terms_do_not_both_happen").least(least).run(backend, async |world| {
        let (first, joiner) = with_a_step_that_nobody_heard_of(world).await?;
        let others = world.others(&[first, joiner]);
        let second = world.leader_among(&others, world.election_timeout() * 8).await?;
        world.write(second).await?;
        let leaving = others.iter().copied().find(|slot| *slot != second).unwrap_or_default();
        world
            .until(world.election_timeout() * 8, Promise::M1, "the second step", |world| {
                (votes(world, second, joiner) == Ok(true) && world.status(second).is_ok_and(|now| now.settled))
                    .then_some(())
            })
            .await?;
        // Three of four are in touch; the vote of one of them goes too, and it goes down.
        world.demote_unsettled(leaving).await?;
        world
            .until(world.election_timeout() * 8, Promise::M1, "the third step", |world| {
                (votes(world, second, leaving) == Ok(false)).then_some(())
            })
            .await?;
        world.network().heal();
        world.settled().await?;
        world.kill(leaving, Survivors::Nothing)?;
        let last = world.writes(2).await?;
        world.applied(&[first, second, joiner], last, world.election_timeout() * 8).await?;
        for slot in [first, second, joiner] {
            let have = [first, second, joiner, leaving].map(|of| votes(world, slot, of).unwrap_or_default());
            ensure(have == [true, true, true, false], Promise::M1, || format!("n{slot} says {have:?}"))?;
        }
        Ok(())
    })
}

/// A leader with a step of its own that nobody heard of is overtaken by a snapshot: who
/// votes is what the snapshot says. A majority of the configuration that it had before
/// elects nobody, and it elects with those that it had not heard of (CP-M1, CP-S2, CP-L1).
///
/// openraft kept the older membership after an install (#1808).
pub fn a_snapshot_brings_its_membership(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, elections: 3, cut: 1, ..Least::default() };
    Scenario::new("reconfiguration::a_snapshot_brings_its_membership").least(least).run(backend, async |world| {
        let (first, joiner) = with_a_step_that_nobody_heard_of(world).await?;
        let others = world.others(&[first, joiner]);
        let second = world.leader_among(&others, world.election_timeout() * 8).await?;
        world
            .until(world.election_timeout() * 8, Promise::M1, "the joiner's vote", |world| {
                (votes(world, second, joiner) == Ok(true) && world.status(second).is_ok_and(|now| now.settled))
                    .then_some(())
            })
            .await?;
        let mut last = world.write(second).await?;
        for _ in 0..120 {
            let leader = world.leader_among(&world.others(&[first]), world.election_timeout() * 8).await?;
            last = world.write(leader).await?;
        }
        world.network().heal();
        world.applied(&[first], last, world.election_timeout() * 10).await?;
        ensure(votes(world, first, joiner)?, Promise::M1, || format!("n{first} does not know of n{joiner}'s vote"))?;
        // Two of the three that it knew of are no majority of the four that there are.
        let third = others.iter().copied().find(|slot| *slot != second).unwrap_or_default();
        for slot in [second, joiner] {
            world.kill(slot, Survivors::Nothing)?;
        }
        world.restart(first, Survivors::Nothing).await?;
        world.restart(third, Survivors::Nothing).await?;
        for _ in 0..12 {
            world.pass(world.election_timeout() / 2).await;
            for slot in [first, third] {
                ensure(!world.up(slot)?.node.is_leader(), Promise::M1, || format!("two of four made n{slot} lead"))?;
            }
        }
        world.start(joiner).await?;
        world.writes(2).await.map(drop)
    })
}
