//! Disks that stall, fail or are full.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::{Disk, Survivors};
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_seam::{ProposeError, ProposeRefusal};
use std::time::Duration;

/// A leader's disk stalls: within T it refuses, at once and with a reason; within
/// 3T another leads; when the disk is back, so is the member (CP-L2, CP-P1).
pub fn a_stalled_leader_is_replaced(backend: &'static dyn Backend) -> Verdict {
    let least = Least { elections: 4, stalls: 3, ..Least::default() };
    Scenario::new("disk::a_stalled_leader_is_replaced").least(least).run(backend, async |world| {
        for _ in 0..3 {
            let leader = world.settled_leader().await?;
            let t = world.election_timeout();
            world.disk(leader)?.stall(true);
            let stalled = tokio::time::Instant::now();
            // Something must be waiting for the disk: at the latest the probe of an idle leader is.
            world.pass(t + Duration::from_millis(20)).await;
            let up = world.up(leader)?;
            ensure(!up.node.is_leader(), Promise::L2, || format!("n{leader} still accepts proposals after T"))?;
            let asked = tokio::time::Instant::now();
            let refused = world.propose(leader).await?;
            ensure(matches!(refused, Err(ProposeError::Refused(_))), Promise::L2, || {
                format!("it answers {refused:?}")
            })?;
            ensure(asked.elapsed() < Duration::from_millis(50), Promise::L2, || {
                "it took its time to refuse".to_owned()
            })?;
            let left = (t * 3).saturating_sub(stalled.elapsed());
            let next = world
                .leader_among(&world.others(&[leader]), left)
                .await
                .map_err(|b| Broken { promise: Promise::L2, ..b })?;
            world.write(next).await?;
            world.disk(leader)?.stall(false);
            let last = world.writes(1).await?;
            world.applied(&[leader], last, t * 6).await?;
        }
        Ok(())
    })
}

/// The node in `slot`, whose disk is about to fail, stops under load and says why.
async fn stops(world: &mut World, slot: usize) -> Result<(), Broken> {
    let deadline = tokio::time::Instant::now() + world.election_timeout() * 8;
    while world.status(slot)?.stopped.is_none() {
        let what = || format!("the disk of n{slot} failed, and the node does not stop");
        ensure(tokio::time::Instant::now() < deadline, Promise::D4, what).map_err(|b| b.by("failed fsync"))?;
        let leader = world.leader().await?;
        world.attempt(leader, Duration::from_millis(50)).await?;
    }
    let refused = world.propose(slot).await?;
    let stopped = matches!(&refused, Err(ProposeError::Refused(ProposeRefusal::Stopped { .. })));
    ensure(stopped, Promise::D4, || format!("a stopped node answers {refused:?}"))
}

/// A write or a sync fails, once: the node stops and says why, nothing is retried
/// as if it had not happened, another leads, and after a restart the member is
/// whole (CP-D4, CP-S2, CP-L1).
pub fn a_failed_write_stops_the_node(backend: &'static dyn Backend) -> Verdict {
    let least = Least { failed_operations: 6, restarts: 6, ..Least::default() };
    Scenario::new("disk::a_failed_write_stops_the_node").least(least).run(backend, async |world| {
        for (of_leader, sync, drop_dirty) in [
            (true, true, false),
            (true, true, true),
            (true, false, false),
            (false, true, false),
            (false, true, true),
            (false, false, false),
        ] {
            let leader = world.settled_leader().await?;
            let slot = if of_leader { leader } else { world.others(&[leader]).first().copied().unwrap_or_default() };
            world.disk(slot)?.with_faults(|faults| {
                (faults.fail_sync, faults.fail_write, faults.drop_dirty) = (sync, !sync, drop_dirty);
            });
            stops(world, slot).await?;
            let next = world.leader_among(&world.others(&[slot]), world.election_timeout() * 4).await?;
            world.write(next).await?;
            world.kill(slot, Survivors::Nothing)?;
            world.start(slot).await?;
        }
        Ok(())
    })
}

/// Bits flip on the disk of a member that is down. Either it notices and does not
/// start, and is then replaced as a new incarnation, or the flip was where nothing
/// is, and it is whole; it never votes on less than it had (CP-D4, CP-S2, CP-S3).
/// What it wrote last is spared here; that no one flip there is believed,
/// [`a_flipped_bit_is_never_believed`] shows.
pub fn damage_is_noticed_and_never_voted_over(backend: &'static dyn Backend) -> Verdict {
    let least = Least { restarts: 8, acknowledged: 32, ..Least::default() };
    Scenario::new("disk::damage_is_noticed_and_never_voted_over").least(least).run(backend, async |world| {
        let (mut noticed, mut harmless) = (0, 0);
        for round in 0..8 {
            world.writes(4).await?;
            let leader = world.settled_leader().await?;
            let slot = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(slot, Survivors::Nothing)?;
            let disk = world.disk(slot)?;
            let before = disk.duplicate();
            // A few the store repairs from its second copies; a spray it must refuse.
            let flipped = disk
                .flip_bits_before_the_last_write(if round % 2 == 0 { 3 } else { 60 })
                .map_err(|error| scenario(error.to_string()))?;
            world.trace().node(slot, format_args!("has bits flipped in {flipped:?}"));
            match world.try_start(slot).await {
                Err(why) => {
                    noticed += 1;
                    world.trace().node(slot, format_args!("notices: {why}"));
                    disk.overwrite_with(&before);
                    world.start(slot).await?;
                }
                Ok(()) => harmless += 1,
            }
            world.writes(1).await?;
        }
        ensure(noticed >= 1, Promise::D4, || format!("{noticed} of {} damaged disks were noticed", noticed + harmless))
    })
}

/// A disk without room stops its node; with room again it starts and catches up (CP-D4, CP-L1).
pub fn a_full_disk_stops_the_node(backend: &'static dyn Backend) -> Verdict {
    let least = Least { failed_operations: 1, restarts: 1, ..Least::default() };
    Scenario::new("disk::a_full_disk_stops_the_node").least(least).run(backend, async |world| {
        let leader = world.settled_leader().await?;
        world.disk(leader)?.with_faults(|faults| faults.full = true);
        // What is preallocated may take a while to be used up.
        for _ in 0..40 {
            if world.status(leader)?.stopped.is_some() {
                break;
            }
            world.writes(10).await?;
        }
        stops(world, leader).await?;
        world.kill(leader, Survivors::Nothing)?;
        world.writes(2).await?;
        world.disk(leader)?.with_faults(|faults| faults.full = false);
        world.start(leader).await
    })
}

/// One bit flips on the disk of a member that is down, anywhere, again and again:
/// what is read afterwards is what was there, or nothing is read at all (CP-D4, CP-S3).
pub fn a_flipped_bit_is_never_believed(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("disk::a_flipped_bit_is_never_believed").run(backend, async |world| {
        world.writes(60).await?;
        let (mut noticed, mut read) = (0, 0);
        for slot in 0..world.size() {
            let leader = world.settled_leader().await?;
            world.kill(leader, Survivors::Nothing)?;
            world.writes(2).await?;
            world.kill(slot, Survivors::Nothing)?;
            let whole = world.disk(slot)?;
            let before = inspection(&whole).map_err(|why| scenario(format!("n{slot} does not open: {why}")))?;
            let damaged = whole.duplicate();
            for _ in 0..150 {
                damaged.overwrite_with(&whole);
                let flipped = damaged.flip_a_bit().unwrap_or_default();
                match inspection(&damaged) {
                    Err(_) => noticed += 1,
                    Ok(now) if now == before => read += 1,
                    Ok(now) => {
                        let what = format!("with a bit flipped in {flipped}, n{slot} reads {now} instead of {before}");
                        return Err(Broken::new("bit rot", Promise::D4, what));
                    }
                }
            }
            world.start(slot).await?;
            if world.up(leader).is_err() {
                world.start(leader).await?;
            }
        }
        ensure(noticed > 0 && read > 0, Promise::D4, || format!("{noticed} flips were noticed, {read} did no harm"))
    })
}

/// What a disk holds, as text: everything that a node may rely on.
fn inspection(disk: &Disk) -> Result<String, String> {
    let found = disk.inspect().map_err(|error| error.to_string())?;
    let (log, boot) = (blake3::hash(format!("{:?}", found.log).as_bytes()), found.boot);
    let (vote, last, committed) = (found.vote, found.log.last().map(|record| record.position), found.committed);
    Ok(format!("boot {boot}, {vote:?}, last {last:?}, committed {committed}, {:?}, {}", found.snapshot, log.to_hex()))
}

/// A file is gone from the disk of a member that is down: the member does not start
/// as if it were new, and votes for nobody (CP-D4, CP-M3).
pub fn a_lost_file_is_never_replaced(backend: &'static dyn Backend) -> Verdict {
    Scenario::new("disk::a_lost_file_is_never_replaced").run(backend, async |world| {
        world.writes(80).await?;
        for name in world.disk(0)?.files() {
            let leader = world.settled_leader().await?;
            let slot = world.others(&[leader]).first().copied().unwrap_or_default();
            world.kill(slot, Survivors::Nothing)?;
            let disk = world.disk(slot)?;
            let whole = disk.duplicate();
            if !disk.lose(&name) {
                world.start(slot).await?;
                continue;
            }
            if world.try_start(slot).await.is_ok() {
                let what = format!("n{slot} lost {name}, and started as if nothing were missing");
                return Err(Broken::new("amnesia", Promise::D4, what));
            }
            world.writes(1).await?;
            disk.overwrite_with(&whole);
            world.start(slot).await?;
        }
        Ok(())
    })
}
