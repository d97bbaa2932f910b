//! The making of a directory. The identity file comes last and makes it one.

use crate::backend::{Directory, File};
use crate::base::{self, Base};
use crate::convert::identity_to_bytes;
use crate::error::CreateError;
use crate::fault::Fault;
use crate::file_set::{Home, remove_sets};
use crate::identity::{self, Identity};
use crate::recover::read_identity;
use crate::snapshot_file::{self, Draft, temporary};
use crate::state::State;
use crate::store::Founding;
use crate::{wal, wire};
use cp_seam::LastVote;
use std::io;
use std::sync::Arc;

/// Sizes that are fixed when a directory is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The size of each of the two write-ahead segments; rounded up to whole
    /// blocks of 4 KiB, at least 40 KiB. A group of writes that does not fit goes
    /// to the database directly.
    pub segment_bytes: u32,
}

impl Default for Layout {
    /// Segments of 4 MiB: some 500 small commits between two absorptions.
    fn default() -> Self {
        Self { segment_bytes: 4 << 20 }
    }
}

impl Layout {
    fn rounded(self) -> u64 {
        u64::from(self.segment_bytes).next_multiple_of(wal::BLOCK_BYTES as u64).max(wal::SEGMENT_BYTES_MIN)
    }
}

pub(crate) fn create(
    dir: &dyn Directory,
    identity: &Identity,
    founding: Founding,
    vote: LastVote,
    layout: Layout,
) -> Result<(), CreateError> {
    let _guard = dir.lock().map_err(|e| Fault::from(e).creating("the lock"))?;
    match read_identity(dir) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let member = found.identity.member;
            return Err(CreateError::Exists { directory: format!("{dir:?}"), member });
        }
        Err(fault) => return Err(fault.creating(identity::NAME)),
    }
    remove_leftovers(dir).map_err(|e| Fault::from(e).creating("the directory"))?;
    furnish(dir, identity, founding, vote, layout.rounded())?;
    write_identity(dir, &Home { identity: identity.clone(), set: 0 })
        .map_err(|e| Fault::from(e).creating(identity::NAME))
}

/// Writes every file but the identity's, durably. `segment_bytes` is what a
/// [`Layout`] was rounded to, here or when the directory was made.
pub(crate) fn furnish(
    dir: &dyn Directory,
    identity: &Identity,
    founding: Founding,
    vote: LastVote,
    segment_bytes: u64,
) -> Result<(), CreateError> {
    let failed = |file: &str| {
        let file = file.to_owned();
        move |fault: Fault| fault.creating(&file)
    };
    let name = snapshot_file::name(0, 0);
    let snapshot = write_snapshot(dir, &name, founding).map_err(|e| failed(&name)(e.into()))?;
    let founded = State::founded(Arc::new(snapshot)).summary();
    let state = wire::State {
        boot: 0,
        lap: 0,
        seq: 0,
        segment_bytes,
        cluster: identity.cluster.0.to_vec(),
        incarnation: identity.incarnation.0,
        vote: vote.into(),
        committed: founded.committed.0,
        purged: founded.purged.into(),
        last: founded.last.into(),
        snapshot: founded.snapshot.as_ref().into(),
    };
    let temporary_base = temporary(base::NAME);
    let base_file = dir.create(&temporary_base).map_err(|e| failed(base::NAME)(e.into()))?;
    Base::create(base_file, &state).map_err(failed(base::NAME))?;
    dir.rename(&temporary_base, base::NAME).map_err(|e| failed(base::NAME)(e.into()))?;

    let segments = || -> io::Result<[Arc<dyn File>; 2]> {
        let [even, odd] = wal::NAMES;
        Ok([dir.create(even)?, dir.create(odd)?])
    };
    segments()
        .and_then(|files| wal::preallocate(files, identity, segment_bytes))
        .and_then(|()| dir.sync())
        .map_err(|e| failed("the write-ahead log")(e.into()))
}

fn write_snapshot(dir: &dyn Directory, name: &str, founding: Founding) -> io::Result<crate::state::Pointer> {
    let mut draft = Draft::create(dir, name)?;
    for chunk in &founding.chunks {
        draft.push(chunk)?;
    }
    draft.seal(dir, founding.meta)
}

/// What an interrupted creation left. There is no identity, so it is nobody's.
fn remove_leftovers(dir: &dyn Directory) -> io::Result<()> {
    let half_written = temporary(identity::NAME);
    if dir.list()?.contains(&half_written) {
        dir.remove(&half_written)?;
    }
    remove_sets(dir, |_| true)
}

/// Replaces the identity file, durably.
pub(crate) fn write_identity(dir: &dyn Directory, home: &Home) -> io::Result<()> {
    let name = temporary(identity::NAME);
    match dir.remove(&name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = dir.create(&name)?;
    file.write_at(0, &identity_to_bytes(home))?;
    file.sync_data()?;
    dir.rename(&name, identity::NAME)?;
    dir.sync()
}
