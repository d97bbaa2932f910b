//! The one gate before the state machine (CP-D3).
//!
//! Engines apply what they have submitted, not always what is on disk. Here the
//! state machine is fed from the store's log, up to the durable committed index
//! and never above it, whichever engine runs.

use crate::host::Host;
use crate::node::StartError;
use cp_seam::{ControlPlaneEntryKind, ControlPlaneLogIndex};
use cp_store::{Durable, RecordBody};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How much of the log is read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// Feeds the state machine until the node stops.
pub(crate) async fn run(host: Arc<Host>) {
    let mut durable = host.store().durable();
    #[cfg(planted_bugs)]
    let mut snapshot = durable.borrow().snapshot;
    loop {
        let now = durable.borrow_and_update().clone();
        #[cfg(planted_bugs)]
        if let Err(error) = restore_stale(&host, &mut snapshot, &now).await {
            return host.halt(&crate::chain(&error));
        }
        if let Some(failed) = &now.failed {
            return host.halt(&format!("the store has stopped: {failed}"));
        }
        if let Err(error) = catch_up(&host, &now).await {
            return host.halt(&crate::chain(&error));
        }
        // Before they are followed, or one that comes meanwhile would be missed.
        let known = host.store().newest_configuration_at();
        host.follow_configurations();
        host.refresh();
        host.snapshot_mark.passing(host.parts.state.applied().0, host.grown.load(Ordering::Relaxed));
        // A record that is durable and not committed is no business of the state machine's; who
        // is to be served depends on it, if it is a configuration.
        let concerns = |next: &Durable| {
            let moved = next.committed != now.committed || next.snapshot != now.snapshot || next.failed.is_some();
            moved || host.store().newest_configuration_at() != known
        };
        if durable.wait_for(concerns).await.is_err() {
            return host.halt("the store was closed");
        }
    }
}

/// Brings the state machine to the durable committed index.
pub(crate) async fn catch_up(host: &Host, durable: &Durable) -> Result<(), StartError> {
    let state = &host.parts.state;
    while state.applied() < durable.committed && host.halted().is_none() {
        let (applied, purged) = (state.applied(), host.store().purged().index);
        if applied < purged {
            if restore(host, durable.committed).await? {
                continue;
            }
            return Ok(()); // a snapshot is being installed; its turn comes once it is durable
        }
        let records = host.store().read(applied.next()..durable.committed.next(), READ_BYTES_MAX)?;
        if records.is_empty() && host.store().purged().index <= applied {
            let reason = format!("the log misses the committed record {}", applied.next());
            return Err(cp_seam::Halt { reason }.into());
        }
        #[cfg(planted_bugs)]
        let records = planted(records);
        let bytes: u64 = records.iter().map(|record| record.body.weight()).sum();
        let mut quorum_may_differ = false;
        let mut applied = Vec::with_capacity(records.len());
        for record in &records {
            match &record.body {
                RecordBody::Entry(entry) => {
                    state.apply(record.position, entry)?;
                    quorum_may_differ |= entry.kind() == ControlPlaneEntryKind::MembershipChange;
                }
                RecordBody::Blank => state.skip(record.position)?,
                RecordBody::Configuration(_) => {
                    state.skip(record.position)?;
                    quorum_may_differ = true;
                }
            }
            applied.push((record.position.index, state.digest()));
        }
        host.grown.fetch_add(bytes, Ordering::Relaxed);
        host.note_applied(&applied, quorum_may_differ);
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Replaces the state by the store's current snapshot, unless that is above `committed`. The store
/// shows a snapshot from the moment it is submitted; nothing of it counts before it is durable.
pub(crate) async fn restore(host: &Host, committed: ControlPlaneLogIndex) -> Result<bool, StartError> {
    let body = host.store().open_snapshot()?;
    let meta = body.meta().clone();
    if meta.position.index > committed {
        return Ok(false);
    }
    let mut writer = host.parts.state.restore()?;
    for ordinal in 0..body.chunk_count() {
        writer.push(body.chunk(ordinal)?).map_err(StartError::Snapshot)?;
        tokio::task::yield_now().await;
    }
    writer.finish(meta.position.index, meta.digest).map_err(StartError::Snapshot)?;
    host.grown.store(0, Ordering::Relaxed);
    host.note_applied(&[(meta.position.index, meta.digest)], true);
    Ok(true)
}

/// Takes each new snapshot for newer than the state, as an active bug has it.
#[cfg(planted_bugs)]
async fn restore_stale(host: &Host, known: &mut cp_seam::LogPosition, now: &Durable) -> Result<(), StartError> {
    use cp_seam::planted::{Bug, active};
    if active(Bug::StaleInstall) && now.failed.is_none() && *known != now.snapshot {
        *known = now.snapshot;
        restore(host, now.committed).await?;
        host.refresh();
    }
    Ok(())
}

/// The records as an active bug has them applied; one in a few is affected.
#[cfg(planted_bugs)]
fn planted(mut records: Vec<cp_store::LogRecord>) -> Vec<cp_store::LogRecord> {
    use cp_seam::planted::{Bug, active};
    let chosen = |record: &cp_store::LogRecord| {
        matches!(record.body, RecordBody::Entry(_)) && record.position.index.0.is_multiple_of(7)
    };
    let Some(at) = records.iter().position(chosen) else { return records };
    if active(Bug::ApplySkipped) && at + 1 < records.len() {
        records.remove(at);
    } else if active(Bug::ApplyTwice) {
        records.extend(records.get(at).cloned());
    } else if active(Bug::ApplyReordered) {
        records.rotate_left(at);
    }
    records
}
