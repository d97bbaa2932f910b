//! Several nodes of this engine together.

#[cfg(test)]
mod leadership;
#[cfg(test)]
mod state;
#[cfg(test)]
mod world;

use cp_driver::Settings;
use cp_seam::{MemberId, Outcome, ProposeError, ProposeRefusal, ReadError};
use state::{text, want};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use world::{T, World, run};

fn small_log() -> Settings {
    Settings { snapshot_every: 20, retained: 4, ..Settings::default() }
}

#[test]
fn a_single_node_serves_and_remembers() {
    run(1, async {
        let mut world = World::found("1;", Settings::default()).await;
        assert_eq!(world.leader().await, 1);
        let at = world.commit(1, text("a")).await.expect("committed");
        world.crash(1);
        world.start(1).await;
        world.leader().await;
        assert_eq!(world.node(1).outcome(at, T).await, Outcome::Committed);
        assert_eq!(world.nodes[&1].state.all(), ["a"]);
    });
}

#[test]
fn three_nodes_commit_and_survive_their_leader() {
    run(2, async {
        let mut world = World::found("1,2,3;", Settings::default()).await;
        let first = world.leader().await;
        let at = world.commit(first, text("a")).await.expect("committed");
        world.crash(first);
        let lost = Instant::now();
        let second = world.leader().await;
        assert!(lost.elapsed() <= T * 3 / 2, "failover took {:?}", lost.elapsed());
        assert_ne!(first, second);
        let next = world.commit(second, text("b")).await.expect("committed");
        world.start(first).await;
        world.agree().await;
        for id in 1..=3 {
            assert_eq!(world.nodes[&id].state.all(), ["a", "b"]);
            assert_eq!(world.node(id).outcome(at, T).await, Outcome::Committed);
            assert_eq!(world.node(id).outcome(next, T).await, Outcome::Committed);
        }
        assert!(world.leaders().values().all(|leaders| leaders.len() == 1));
    });
}

/// CP-S2 across the loss of power everywhere at once.
#[test]
fn what_was_committed_survives_power_loss() {
    run(3, async {
        let mut world = World::found("1,2,3;", Settings::default()).await;
        for round in 0..4 {
            let leader = world.leader().await;
            for n in 0..5 {
                world.commit(leader, text(&format!("{round}.{n}"))).await.expect("committed");
            }
            for id in 1..=3 {
                world.crash(id);
            }
            for id in 1..=3 {
                world.start(id).await;
            }
        }
        world.leader().await;
        world.agree().await;
        assert_eq!(world.nodes[&1].state.all().len(), 20);
    });
}

/// CP-P1, CP-P2, CP-P3: a leader that is cut off refuses within T, and what it
/// put in its log is superseded, not lost track of.
#[test]
fn a_cut_off_leader_refuses_and_its_tail_is_superseded() {
    run(4, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let old = world.leader().await;
        world.commit(old, text("a")).await.expect("committed");
        world.isolate(old, true);
        let stray = world.node(old).propose(text("stray")).await.expect("a position");
        sleep(T).await;
        assert!(!world.node(old).is_leader());
        let refused = world.node(old).propose(text("refused")).await;
        assert!(matches!(refused, Err(ProposeError::Refused(ProposeRefusal::NoQuorum))), "{refused:?}");
        assert_eq!(world.node(old).read_barrier().await, Err(ReadError::NoQuorum));
        let others: Vec<_> = (1..=3).filter(|id| *id != old).collect();
        let new = world.leader_among(&others).await;
        world.commit(new, text("b")).await.expect("committed");
        assert_eq!(world.node(old).outcome(stray, T).await, Outcome::Unknown);
        world.isolate(old, false);
        world.agree().await;
        for id in 1..=3 {
            assert_eq!(world.node(id).outcome(stray, T).await, Outcome::Superseded);
            assert_eq!(world.nodes[&id].state.all(), ["a", "b"]);
        }
    });
}

/// CP-P4: a read sees what was acknowledged; a follower names the leader.
#[test]
fn reads_reflect_what_was_acknowledged() {
    run(5, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        let at = world.commit(leader, text("a")).await.expect("committed");
        let read = world.node(leader).read_barrier().await.expect("served");
        assert!(read.applied >= at.index && read.term == at.term, "{read:?} of {at}");
        let follower = if leader == 1 { 2 } else { 1 };
        let name = MemberId::new(&format!("m{leader}")).expect("legal");
        assert_eq!(world.node(follower).read_barrier().await, Err(ReadError::NotLeader { leader: Some(name.clone()) }));
        let refused = world.node(follower).propose(text("b")).await;
        assert!(
            matches!(&refused, Err(ProposeError::Refused(ProposeRefusal::NotLeader { leader })) if *leader == Some(name)),
            "{refused:?}"
        );
    });
}

/// CP-R1: compaction loses nothing, and a member far behind catches up from a snapshot.
#[test]
fn a_lagging_member_catches_up_from_a_snapshot() {
    run(6, async {
        let mut world = World::found("1,2,3;", small_log()).await;
        let leader = world.leader().await;
        let early = world.commit(leader, text("early")).await.expect("committed");
        let behind = if leader == 1 { 2 } else { 1 };
        world.isolate(behind, true);
        for n in 0..100 {
            world.commit(leader, text(&format!("{n}"))).await.expect("committed");
        }
        world.until("the log is compacted", 4 * T, || (world.store(leader).purged().index.0 > 60).then_some(())).await;
        assert!(world.store(behind).last().index.0 < 10);
        world.isolate(behind, false);
        world.agree().await;
        assert!(world.store(behind).snapshot().position.index.0 > 60, "it came by snapshot");
        assert_eq!(world.node(behind).outcome(early, T).await, Outcome::Committed);
        world.crash(behind);
        world.start(behind).await;
        world.agree().await;
        assert_eq!(world.nodes[&behind].state.all().len(), 101);
    });
}

/// CP-M1: a learner joins, is promoted through joint consensus, and a leader that
/// is removed hands over first.
#[test]
fn members_come_and_go() {
    run(7, async {
        let mut world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        world.commit(leader, text("a")).await.expect("committed");
        world.commit(leader, want("1,2,3;4")).await.expect("committed");
        world.settled("1,2,3;4").await;
        let reply = world.join_reply(leader);
        world.make(4, reply);
        world.start(4).await;
        world.agree().await;
        world.commit(world.leader().await, want("1,2,3,4;")).await.expect("committed");
        world.settled("1,2,3,4;").await;
        let leaving = world.leader().await;
        let stay: Vec<_> = (1..=4).filter(|id| *id != leaving).collect();
        let wanted = format!("{},{},{};", stay[0], stay[1], stay[2]);
        world.commit(leaving, want(&wanted)).await.expect("committed");
        world.settled(&wanted).await;
        let new = world.leader_among(&stay).await;
        world.commit(new, text("b")).await.expect("committed");
        world.crash(leaving);
        world.agree().await;
        assert_eq!(world.nodes[&4].state.all(), ["a", "b"]);
    });
}

/// CP-M1: whoever leads next finishes a change that was interrupted.
#[test]
fn an_interrupted_change_is_finished() {
    run(8, async {
        let mut world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        let gone: u64 = (1..=3).find(|id| *id != leader).expect("a follower");
        let stay: Vec<_> = (1..=3).filter(|id| *id != gone).collect();
        let wanted = format!("{},{};", stay[0], stay[1]);
        world.commit(leader, want(&wanted)).await.expect("committed");
        world
            .until("the change has begun", 2 * T, || {
                world.store(leader).configurations().pop().is_some_and(|(_, newest)| newest.is_joint()).then_some(())
            })
            .await;
        world.crash(leader);
        sleep(3 * T).await;
        world.start(leader).await;
        world.settled(&wanted).await;
        world.commit(world.leader_among(&stay).await, text("a")).await.expect("committed");
    });
}

/// Same seed, same trace; another seed, another.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed: u8| {
        run(seed, async {
            let settings = Settings { seed: u64::from(seed), ..small_log() };
            let mut world = World::found("1,2,3;", settings).await;
            for round in 0..3 {
                let leader = world.leader().await;
                for n in 0..30 {
                    world.commit(leader, text(&format!("{round}.{n}"))).await.expect("committed");
                }
                world.crash(leader);
                world.leader().await;
                world.start(leader).await;
            }
            world.agree().await;
            sleep(Duration::from_secs(2)).await;
            world.hub.fingerprint()
        })
    };
    assert_eq!(trace(20), trace(20));
    assert_ne!(trace(20), trace(21));
}

/// A member that was cut off asks before it stands, so its return disturbs nobody.
#[test]
fn a_returning_member_does_not_disturb() {
    run(17, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        world.commit(leader, text("a")).await.expect("committed");
        let term = world.node(leader).term();
        let away = if leader == 1 { 2 } else { 1 };
        world.isolate(away, true);
        sleep(10 * T).await;
        world.isolate(away, false);
        sleep(2 * T).await;
        assert_eq!(world.leader().await, leader);
        assert_eq!(world.node(leader).term(), term);
        assert_eq!(world.node(away).term(), term);
    });
}

/// A leader that one follower reaches and the other does not: somebody serves, and goes on serving.
#[test]
fn a_partial_partition_leaves_a_leader() {
    run(18, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        let (bridge, far) = if leader == 1 { (2, 3) } else { (1, 5 - leader) };
        world.link(leader, far, true);
        for n in 0..10 {
            let leader = world.leader().await;
            assert!(world.commit(leader, text(&n.to_string())).await.is_ok());
            sleep(T).await;
        }
        assert!(world.node(bridge).watch().current().stopped.is_none());
        world.link(leader, far, false);
        world.agree().await;
    });
}

/// CP-S1, CP-S2, CP-S3: answers and requests of the past, of earlier lives too,
/// are worth nothing now.
#[test]
fn frames_of_the_past_do_no_harm() {
    run(19, async {
        let mut world = World::found("1,2,3;", small_log()).await;
        for round in 0..3 {
            let leader = world.leader().await;
            for n in 0..15 {
                world.commit(leader, text(&format!("{round}.{n}"))).await.expect("committed");
            }
            world.crash(leader);
            world.leader().await;
            world.start(leader).await;
            world.hub.replay().await;
            assert!(world.leaders().values().all(|leaders| leaders.len() == 1));
        }
        world.leader().await;
        world.agree().await;
        assert_eq!(world.nodes[&1].state.all().len(), 45);
        assert!(world.running().iter().all(|id| world.node(*id).watch().current().stopped.is_none()));
    });
}

/// An answer can only be taken for the answer to its own question: no node asks
/// two questions under one id, in any of its lives.
#[test]
fn questions_never_share_an_id() {
    run(23, async {
        let mut world = World::found("1,2,3;", Settings::default()).await;
        for _ in 0..4 {
            let leader = world.leader().await;
            for n in 0..10 {
                world.commit(leader, text(&n.to_string())).await.expect("committed");
            }
            for id in 1..=3 {
                world.crash(id);
            }
            for id in 1..=3 {
                world.start(id).await;
            }
        }
        let asked = world.hub.questions();
        let distinct: std::collections::BTreeSet<_> = asked.iter().collect();
        assert!(asked.len() > 100);
        assert_eq!(distinct.len(), asked.len());
    });
}

/// No input stops a node: not bytes at random, and not well-formed nonsense.
#[test]
fn garbage_is_dropped() {
    run(22, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        world.commit(leader, text("a")).await.expect("committed");
        let mut random = 88_172_645_463_325_252_u64;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            let length = random % 24;
            while (bytes.len() as u64) < length {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Small numbers: tags and lengths that mean something.
                bytes.push(if random.is_multiple_of(3) { (random >> 8) as u8 } else { (random >> 8) as u8 % 48 });
            }
            random = random.wrapping_add(1);
            for to in 1..=3 {
                world.hub.forge(1 + random % 3, to, bytes.clone());
            }
            tokio::task::yield_now().await;
        }
        let leader = world.leader().await;
        world.commit(leader, text("b")).await.expect("committed");
        world.agree().await;
        assert!(world.running().iter().all(|id| world.node(*id).watch().current().stopped.is_none()));
    });
}

/// CP-S2: a peer that claims another record where one is committed here is not
/// believed, and does not stop the node.
#[test]
fn a_peer_cannot_contradict_what_is_committed() {
    run(25, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        world.commit(leader, text("a")).await.expect("committed");
        world.agree().await;
        let term = world.node(leader).term().0;
        let (from, to) = if leader == 1 { (2, 3) } else { (1, leader) };
        for (after, committed) in [(Some((term + 3, 2)), None), (None, Some((term + 3, 2)))] {
            world.hub.forge(from, to, world::append(term + 5, after, committed));
        }
        // Nor can it speak as the node itself, or of a term that it does not lead.
        world.hub.forge(to, to, world::append(term + 5, None, None));
        world.hub.forge(from, to, world::append(term, Some((term + 1, 9)), None));
        sleep(T).await;
        assert_eq!(world.node(to).watch().current().stopped, None);
        assert_eq!(world.node(to).term().0, term, "nothing of it was taken up");
        world.commit(world.leader().await, text("b")).await.expect("committed");
        world.agree().await;
    });
}

/// One client that proposes without a pause waits for two writes to a disk and a
/// round trip each time, and never for what was sent before.
#[test]
fn a_commit_takes_two_writes_and_a_round_trip() {
    run(24, async {
        let world = World::found("1,2,3;", Settings::default()).await;
        let leader = world.leader().await;
        let mut slow = 0;
        for n in 0..200 {
            let begun = Instant::now();
            world.commit(leader, text(&n.to_string())).await.expect("committed");
            // Links take 2 ms each way, writes 1 ms.
            slow += usize::from(begun.elapsed() > Duration::from_millis(7));
        }
        assert!(slow <= 4, "{slow} of 200 were held up");
    });
}
