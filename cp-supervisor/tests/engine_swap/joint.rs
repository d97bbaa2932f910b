//! The power goes amid a change of who votes. One engine obeys a configuration once it is
//! appended, the other once it is applied, and each finishes what the other began.

use crate::{EVERY_KIND, EitherEngine, run, swap};
use cp_catalog::MembershipCommand;
use cp_conformance::disk::Survivors;
use cp_conformance::world::ensure;
use cp_conformance::{Broken, Least, Options, Promise, Scenario, World};
use cp_seam::{LogPosition, MemberKind};
use std::time::Duration;

/// The power goes at any point of a promotion and of a removal (CP-M1).
#[test]
fn engines_swap_amid_membership_changes() {
    static ENGINE: EitherEngine = EitherEngine::raftrs();
    let least = Least { elections: 8, restarts: 24, acknowledged: 20, ..Least::default() };
    let scenario = Scenario::new("engines_swap_amid_membership_changes").options(Options::nodes(3)).least(least);
    run(scenario, &ENGINE, async |world| {
        let mut members = vec![0, 1, 2];
        for (round, survivors) in EVERY_KIND.into_iter().enumerate() {
            let moment = Duration::from_micros(round as u64 * 4001);
            let joiner = world.join(&format!("joiner-{round}"), MemberKind::Data).await?;
            let last = world.writes(3).await?;
            world.applied(&[joiner], last, world.election_timeout() * 6).await?;
            world.settled().await?;
            let member = world.life_of(joiner)?;
            world.decide(MembershipCommand::SetVoting { member }).await?;
            members.push(joiner);
            world.pass(moment).await;
            swap(world, &ENGINE, &members, &members, survivors).await?;
            world.settled().await?;

            let gone = members.remove(round % members.len());
            world.remove_unsettled(gone).await?;
            world.pass(moment).await;
            let everyone: Vec<_> = members.iter().copied().chain([gone]).collect();
            // Half of the time the removed member is there to take part in its own removal.
            let back = if round % 2 == 0 { &everyone } else { &members };
            swap(world, &ENGINE, &everyone, back, survivors).await?;
            world.settled().await?;
            world.writes(3).await?;
            if round % 2 == 0 {
                world.kill(gone, survivors)?;
            }
            world.retire(gone)?;
        }
        Ok(())
    });
}

/// How far an exchange of two voters has come, by the log of the leader.
#[derive(Debug, Clone, Copy)]
enum Step {
    Decided,
    JointAppended,
    JointHeldByAMajority,
    JointCommitted,
    LeaveAppended,
    LeaveCommitted,
}

impl Step {
    const ALL: [Self; 6] = [
        Self::Decided,
        Self::JointAppended,
        Self::JointHeldByAMajority,
        Self::JointCommitted,
        Self::LeaveAppended,
        Self::LeaveCommitted,
    ];

    /// Whether the change has come so far on `leader`, where the newest configuration was at `before`.
    fn is_reached(self, world: &World, leader: usize, before: LogPosition) -> bool {
        let (Ok((position, newest)), Ok(up)) = (world.configuration(leader), world.up(leader)) else { return false };
        let begun = position > before;
        let (left, committed) = (begun && !newest.is_joint(), up.store.committed() >= position.index);
        let holds = |slot: &usize| world.up(*slot).is_ok_and(|up| up.store.durable().borrow().last >= position);
        match self {
            Self::Decided => true,
            Self::JointAppended => begun,
            Self::JointHeldByAMajority => {
                left || begun && world.running().iter().filter(|slot| holds(slot)).count() > 3
            }
            Self::JointCommitted => left || begun && committed,
            Self::LeaveAppended => left,
            Self::LeaveCommitted => left && committed,
        }
    }
}

/// Two learners and two voters to be exchanged for them in one step: `(leader, old, new)`.
/// Nobody is given a vote while it is out of touch, so that all that is asked for
/// meanwhile is one change. The network is cut afterwards.
async fn with_an_exchange(world: &mut World, [one, two]: [usize; 2]) -> Result<(usize, Vec<usize>), Broken> {
    let t = world.election_timeout();
    let leader = world.settled_leader().await?;
    let old = world.others(&[leader, one, two]);
    world.network().cut(&[one, two], &world.others(&[one, two]));
    world.pass(t * 2).await;
    for slot in [one, two] {
        let member = world.life_of(slot)?;
        world.decide(MembershipCommand::SetVoting { member }).await?;
    }
    for slot in &old {
        world.demote_unsettled(*slot).await?;
    }
    Ok((leader, old))
}

/// All lose power between every two steps of an exchange of voters through a joint
/// configuration, under each engine, and the other finishes it (CP-M1, CP-S2).
#[test]
fn engines_swap_between_every_two_steps_of_a_joint_change() {
    static ENGINE: EitherEngine = EitherEngine::openraft();
    let least = Least { elections: 12, restarts: 60, acknowledged: 24, ..Least::default() };
    let scenario = Scenario::new("engines_swap_between_every_two_steps_of_a_joint_change").least(least);
    run(scenario, &ENGINE, async |world| {
        let t = world.election_timeout();
        let mut new = [world.join("n3", MemberKind::Data).await?, world.join("n4", MemberKind::Data).await?];
        let all = [0, 1, 2, new[0], new[1]];
        // Twice, so that each step is met by each engine: the number of swaps in between is odd.
        for (round, step) in Step::ALL.into_iter().chain(Step::ALL).enumerate() {
            let last = world.writes(2).await?;
            world.applied(&all, last, t * 20).await?;
            let (leader, old) = with_an_exchange(world, new).await?;
            let before = world.configuration(leader)?.0;
            world.network().heal();
            let reached = |world: &World| step.is_reached(world, leader, before).then_some(());
            world.until(t * 8, Promise::M1, "a step of the change", reached).await?;
            let survivors = EVERY_KIND.into_iter().cycle().nth(round).unwrap_or(Survivors::Nothing);
            swap(world, &ENGINE, &all, &all, survivors).await?;
            if round == Step::ALL.len() - 1 {
                swap(world, &ENGINE, &all, &all, survivors).await?;
            }
            world.settled().await?;
            let next = world.settled_leader().await?;
            let (_, newest) = world.configuration(next)?;
            let votes = |slot: &usize| world.incarnation(*slot).is_ok_and(|who| newest.is_voter(who));
            ensure(new.iter().all(votes) && !old.iter().any(votes) && !newest.is_joint(), Promise::M1, || {
                format!("swapped after {step:?}, it ended with {newest:?}")
            })?;
            new = [old[0], old[1]];
        }
        Ok(())
    });
}

/// The schedule of the design: the voters {A B C} are exchanged for {A D E}. The joint
/// record reaches A, B and D; that of leaving it, and an entry after it, are committed by A
/// and D alone, which openraft does since it obeys a configuration once it is appended. All
/// are killed, and the other engine, which would begin with the configuration at the
/// committed index, must not let B and C win (CP-M1, CP-S2).
#[test]
fn a_majority_of_the_configuration_that_was_left_elects_nobody() {
    static ENGINE: EitherEngine = EitherEngine::openraft();
    let least = Least { elections: 2, restarts: 5, cut: 1, ..Least::default() };
    let scenario = Scenario::new("a_majority_of_the_configuration_that_was_left_elects_nobody").least(least);
    run(scenario, &ENGINE, async |world| {
        let t = world.election_timeout();
        let [d, e] = [world.join("n3", MemberKind::Data).await?, world.join("n4", MemberKind::Data).await?];
        let last = world.writes(2).await?;
        world.applied(&[d, e], last, t * 6).await?;
        world.settled().await?;
        let (a, old) = with_an_exchange(world, [d, e]).await?;
        let [b, c] = [old[0], old[1]];
        let before = world.configuration(a)?.0;
        world.network().heal();
        world.network().slow_one_way(&[a], &[b], t / 12);
        world.network().cut(&[c], &world.others(&[c]));
        let begun = |world: &World| (world.configuration(a).ok()?.0 > before).then_some(());
        world.until(t * 8, Promise::M1, "the change to begin", begun).await?;
        world.network().cut(&[e], &world.others(&[e]));
        let held = |world: &World| (world.up(b).ok()?.store.durable().borrow().last > before).then_some(());
        let joint = |world: &World| (world.configuration(b).ok()?.1.is_joint()).then_some(());
        world.until(t, Promise::M1, "the joint record on B", joint).await?;
        world.until(t, Promise::M1, "the joint record on B's disk", held).await?;
        // What A sends on, B does not hear; what it said, A does.
        world.network().cut_one_way(&[a], &[b]);
        world.network().cut(&[b], &[d]);
        let left = |world: &World| Step::LeaveCommitted.is_reached(world, a, before).then_some(());
        world.until(t, Promise::M1, "the joint configuration to be left", left).await?;
        let last = world.write(a).await?;
        ensure(world.configuration(b)?.1.is_joint() && world.configuration(c)?.0 <= before, Promise::M1, || {
            "B knows more than the joint record, or C knows it".to_owned()
        })?;

        swap(world, &ENGINE, &[a, b, c, d, e], &[b, c], Survivors::Nothing).await?;
        for _ in 0..16 {
            world.pass(t / 2).await;
            for slot in [b, c] {
                ensure(!world.up(slot)?.node.is_leader(), Promise::M1, || format!("n{slot} leads without A, D and E"))?;
            }
        }
        world.start(a).await?;
        world.start(d).await?;
        let next = world.leader_among(&[a, d], t * 8).await?;
        world.applied(&[next], last, t * 4).await?;
        world.start(e).await?;
        swap(world, &ENGINE, &[a, b, c, d, e], &[a, b, c, d, e], Survivors::Everything).await?;
        world.settled().await?;
        world.writes(2).await.map(drop)
    });
}
