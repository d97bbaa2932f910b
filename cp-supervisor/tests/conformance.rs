//! A cluster that was stopped, or lost power anywhere, goes on under the other engine:
//! same disks, same promises, same checkers (CP-E1).

use async_trait::async_trait;
use bytes::Bytes;
use cp_catalog::MembershipCommand;
use cp_conformance::disk::Survivors;
use cp_conformance::{Backend, Broken, Least, Observed, Options, Scenario, World};
use cp_driver::{Parts, StartError};
use cp_seam::{ControlPlaneConsensus, Incarnation, MemberKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY_KIND: [Survivors; 4] =
    [Survivors::Nothing, Survivors::Everything, Survivors::Prefix, Survivors::Torn { unit_bytes: 512 }];

/// Whichever engine is in use now, for all nodes alike.
#[derive(Debug)]
struct EitherEngine {
    openraft: AtomicBool,
}

impl EitherEngine {
    const fn new() -> Self {
        Self { openraft: AtomicBool::new(false) }
    }

    fn swap(&self) {
        self.openraft.fetch_xor(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Backend for EitherEngine {
    fn name(&self) -> &'static str {
        "supervisor"
    }

    async fn start(&self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
        match self.openraft.load(Ordering::SeqCst) {
            true => cp_openraft::start(parts).await,
            false => cp_raftrs::start(parts).await,
        }
    }

    fn explain(&self, from: Incarnation, to: Incarnation, message: &Bytes) -> Vec<Observed> {
        match self.openraft.load(Ordering::SeqCst) {
            true => cp_openraft::explain(from, to, message),
            false => cp_raftrs::explain(from, to, message),
        }
    }
}

/// Power loss at all of `running`, and a start of `next` under the other engine.
async fn swap(
    world: &mut World,
    engine: &EitherEngine,
    running: &[usize],
    next: &[usize],
    survivors: Survivors,
) -> Result<(), Broken> {
    for slot in running {
        world.kill(*slot, survivors)?;
    }
    world.network().heal();
    engine.swap();
    for slot in next {
        world.start(*slot).await?;
    }
    Ok(())
}

/// A member lags behind a snapshot, a leader holds what it could not replicate, and
/// the power goes: the other engine makes the same history of it (CP-S2, CP-S3, CP-D3).
#[test]
fn engines_swap_on_power_loss() {
    static ENGINE: EitherEngine = EitherEngine::new();
    let least =
        Least { elections: 6, restarts: 18, acknowledged: 100, snapshot_installs: 1, cut: 1, ..Least::default() };
    let scenario = Scenario::new("engines_swap_on_power_loss").least(least);
    let verdict = scenario.run(&ENGINE, async |world| {
        let all = [0, 1, 2];
        for round in 0..6 {
            world.writes(4).await?;
            let leader = world.settled_leader().await?;
            let lagging = world.others(&[leader]).first().copied().unwrap_or_default();
            match round % 3 {
                0 => {
                    world.network().cut(&[lagging], &world.others(&[lagging]));
                    world.writes(80).await?;
                }
                1 => {
                    world.network().cut(&[leader], &world.others(&[leader]));
                    let mut taken = 0;
                    for _ in 0..3 {
                        taken += u32::from(world.propose(leader).await?.is_ok());
                    }
                    assert!(taken > 0, "a leader just cut off does not know it yet");
                    world.pass(world.election_timeout() * 3).await;
                    world.writes(3).await?;
                }
                _ => {}
            }
            let survivors = EVERY_KIND.into_iter().cycle().nth(round).unwrap_or(Survivors::Nothing);
            swap(world, &ENGINE, &all, &all, survivors).await?;
            let last = world.writes(1).await?;
            world.applied(&all, last, world.election_timeout() * 20).await?;
        }
        Ok(())
    });
    println!("{}", verdict.unwrap_or_else(|violation| panic!("{violation}")));
}

/// The power goes at any point of a promotion and of a removal; one engine obeys a
/// configuration once it is appended, the other once it is applied, and each
/// finishes what the other began (CP-M1).
#[test]
fn engines_swap_amid_membership_changes() {
    static ENGINE: EitherEngine = EitherEngine::new();
    let least = Least { elections: 8, restarts: 24, acknowledged: 20, ..Least::default() };
    let scenario = Scenario::new("engines_swap_amid_membership_changes").options(Options::nodes(3)).least(least);
    let verdict = scenario.run(&ENGINE, async |world| {
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
    println!("{}", verdict.unwrap_or_else(|violation| panic!("{violation}")));
}
