//! Disks that break their word: what was synced is not what is there.
//!
//! No node keeps promises on such a disk; it can notice, and its peers can. What a
//! single node cannot tell from a crash is that the very last thing it wrote is gone:
//! its peers hold it to what it acknowledged (the durable tail in the handshake), and
//! nobody can hold it to a vote that it alone remembers. So a vote whose write is lost
//! is beyond tolerance, as a directory set back to before the vote is.

use crate::Broken;
use crate::backend::Backend;
use crate::checks::damage;
use crate::disk::Survivors;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_seam::{LogPosition, PeerRefusal};
use cp_store::Inspection;

/// Every file of a directory goes missing, and is cut short, while its node is down.
/// The node notices and does not start, or what it held is whole (CP-D4, CP-S2,
/// CP-S3): no file is replaced by a fresh one, and nothing is lost in silence.
pub fn a_lost_or_cut_file_is_noticed(backend: &'static dyn Backend) -> Verdict {
    let least = Least { missing_files: 3, truncated_files: 6, ..Least::default() };
    Scenario::new("damage::a_lost_or_cut_file_is_noticed").least(least).run(backend, async |world| {
        world.writes(150).await?;
        let leader = world.settled_leader().await?;
        let slot = world.others(&[leader]).first().copied().unwrap_or_default();
        world.kill(slot, Survivors::Nothing)?;
        let (disk, mut noticed) = (world.disk(slot)?, 0_u32);
        let whole = disk.duplicate();
        let before = whole.inspect().map_err(|error| scenario(error.to_string()))?;
        for name in disk.files() {
            for round in 0..3 {
                if round == 0 {
                    ensure(disk.lose(&name), Promise::E1, || format!("{name} was not there"))?;
                } else {
                    let at = disk.truncate(&name).map_err(|error| scenario(error.to_string()))?;
                    world.trace().node(slot, format_args!("has {name} cut at {at}"));
                }
                let found = disk.inspect();
                noticed += u32::from(found.is_err());
                damage::told(&format!("n{slot} without {name}"), &before, found.as_ref().ok())?;
                if found.is_err() {
                    let started = world.try_start(slot).await;
                    ensure(started.is_err(), Promise::D4, || format!("n{slot} starts on a damaged {name}"))?;
                }
                disk.overwrite_with(&whole);
            }
        }
        world.start(slot).await?;
        ensure(noticed >= 6, Promise::D4, || format!("only {noticed} damaged directories were noticed"))
    })
}

/// What became of a node whose disk lost or misdirected a write.
async fn begins_again(world: &mut World, slot: usize, last: LogPosition, told: &Inspection) -> Result<bool, Broken> {
    let found = world.disk(slot)?.inspect();
    if let Err(why) = world.try_start(slot).await {
        world.trace().node(slot, format_args!("notices: {why}"));
        return Ok(true);
    }
    let name = world.member(slot)?;
    let amnesia = |(member, why): &(_, PeerRefusal)| *member == name && matches!(why, PeerRefusal::Amnesia { .. });
    let within = world.election_timeout() * 6;
    let outcome = world
        .until(within, Promise::D4, "a peer to refuse it, or it to have everything", |world| {
            let refused = world.network().refusals().iter().any(amnesia);
            let whole = world.status(slot).is_ok_and(|status| status.applied >= last.index);
            (refused || whole).then_some(refused)
        })
        .await?;
    // Only the end of what it wrote can be gone without its noticing.
    damage::only_the_end_is_gone(&format!("n{slot}"), told, found.as_ref().ok())?;
    Ok(outcome)
}

/// A write of a follower is lost, or goes elsewhere, though it was synced and
/// acknowledged; later the power goes. The node notices, or its peers refuse it, or
/// nothing was lost; then it is replaced, and no promise of the cluster is touched
/// (CP-D4, CP-M3, CP-S2).
pub fn a_lost_or_misdirected_write_is_noticed(backend: &'static dyn Backend) -> Verdict {
    let least = Least { lost_writes: 4, misdirected_writes: 4, restarts: 8, ..Least::default() };
    Scenario::new("damage::a_lost_or_misdirected_write_is_noticed").least(least).run(backend, async |world| {
        let mut noticed = 0_u32;
        for round in 0..8_u64 {
            let leader = world.settled_leader().await?;
            let slot = world.others(&[leader]).first().copied().unwrap_or_default();
            let last = world.writes(3).await?;
            world.applied(&[slot], last, world.election_timeout() * 4).await?;
            let disk = world.disk(slot)?;
            disk.with_faults(|faults| {
                (faults.lose_write, faults.misdirect_write) = (round % 2 == 0, round % 2 == 1);
            });
            // With more written after it, there is a hole; otherwise just an earlier end.
            let last = world.writes(if round < 4 { 4 } else { 1 }).await?;
            world.applied(&[slot], last, world.election_timeout() * 4).await?;
            let told = seen_alive(world, slot)?;
            world.kill(slot, Survivors::Everything)?;
            noticed += u32::from(begins_again(world, slot, last, &told).await?);
            world.replace(slot).await?;
            world.promote(slot).await?;
            world.writes(1).await?;
        }
        ensure(noticed >= 3, Promise::D4, || format!("{noticed} of 8 were noticed"))
    })
}

/// What the running node in `slot` sees on its disk, as if all were well.
fn seen_alive(world: &World, slot: usize) -> Result<Inspection, Broken> {
    let disk = world.disk(slot)?.seen_alive();
    disk.inspect().map_err(|error| scenario(format!("what n{slot} sees does not open: {error}")))
}
