//! Members come, go, are wiped, and only witness.

use crate::backend::{Backend, Sign};
use crate::disk::Survivors;
use crate::monitor::{Aim, Moment};
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{Attempt, ensure, scenario};
use cp_catalog::MembershipCommand;
use cp_seam::{MemberKind, PeerRefusal, Standing};

/// A member joins from a snapshot, follows as a learner, gets its vote, and then
/// counts: with it, a cluster of four loses one of the old and goes on (CP-M1, CP-R1, CP-L1).
pub fn a_joiner_becomes_a_voter(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("membership::a_joiner_becomes_a_voter").run(backend, async |world| {
        world.writes(20).await?;
        let joiner = world.join("n3", MemberKind::Data).await?;
        let last = world.writes(3).await?;
        world.applied(&[joiner], last, world.election_timeout() * 6).await?;
        let incarnation = world.incarnation(joiner)?;
        let standing = |world: &crate::World, leader| -> Result<Option<Standing>, crate::Broken> {
            let books = world.up(leader)?.node.progress();
            Ok(books.into_iter().find(|p| p.incarnation == incarnation).map(|p| p.standing))
        };
        let leader = world.leader().await?;
        let before = standing(world, leader)?;
        ensure(before == Some(Standing::Learner), Promise::M1, || format!("before its vote it is {before:?}"))?;
        world.promote(joiner).await?;
        let leader = world.leader().await?;
        let after = standing(world, leader)?;
        ensure(after == Some(Standing::Voter), Promise::M1, || format!("with its vote it is {after:?}"))?;
        world.kill(leader, Survivors::Nothing)?;
        world.writes(3).await.map(drop)
    })
}

/// A removed follower counts no more: the remaining four need three of them, and
/// its own campaigns disturb nobody (CP-M1, CP-M3).
pub fn a_follower_is_removed(backend: &'static dyn Backend) -> Verdict {
    let options = Options::nodes(5);
    Scenario::new("membership::a_follower_is_removed").options(options).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        let gone = world.others(&[leader]).first().copied().unwrap_or_default();
        world.remove(gone).await?;
        world.writes(3).await?;
        let term = world.status(leader)?.term;
        // It does not know, and is not told: it runs on, and is not listened to.
        world.pass(world.election_timeout() * 6).await;
        let leader = world.leader().await?;
        let now = world.status(leader)?.term;
        ensure(now == term, Promise::M3, || format!("the removed member moved the term from {term} to {now}"))?;
        let rest: Vec<usize> = world.others(&[leader, gone]);
        for slot in rest.iter().take(2) {
            world.kill(*slot, Survivors::Nothing)?;
        }
        // Two of four and the removed one are not three of four.
        let lonely = world.attempt(leader, world.election_timeout() * 2).await?;
        ensure(!matches!(lonely, Attempt::Committed(_)), Promise::M3, || "the removed member counted".to_owned())
    })
}

/// A leader that is removed hands over first; the change is final, and it is not
/// a member afterwards (CP-M1, CP-L1).
pub fn the_leader_is_removed(backend: &'static dyn Backend) -> Verdict {
    let (options, least) = (Options::nodes(4), Least { elections: 2, ..Least::default() });
    Scenario::new("membership::the_leader_is_removed").options(options).least(least).run(backend, async |world| {
        world.writes(5).await?;
        let leader = world.settled_leader().await?;
        world.remove(leader).await?;
        let next = world.leader_among(&world.others(&[leader]), world.election_timeout() * 6).await?;
        ensure(!world.up(leader)?.node.is_leader(), Promise::M1, || format!("n{leader} still leads"))?;
        for _ in 0..3 {
            world.write(next).await?;
        }
        let gone = world.incarnation(leader)?;
        let known = world.up(next)?.node.progress().iter().any(|member| member.incarnation == gone);
        ensure(!known, Promise::M1, || format!("n{leader} is still in the configuration"))
    })
}

/// A leader is lost at different moments of a change of voters; the next one
/// brings it to its end, and no two majorities act (CP-M1, CP-S2).
pub fn the_next_leader_finishes_a_change(backend: &'static dyn Backend) -> Verdict {
    let (options, least) = (Options::nodes(3), Least { elections: 4, restarts: 3, ..Least::default() });
    Scenario::new("membership::the_next_leader_finishes_a_change").options(options).least(least).run(
        backend,
        async |world| {
            let mut joint_seen = 0;
            for (name, joint) in [("n3", true), ("n4", true), ("n5", false)] {
                let joiner = world.join(name, MemberKind::Data).await?;
                let last = world.writes(2).await?;
                world.applied(&[joiner], last, world.election_timeout() * 6).await?;
                world.settled().await?;
                let leader = world.settled_leader().await?;
                let member = world.life_of(joiner)?;
                world.decide(MembershipCommand::SetVoting { member }).await?;
                if joint {
                    // As soon as the joint configuration is in its log, and perhaps in no other.
                    let appended = |world: &crate::World| {
                        let known = world.up(leader).ok()?.store.configurations();
                        known.last().is_some_and(|(_, c)| c.is_joint()).then_some(())
                    };
                    let within = world.election_timeout();
                    joint_seen += u32::from(world.until(within, Promise::M1, "joint", appended).await.is_ok());
                }
                world.kill(leader, Survivors::Everything)?;
                world.settled().await?;
                world.writes(2).await?;
                world.start(leader).await?;
            }
            ensure(joint_seen > 0, Promise::M1, || "no joint configuration was seen".to_owned())
                .map_err(|broken| scenario(broken.what))
        },
    )
}

/// A member is away while another is admitted, gets its vote and comes to lead. It
/// has never heard of that leader, which alone can tell it: it follows all the same
/// (CP-L1, CP-R1). Without it a cluster of four was one loss away from standing still.
pub fn a_leader_that_a_laggard_never_heard_of_brings_it_up(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, cut: 1, ..Least::default() };
    Scenario::new("membership::a_leader_that_a_laggard_never_heard_of_brings_it_up").least(least).run(
        backend,
        async |world| {
            let leader = world.settled_leader().await?;
            let away = world.others(&[leader]).first().copied().unwrap_or_default();
            world.network().cut(&[away], &world.others(&[away]));
            let joiner = world.join("n3", MemberKind::Data).await?;
            world.network().cut(&[away], &[joiner]);
            let last = world.writes(2).await?;
            world.applied(&[joiner], last, world.election_timeout() * 6).await?;
            world.promote(joiner).await?;
            let leader = world.leader().await?;
            let name = world.member(joiner)?;
            let handed = world.up(leader)?.node.transfer_leadership(&name).await;
            ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
            let last = world.writes(5).await?;
            world.network().heal();
            world.applied(&[away], last, world.election_timeout() * 10).await
        },
    )
}

/// The same of a learner, which stands for nothing and so says nothing of its own
/// accord: nobody but the leader that it never heard of has a word for it (CP-L1, CP-R1).
pub fn a_leader_that_a_silent_learner_never_heard_of_brings_it_up(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, restarts: 2, ..Least::default() };
    Scenario::new("membership::a_leader_that_a_silent_learner_never_heard_of_brings_it_up").least(least).run(
        backend,
        async |world| {
            let learner = world.join("n3", MemberKind::Data).await?;
            let last = world.writes(2).await?;
            world.applied(&[learner], last, world.election_timeout() * 6).await?;
            world.kill(learner, Survivors::Nothing)?;
            let leader = world.settled_leader().await?;
            let exchanged = world.others(&[leader, learner]).first().copied().unwrap_or_default();
            world.replace(exchanged).await?;
            world.promote(exchanged).await?;
            let (leader, name) = (world.leader().await?, world.member(exchanged)?);
            let handed = world.up(leader)?.node.transfer_leadership(&name).await;
            let leads = world.leader().await? == exchanged;
            ensure(handed.is_ok() && leads, Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
            let last = world.writes(5).await?;
            world.start(learner).await?;
            world.applied(&[learner], last, world.election_timeout() * 10).await?;
            ensure(world.leader().await? == exchanged, Promise::L1, || format!("{name} leads no more"))
                .map_err(|broken| scenario(broken.what))
        },
    )
}

/// A voter is away until nobody of those whom it knows is left: one was removed and its
/// machine taken away, the other has died. It and a voter that came meanwhile are a
/// majority of the three that there are, and neither can win without the other (CP-L1).
pub fn a_voter_goes_on_with_members_that_it_never_heard_of(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, restarts: 1, ..Least::default() };
    Scenario::new("membership::a_voter_goes_on_with_members_that_it_never_heard_of").least(least).run(
        backend,
        async |world| {
            let leader = world.settled_leader().await?;
            let [away, removed, ..] = world.others(&[leader])[..] else { return Err(scenario("there are three")) };
            world.kill(away, Survivors::Nothing)?;
            let newcomer = world.join("n3", MemberKind::Data).await?;
            let last = world.writes(2).await?;
            world.applied(&[newcomer], last, world.election_timeout() * 6).await?;
            world.promote(newcomer).await?;
            world.remove(removed).await?;
            world.kill(removed, Survivors::Nothing)?;
            let last = world.writes(2).await?;
            world.applied(&[newcomer], last, world.election_timeout() * 6).await?;
            let leader = world.leader().await?;
            world.kill(leader, Survivors::Everything)?;
            world.start(away).await?;
            let last = world.writes(2).await?;
            world.applied(&[away, newcomer], last, world.election_timeout() * 10).await
        },
    )
}

/// A member whose disk was emptied comes back under its old incarnation: it is
/// refused by whoever holds its acknowledgements, and its vote is not counted;
/// admitted anew, it is a member again (CP-M3, CP-D4).
pub fn a_wiped_member_is_refused_and_replaced(backend: &'static dyn Backend) -> Verdict {
    let least = Least { refused_connections: 1, restarts: 1, ..Least::default() };
    Scenario::new("membership::a_wiped_member_is_refused_and_replaced").least(least).run(backend, async |world| {
        let genesis = world.genesis()?;
        world.writes(10).await?;
        let leader = world.settled_leader().await?;
        let others = world.others(&[leader]);
        let (wiped, witness) =
            (others.first().copied().unwrap_or_default(), others.last().copied().unwrap_or_default());
        world.kill(wiped, Survivors::Nothing)?;
        world.wipe(wiped)?;
        world.resurrect(wiped, &genesis)?;
        world.start(wiped).await?;
        world.pass(world.election_timeout() * 2).await;
        let name = world.member(wiped)?;
        let amnesia = |(member, why): &(_, PeerRefusal)| *member == name && matches!(why, PeerRefusal::Amnesia { .. });
        let refused = world.network().refusals().iter().any(amnesia);
        ensure(refused, Promise::M3, || format!("{name} lost its disk and nobody noticed"))?;
        world.network().cut(&[witness], &world.others(&[witness]));
        let alone = world.attempt(leader, world.election_timeout() * 2).await?;
        ensure(!matches!(alone, Attempt::Committed(_)), Promise::M3, || "a wiped member counted".to_owned())?;
        world.network().heal();
        world.settled_leader_among(&[leader, witness]).await?;
        world.replace(wiped).await?;
        world.promote(wiped).await?;
        let last = world.writes(2).await?;
        world.applied(&[wiped], last, world.election_timeout() * 6).await
    })
}

/// A member votes, loses its disk in the same moment, and comes back empty under its
/// old incarnation while the election goes on: peers who remember it have no use for
/// its vote, so it gives no second one in that term (CP-M3, CP-S3).
pub fn a_wiped_member_votes_for_nobody(backend: &'static dyn Backend) -> Verdict {
    let least = Least { refused_connections: 1, restarts: 3, aimed: 1, ..Least::default() };
    let scenario = Scenario::new("membership::a_wiped_member_votes_for_nobody").options(Options::nodes(5)).least(least);
    scenario.run(backend, async |world| {
        let genesis = world.genesis()?;
        let t = world.election_timeout();
        let first = world.settled_leader().await?;
        let voter = world.others(&[first]).first().copied().unwrap_or_default();
        // Its second life. Each of the others leads once, and hears of it.
        world.restart(voter, Survivors::Nothing).await?;
        for next in world.others(&[voter, first]).into_iter().chain([first]) {
            let leader = world.settled_leader().await?;
            let name = world.member(next)?;
            let handed = world.up(leader)?.node.transfer_leadership(&name).await;
            ensure(handed.is_ok(), Promise::L1, || format!("handing over to {name} ended {handed:?}"))?;
            let last = world.writes(1).await?;
            world.applied(&[0, 1, 2, 3, 4], last, t * 6).await?;
        }
        let leader = world.settled_leader().await?;
        let rest = world.others(&[leader, voter]);
        let (candidate, calm) = (rest.first().copied().unwrap_or_default(), rest.get(1..).unwrap_or_default());
        world.network().cut(&[candidate, voter], calm);
        world.monitor().aim(Aim { slot: Some(voter), sign: Sign::Grant, moment: Moment::After, skip: 0 });
        let name = world.member(candidate)?;
        let handed = world.up(leader)?;
        let handing = tokio::spawn(async move { handed.node.transfer_leadership(&name).await });
        let voted = |world: &crate::World| world.up(voter).is_ok_and(|up| !up.life.goes_on()).then_some(());
        world.until(t * 4, Promise::L1, "a vote to leave", voted).await?;
        handing.abort();
        for slot in [leader, candidate, voter] {
            world.kill(slot, Survivors::Nothing)?;
        }
        world.wipe(voter)?;
        world.resurrect(voter, &genesis)?;
        world.network().heal();
        world.start(voter).await?;
        world.pass(t * 8).await;
        world.kill(voter, Survivors::Nothing)?;
        world.start(leader).await?;
        world.settled_leader().await?;
        world.replace(voter).await?;
        world.promote(voter).await?;
        world.start(candidate).await
    })
}

/// Two data members and a witness survive the loss of any one (CP-M2, CP-L1).
pub fn a_witness_makes_up_for_any_one(backend: &'static dyn Backend) -> Verdict {
    let options = Options { witnesses: 1, ..Options::nodes(3) };
    let least = Least { restarts: 3, ..Least::default() };
    Scenario::new("membership::a_witness_makes_up_for_any_one").options(options).least(least).run(
        backend,
        async |world| {
            for slot in [0, 1, 2] {
                world.settled_leader().await?;
                world.kill(slot, Survivors::Nothing)?;
                let next = world.leader_among(&world.others(&[slot]), world.election_timeout() * 8).await?;
                ensure(next != 2 || slot != 2, Promise::M2, || "a dead witness leads".to_owned())?;
                let last = world.writes(3).await?;
                world.start(slot).await?;
                world.applied(&[slot], last, world.election_timeout() * 6).await?;
            }
            Ok(())
        },
    )
}

/// The leader is lost after it committed with the witness alone: the lagging data
/// member cannot win, so the witness stands, and brings it up to date (CP-M2,
/// CP-S2). That it then hands over is a matter of issue 4.
pub fn a_witness_brings_a_lagging_member_up(backend: &'static dyn Backend) -> Verdict {
    let options = Options { witnesses: 1, ..Options::nodes(3) };
    let least = Least { elections: 2, cut: 1, ..Least::default() };
    Scenario::new("membership::a_witness_brings_a_lagging_member_up").options(options).least(least).run(
        backend,
        async |world| {
            world.settled_leader().await?;
            let leader = world.leader_among(&[0, 1], world.election_timeout() * 20).await?;
            let lagging = 1 - leader;
            world.network().cut(&[lagging], &[leader, 2]);
            let mut last = world.write(leader).await?;
            for _ in 0..5 {
                last = world.write(leader).await?;
            }
            world.kill(leader, Survivors::Nothing)?;
            world.network().heal();
            let within = world.election_timeout() * 8;
            let next = world.leader_among(&[lagging, 2], within).await;
            let next = next.map_err(|broken| crate::Broken { promise: Promise::M2, ..broken })?;
            world.applied(&[lagging], last, within).await?;
            world.write(next).await.map(drop)
        },
    )
}
