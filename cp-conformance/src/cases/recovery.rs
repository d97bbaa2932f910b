//! A quorum is lost for good, and an operator goes on from one survivor.

use super::propose::fenced_range;
use crate::backend::Backend;
use crate::disk::Survivors;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{Attempt, ensure, scenario};
use cp_catalog::{CopyEdit, Join, OwnershipCommand, Range, Verdict as Decision};
use cp_seam::PeerRefusal;
use std::time::Duration;

/// All lose power and one disk is gone. The survivor that the plan names has everything
/// that was acknowledged; it goes on alone, and under every fence of before nothing is
/// accepted. The other survivor comes back as it was: refused, it counts for nothing.
/// It and a member with an empty disk join anew (CP-R2, CP-S5, CP-M3, CP-S2).
pub fn a_cluster_goes_on_from_one_survivor(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 2, restarts: 2, transitions: 2, refused_connections: 1, ..Least::default() };
    Scenario::new("recovery::a_cluster_goes_on_from_one_survivor").least(least).run(backend, async |world| {
        let range = fenced_range(world).await?;
        world.writes(10).await?;
        let leader = world.settled_leader().await?;
        let fence = world.up(leader)?.state.read(|catalog| catalog.range(&range).map(Range::fence));
        let fence = fence.ok_or_else(|| scenario("the range is not there"))?;
        for slot in 0..world.size() {
            world.kill(slot, Survivors::Nothing)?;
        }
        let left = world.others(&[leader]);
        world.wipe(leader)?;
        let survivor = world.planned(&left)?;
        let old = left.iter().copied().find(|slot| *slot != survivor).unwrap_or_default();
        let recovery = world.recover(survivor)?;
        ensure(recovery.lost_voters.len() == 2, Promise::R2, || format!("lost are {:?}", recovery.lost_voters))?;
        world.holds_everything(survivor)?;

        world.start(survivor).await?;
        world.leader_among(&[survivor], world.election_timeout() * 20).await?;
        let member = world.member(survivor)?;
        let edit = OwnershipCommand::AddReplica(CopyEdit { range: range.clone(), fence, member });
        let stale = world.decide(edit).await?;
        ensure(matches!(stale, Decision::Refused(_)), Promise::S5, || format!("an old fence ended {stale}"))?;
        let state = world.up(survivor)?.state;
        let raised = state.read(|catalog| catalog.range(&range).map(|range| range.epoch));
        ensure(raised.is_some_and(|epoch| epoch > fence.epoch && epoch.generation() == 1), Promise::R2, || {
            format!("after {} the epoch is {raised:?}", fence.epoch)
        })?;

        // As it was, with the generation of before.
        world.start(old).await?;
        let news = world.writes(2).await?;
        world.pass(world.election_timeout() * 4).await;
        // Each finds the other where its peer was; either may be who dials.
        for (from, to) in [(old, survivor), (survivor, old)] {
            let agreed = world.network().dial(world.incarnation(from)?, world.incarnation(to)?);
            ensure(!agreed, Promise::R2, || format!("n{to} lets n{from} in"))?;
        }
        let named = world.network().refusals();
        let refused = named.iter().filter(|(_, why)| matches!(why, PeerRefusal::Generation { .. })).count();
        ensure(refused >= 2, Promise::R2, || format!("the generation was not what they were refused for: {named:?}"))?;
        let alone = world.attempt(old, world.election_timeout() * 2).await?;
        ensure(!matches!(alone, Attempt::Committed(_)), Promise::R2, || "an old member had its way".to_owned())?;
        let told = world.status(old)?;
        ensure(told.applied < news.index && told.term < news.term, Promise::R2, || {
            format!("an old member was told up to {} of term {}", told.applied, told.term)
        })?;
        let fenced = state.read(|catalog| catalog.members().filter(|m| m.join == Join::Fenced).count());
        ensure(fenced == 2, Promise::R2, || format!("{fenced} members are fenced"))?;

        for slot in [old, leader] {
            world.rejoin(slot).await?;
            let last = world.writes(2).await?;
            world.applied(&[slot], last, world.election_timeout() * 6).await?;
            world.promote(slot).await?;
        }
        // The two of the three that the survivor is not among are a majority now.
        world.kill(survivor, Survivors::Nothing)?;
        world.leader_among(&[old, leader], world.election_timeout() * 20).await?;
        let last = world.writes(3).await?;
        let audit = world.up(old)?.state.read(|catalog| catalog.recoveries().to_vec());
        ensure(audit == [recovery], Promise::R2, || format!("the audit says {audit:?}"))?;
        world.start(survivor).await?;
        world.applied(&[survivor], last, world.election_timeout() * 6).await
    })
}

/// A recovery loses power at its first disk operation, at its second, and at every other:
/// the old node is left as it was, or the new one, whole; and the recovery can be made
/// again (CP-R2, CP-D4).
pub fn a_recovery_is_cut_at_every_write(backend: &'static dyn Backend) -> Verdict {
    const EVERY_KIND: [Survivors; 4] =
        [Survivors::Nothing, Survivors::Everything, Survivors::Subset, Survivors::Torn { unit_bytes: 512 }];
    let (options, least) = (Options::nodes(3), Least { restarts: 1, elections: 2, ..Least::default() });
    Scenario::new("recovery::a_recovery_is_cut_at_every_write").options(options).least(least).run(
        backend,
        async |world| {
            let last = world.writes(40).await?;
            world.applied(&[0, 1, 2], last, world.election_timeout() * 4).await?;
            for slot in 0..3 {
                world.kill(slot, Survivors::Nothing)?;
            }
            world.wipe(1)?;
            world.wipe(2)?;
            for survivors in EVERY_KIND {
                let (mut olds, mut news) = (0_u32, 0_u32);
                for steps in 0..400 {
                    let cut = world.recovery_cut_after(0, steps, survivors)?;
                    *(if cut.left.number == 0 { &mut olds } else { &mut news }) += 1;
                    if cut.finished {
                        break;
                    }
                }
                ensure(olds > 10 && news > 0, Promise::R2, || format!("{olds} cuts left the old, {news} the new"))?;
            }
            world.recover(0)?;
            world.start(0).await?;
            world.holds_everything(0)?;
            world.writes(3).await?;
            Ok(())
        },
    )
}

/// A disaster out of a storm, and another out of the next: one disk in three is gone, in
/// the midst of writes. Nothing that was acknowledged is lost, no epoch that was served is
/// issued again, and the state has both recoveries (CP-R2, CP-S2, CP-S5, CP-M3).
pub fn disasters_come_out_of_storms(backend: &'static dyn Backend) -> Verdict {
    let options = Options { storm: Duration::from_secs(6), ..Options::storm(3) };
    let least = Least { elections: 4, restarts: 6, acknowledged: 20, ..Least::default() };
    Scenario::new("recovery::disasters_come_out_of_storms").options(options).least(least).run(backend, async |world| {
        let mut audit = Vec::new();
        for _ in 0..2 {
            Box::pin(world.storm()).await?;
            Box::pin(world.heal_and_settle()).await?;
            let load = world.steady();
            world.pass(world.election_timeout()).await;
            audit.push(Box::pin(world.disaster()).await?);
            drop(load);
        }
        let leader = world.leader().await?;
        let found = world.up(leader)?.state.read(|catalog| catalog.recoveries().to_vec());
        ensure(found == audit, Promise::R2, || format!("the audit says {found:?}"))
    })
}
