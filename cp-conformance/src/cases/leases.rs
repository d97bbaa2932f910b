//! Leases end to end: owners of ranges that are cut off, replaced, paused and restarted,
//! with leaders that fail over, on clocks as wrong as the policy allows.
//!
//! What is shown in all of them is that no two members are ever admitted writes to one key:
//! the checker *gate exclusivity* sees every write that a gate lets pass, by true time.

use super::storm::seeds;
use crate::backend::Backend;
use crate::disk::Survivors;
use crate::options::{Leases, Options};
use crate::promise::Promise;
use crate::report::{Least, Violation};
use crate::rng::Rng;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use crate::{Broken, Report};
use cp_catalog::{CollectionName, Epoch, RangeKey};
use std::time::Duration;

/// How wrong the clocks of the staged cases are: the owner's is slow, all others are fast.
const DRIFT_PPM: u32 = 200_000;
const LENGTH: Duration = Duration::from_secs(2);
const RENEWAL: Duration = Duration::from_millis(50);

fn staged() -> Options {
    let leases = Leases { length: LENGTH, lengths_differ: false, drift_ppm: DRIFT_PPM, renewal: RENEWAL };
    Options { leases: Some(leases), ..Options::nodes(5) }
}

fn worst_clocks(world: &World, owner: usize) -> Result<(), Broken> {
    let most = i64::from(DRIFT_PPM);
    world.running().into_iter().try_for_each(|slot| world.drifts(slot, if slot == owner { -most } else { most }))
}

/// Two members that do not lead.
fn two_of(followers: &[usize]) -> Result<(usize, usize), Broken> {
    match followers {
        [one, two, ..] => Ok((*one, *two)),
        _ => Err(scenario("there are too few members")),
    }
}

/// A range whose owner writes.
struct Opened {
    leader: usize,
    owner: usize,
    /// Who will take it over.
    next: usize,
    range: RangeKey,
    /// The owner's epoch.
    before: Epoch,
    /// The longest that a wait for leases takes.
    longest: Duration,
}

/// Range `number` is given to a member that does not lead, and written to; if asked for, by the
/// worst clocks there are.
async fn opened(world: &mut World, number: u8, worst: bool) -> Result<Opened, Broken> {
    let leader = world.settled_leader().await?;
    let (owner, next) = two_of(&world.others(&[leader]))?;
    let range = world.owned(number, owner).await?;
    if worst {
        worst_clocks(world, owner)?;
    }
    let (longest, before) = (world.plane()?.longest_wait(), world.epoch_at(leader, &range)?);
    world.writes_to(owner, &range, before, longest + world.election_timeout() * 4).await?;
    Ok(Opened { leader, owner, next, range, before, longest })
}

/// An owner is cut off from everybody, and another is promoted at once. It goes on writing as
/// long as its lease lasts, on the slowest clock there may be; its successor's gate opens
/// right after, on the fastest, and not earlier because the leader was lost in between
/// (CP-S5, CP-S4, CP-L1).
pub fn a_cut_off_owner_stops_before_its_successor_begins(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 3, takeovers: 4, writes_admitted: 2_000, ..Least::default() };
    let case = Scenario::new("leases::a_cut_off_owner_stops_before_its_successor_begins");
    case.options(staged()).least(least).run(backend, async |world| {
        for (number, leader_is_lost) in (1..).zip([false, true, false, true]) {
            let Opened { leader, owner, next, range, before, longest } = opened(world, number, true).await?;
            let t = world.election_timeout();
            // The last answers come late: a lease that is counted from them is too long.
            world.network().slow_one_way(&[leader], &[owner], t * 2 / 5);
            world.pass(t * 2).await;
            let others = world.others(&[owner]);
            world.network().cut_one_way(&[owner], &others);
            world.pass(t / 2).await;
            world.network().cut(&[owner], &others);
            let after = world.gives(leader, &range, next, None).await?;
            let promoted = world.time();
            let mut elected = promoted;
            if leader_is_lost {
                world.kill(leader, Survivors::Nothing)?;
                let left = world.others(&[owner, leader]);
                world.leader_among(&left, t * 6).await?;
                elected = world.time();
            }
            let opened = world.writes_to(next, &range, after, longest + t * 4).await?;
            world.pass(t).await;
            let last = world.last_write(owner, &range, before)?;
            ensure(last > promoted + LENGTH / 2, Promise::S4, || {
                format!("n{owner} wrote until {last:?} only, its successor was promoted at {promoted:?}")
            })?;
            // By the fastest clock a length and a margin pass within a length of true time.
            let earliest = if leader_is_lost { elected + LENGTH } else { last };
            ensure(opened >= earliest.saturating_sub(t / 10), Promise::S5, || {
                format!("n{next} opens at {opened:?}, a leader was elected at {elected:?}")
            })?;
            world.heal().await?;
        }
        Ok(())
    })
}

/// A leader is replaced and does not hear of it, and an owner that hears of nobody else asks
/// it for renewals on and on, while another is promoted. What it grants is over before the
/// new leader lets the next owner begin: it counts from when its leadership was confirmed
/// (CP-S5, CP-S1, CP-P4).
pub fn a_leader_that_was_replaced_grants_nothing_that_lasts(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 5, takeovers: 4, unconfirmed: 4, ..Least::default() };
    let case = Scenario::new("leases::a_leader_that_was_replaced_grants_nothing_that_lasts");
    case.options(staged()).least(least).run(backend, async |world| {
        for number in 1..=4 {
            let Opened { leader, owner, next, range, before, longest } = opened(world, number, true).await?;
            let t = world.election_timeout();
            let rest = world.others(&[leader, owner]);
            world.network().cut(&[owner], &rest);
            world.network().cut_one_way(&rest, &[leader]);
            let (up, to) = (world.up(leader)?, world.member(next)?);
            let asked = tokio::spawn(async move { up.node.transfer_leadership(&to).await });
            let elected = world.leader_among(&rest, t * 4).await?;
            world.network().cut(&[leader], &rest);
            let after = world.gives(elected, &range, next, None).await?;
            let opened = world.writes_to(next, &range, after, longest + t * 4).await?;
            world.pass(t).await;
            let last = world.last_write(owner, &range, before)?;
            ensure(last < opened, Promise::S5, || format!("n{owner} writes at {last:?}, n{next} since {opened:?}"))?;
            asked.abort();
            world.heal().await?;
        }
        Ok(())
    })
}

/// An owner closes its gate and gives its word. Its process and the leader's are killed; the
/// gate stays closed, whatever the next leader grants. The handoff by that word is waited for
/// by nobody, right after the failover and when all leases are over (CP-S5, CP-L1).
pub fn a_handoff_waits_for_nobody_and_outlives_a_restart(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 3, restarts: 4, takeovers: 2, ..Least::default() };
    let case = Scenario::new("leases::a_handoff_waits_for_nobody_and_outlives_a_restart");
    case.options(staged()).least(least).run(backend, async |world| {
        for (number, leases_are_over) in [(1, false), (2, true)] {
            let Opened { leader, owner, next, range, before, longest } = opened(world, number, false).await?;
            let t = world.election_timeout();
            let gate = world.closes(owner, &range).await?;
            let closed = world.time();
            world.kill(owner, Survivors::Nothing)?;
            world.restart(leader, Survivors::Nothing).await?;
            let at = world.settled_leader().await?;
            world.start(owner).await?;
            worst_clocks(world, owner)?;
            world.pass(t).await;
            if leases_are_over {
                world.pass(longest + t).await;
            }
            // Cut off, it hears nothing of the handoff, and has to keep its word all the same.
            world.network().cut(&[owner], &world.others(&[owner]));
            let after = world.gives(at, &range, next, Some(gate)).await?;
            let given = world.time();
            let opened = world.writes_to(next, &range, after, longest).await?;
            ensure(opened < given + t, Promise::L1, || format!("given at {given:?}, written to at {opened:?}"))?;
            world.pass(longest).await;
            let last = world.last_write(owner, &range, before)?;
            ensure(last <= closed, Promise::S5, || format!("n{owner} writes at {last:?}, closed at {closed:?}"))?;
            world.heal().await?;
        }
        Ok(())
    })
}

/// Leases from shorter than an election to longer than most faults.
fn drawn(seed: u64) -> Options {
    let mut rng = Rng::new(seed, "leases");
    let length = Duration::from_millis(rng.pick(&[500, 1_000, 2_000]).copied().unwrap_or(1_000));
    let drift_ppm = rng.pick(&[1_000, 100_000, 200_000]).copied().unwrap_or(100_000);
    let leases = Leases { length, lengths_differ: rng.per_mille(500), drift_ppm, renewal: length / 8 };
    let nodes = rng.pick(&[3, 3, 4, 5]).copied().unwrap_or(3);
    let (swarm, churn) = (rng.per_mille(500), rng.per_mille(250));
    let (storm, every_transition) = (Duration::from_secs(15), true);
    Options { storm, leases: Some(leases), every_transition, swarm, churn, ..Options::storm(nodes) }
}

fn one(name: &'static str, backend: &'static dyn Backend, seed: u64) -> Verdict {
    let least = Least { elections: 1, acknowledged: 3, renewals: 20, ..Least::default() };
    let case = Scenario::new(name).seed(seed).options(drawn(seed)).least(least);
    case.run(backend, async |world| {
        let ranges = CollectionName::new("ranges").map_err(|error| scenario(error.to_string()))?;
        world.grant_operator().await?;
        world.writers(3, &ranges);
        Box::pin(world.storm()).await?;
        world.heal().await?;
        Box::pin(world.owners_write_again(&ranges)).await?;
        world.pass(world.plane()?.longest_wait()).await;
        Box::pin(world.owners_write_again(&ranges)).await
    })
}

/// Storms over ranges that are promoted, handed over with closed gates, moved, cut, merged and
/// forced, among nodes that crash, stand still for longer than a lease and lose their leader,
/// on clocks that drift. When the faults have ended every owner writes again (CP-S5, CP-S4,
/// CP-L1).
pub fn random_faults_never_open_two_gates(backend: &'static dyn Backend) -> Verdict {
    let name = "leases::random_faults_never_open_two_gates";
    let mut total: Option<Report> = None;
    let all = seeds(3);
    for seed in &all {
        let report = one(name, backend, *seed)?;
        println!("{report}");
        total = Some(match total {
            None => report,
            Some(sum) => sum.and(&report),
        });
    }
    let failed = |broken| Box::new(Violation::of(broken, name, backend, &Options::default()));
    let total = total.ok_or_else(|| failed(scenario("no seed was run")))?;
    let count = u64::try_from(all.len()).unwrap_or_default();
    if count == 1 {
        return Ok(total);
    }
    let least = Least {
        transitions: 10 * count,
        restarts: 2 * count,
        writes_admitted: 1_000 * count,
        writes_refused: 500 * count,
        takeovers: 3 * count,
        renewals: 100 * count,
        unconfirmed: 1,
        ..Least::default()
    };
    match total.reaches(&least) {
        Ok(()) => Ok(total),
        Err(broken) => Err(failed(broken)),
    }
}
