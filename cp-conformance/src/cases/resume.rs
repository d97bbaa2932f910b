//! Snapshots of many chunks: a transfer that was interrupted goes on, and the log is
//! compacted meanwhile.

use crate::backend::Backend;
use crate::checks::Broken;
use crate::disk::Survivors;
use crate::options::Options;
use crate::promise::Promise;
use crate::report::Least;
use crate::scenario::{Scenario, Verdict};
use crate::world::{World, ensure, scenario};
use cp_seam::LogPosition;
use std::time::Duration;

/// Snapshots of a few dozen chunks.
fn small_chunks() -> Options {
    Options { chunk_bytes: 24, ..Options::default() }
}

/// Writes by many clients, so that the state is of many small parts.
async fn writes(world: &mut World, count: u64) -> Result<LogPosition, Broken> {
    let mut last = LogPosition::GENESIS;
    for _ in 0..count {
        world.another_client();
        last = world.writes(1).await?;
        // Each is applied alone, so that snapshots are built at the same index everywhere.
        world.pass(Duration::from_millis(15)).await;
    }
    Ok(last)
}

/// How long the present snapshot of the node in `slot` is.
fn snapshot_bytes(world: &World, slot: usize) -> Result<u64, Broken> {
    let body = world.up(slot)?.store.open_snapshot().map_err(|failure| scenario(failure.to_string()))?;
    (0..body.chunk_count()).try_fold(0, |sum, ordinal| {
        let chunk = body.chunk(ordinal).map_err(|failure| scenario(failure.to_string()))?;
        Ok(sum + chunk.len() as u64)
    })
}

/// Starts the member in `away` and waits until about half of a snapshot of `whole` bytes is sent.
async fn half_way(world: &mut World, away: usize, whole: u64) -> Result<u64, Broken> {
    let me = world.incarnation(away)?;
    let before = world.monitor().chunk_bytes(me);
    // Slow enough for a look at it.
    world.network().slow_one_way(&world.others(&[away]), &[away], Duration::from_millis(10));
    world.start(away).await?;
    let half = |world: &World| {
        let sent = world.monitor().chunk_bytes(me) - before;
        (sent >= whole / 2).then_some(sent)
    };
    let sent = world.until(world.election_timeout() * 20, Promise::R1, "half a snapshot", half).await?;
    ensure(sent < whole, Promise::R1, || format!("{sent} of {whole} bytes are sent already"))
        .map_err(|broken| scenario(broken.what))?;
    Ok(before)
}

/// The ways to a member are cut in the middle of a snapshot, until both ends have given
/// the transfer up. The next one begins where it stopped: what was sent is
/// not sent again (CP-R1).
pub fn a_transfer_goes_on_where_it_was_cut(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, restarts: 1, cut: 1, ..Least::default() };
    let name = "resume::a_transfer_goes_on_where_it_was_cut";
    Scenario::new(name).options(small_chunks()).least(least).run(backend, async |world| {
        let t = world.election_timeout();
        let leader = world.settled_leader().await?;
        let away = world.others(&[leader]).first().copied().unwrap_or_default();
        world.kill(away, Survivors::Nothing)?;
        // Enough for one snapshot and not for two.
        let last = writes(world, 100).await?;
        let whole = snapshot_bytes(world, leader)?;
        let before = half_way(world, away, whole).await?;
        world.network().cut(&[away], &world.others(&[away]));
        world.pass(t * 30).await;
        let (me, at_cut) = (world.incarnation(away)?, world.monitor().chunk_bytes(world.incarnation(away)?));
        world.network().heal();
        world.applied(&[away], last, t * 20).await?;
        let resumed = world.monitor().chunk_bytes(me) - at_cut;
        let first = at_cut - before;
        world.trace().node(away, format_args!("{first} and {resumed} bytes of {whole} were sent"));
        // A chunk on its way at the cut is sent again, a few times while it is asked for in vain.
        ensure(resumed < whole * 2 / 3, Promise::R1, || {
            format!("{first} bytes of {whole} were sent before the cut, and {resumed} after it")
        })
    })
}

/// A leader dies in the middle of sending a snapshot. The next leader has the same one,
/// and sends the rest of it (CP-R1).
pub fn another_leader_goes_on_with_the_same_snapshot(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, restarts: 1, elections: 2, ..Least::default() };
    let name = "resume::another_leader_goes_on_with_the_same_snapshot";
    Scenario::new(name).options(small_chunks()).least(least).run(backend, async |world| {
        let t = world.election_timeout();
        let leader = world.settled_leader().await?;
        let [away, other] = world.others(&[leader])[..] else { return Err(scenario("three members are needed")) };
        world.kill(away, Survivors::Nothing)?;
        writes(world, 100).await?;
        let hash = |world: &World, slot| {
            let body = world.up(slot).ok()?.store.open_snapshot().ok()?;
            (body.meta().position.index.0 > 0).then(|| (body.meta().position, body.hash()))
        };
        let alike = hash(world, leader).is_some() && hash(world, leader) == hash(world, other);
        ensure(alike, Promise::R1, || format!("{:?} and {:?} are not alike", hash(world, leader), hash(world, other)))
            .map_err(|broken| scenario(broken.what))?;
        let whole = snapshot_bytes(world, leader)?;
        half_way(world, away, whole).await?;
        let at_cut = world.monitor().chunk_bytes(world.incarnation(away)?);
        world.kill(leader, Survivors::Nothing)?;
        world.network().heal();
        let last = world.writes(1).await?;
        world.applied(&[away], last, t * 20).await?;
        let resumed = world.monitor().chunk_bytes(world.incarnation(away)?) - at_cut;
        ensure(resumed < whole * 2 / 3, Promise::R1, || format!("{resumed} bytes of {whole} were sent by the next"))?;
        world.start(leader).await
    })
}

/// While a snapshot is on its way the leader builds others and compacts its log past the
/// end of it, more than once: the member gets there all the same, and has the state of
/// the others (CP-R1, CP-R3).
pub fn the_log_is_compacted_while_a_snapshot_is_under_way(backend: &'static dyn Backend) -> Verdict {
    let least = Least { snapshot_installs: 1, restarts: 1, ..Least::default() };
    let name = "resume::the_log_is_compacted_while_a_snapshot_is_under_way";
    Scenario::new(name).options(small_chunks()).least(least).run(backend, async |world| {
        let t = world.election_timeout();
        let leader = world.settled_leader().await?;
        let away = world.others(&[leader]).first().copied().unwrap_or_default();
        world.kill(away, Survivors::Nothing)?;
        writes(world, 100).await?;
        let on_its_way = world.up(leader)?.store.snapshot().position;
        let whole = snapshot_bytes(world, leader)?;
        half_way(world, away, whole).await?;
        let last = world.writes(200).await?;
        let kept_from = world.up(leader)?.store.purged();
        ensure(kept_from.index > on_its_way.index, Promise::R1, || format!("the log still begins at {kept_from}"))
            .map_err(|broken| scenario(broken.what))?;
        world.network().heal();
        world.applied(&[away], last, t * 20).await?;
        world.same_state(&[0, 1, 2], t * 10).await
    })
}

/// A few large entries call for a snapshot as many small ones do: the log is cut by its
/// size as well as by its length (CP-R1).
pub fn a_log_that_is_large_is_compacted_however_few_its_entries(backend: &'static dyn Backend) -> Verdict {
    let calm = Options::default();
    let settings =
        cp_driver::Settings { snapshot_every: 1 << 40, snapshot_bytes: 4 << 10, retained: 4, ..calm.settings.clone() };
    let options = Options { settings, ..calm };
    let name = "resume::a_log_that_is_large_is_compacted_however_few_its_entries";
    Scenario::new(name).options(options).run(backend, async |world| {
        let last = world.writes(150).await?;
        world.applied(&[0, 1, 2], last, world.election_timeout() * 4).await?;
        for slot in 0..world.size() {
            let cut = |world: &World| {
                let store = &world.up(slot).ok()?.store;
                (store.snapshot().position.index.0 + 100 > last.index.0 && store.purged().index.0 > 0).then_some(())
            };
            world.until(world.election_timeout() * 10, Promise::R1, "its log to be cut", cut).await?;
        }
        Ok(())
    })
}
