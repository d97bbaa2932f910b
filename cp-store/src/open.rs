//! The opening of a directory, and the reading of an image.

use crate::absorb::Absorbing;
use crate::backend::{Directory, File};
use crate::base::{self, Base};
use crate::codec::Bad;
use crate::error::OpenError;
use crate::fault::Fault;
use crate::file_set::{Home, Scoped, remove_sets};
use crate::identity::{self, Expected, Identity};
use crate::recover::{Recovered, open_file, open_segments, read_identity, recover, retained};
use crate::scratch::Scratch;
use crate::shared::{Inner, Shared};
use crate::store::Inspection;
use crate::wal::Wal;
use crate::wire;
use crate::writer::{Core, durable_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Condvar, Mutex, RwLock};
use tokio::sync::{Notify, watch};

/// Recovers, verifies, and makes the boot durable: nothing that the last life
/// left half-written can come back after it.
pub(crate) fn open(dir: Arc<dyn Directory>, expected: &Expected) -> Result<Core, OpenError> {
    present(dir.as_ref())?;
    let guard = locked(dir.as_ref())?;
    let home = present(dir.as_ref())?;
    check(&home, expected)?;
    let segments = open_segments(dir.as_ref(), &home)?;
    let recovered = examine(dir.as_ref(), &home, &segments)?.0;
    // All is well; only now is anything changed, redb's own repair included.
    let base_file = open_file(dir.as_ref(), base::NAME, &home)?;
    let fault = |fault: Fault| fault.opening(base::NAME);
    let base = Base::open(base_file).map_err(fault)?;
    if base.state().map_err(fault)? != recovered.base {
        base.fuse().blow();
        return Err(fault(Bad::damaged("it reads differently each time").into()));
    }
    let Recovered { base: found, end, state, left, unabsorbed } = recovered;
    let wal = Wal::new(segments, &home, found.segment_bytes, end.lap());
    let record = wire::State { boot: found.boot + 1, seq: end.last_seq(), ..found };
    let summary = state.summary();
    #[cfg(planted_bugs)]
    let state = crate::planted::vote_from_log(state);
    let base = Arc::new(base);
    let inner = Inner {
        state,
        overlay: BTreeMap::new(),
        absorptions: 0,
        batches: VecDeque::new(),
        bulk: VecDeque::new(),
        in_flight: None,
        absorbing_since: None,
        numbered: 0,
        stages: 0,
        staged: BTreeSet::new(),
        fuse: Some(base.fuse().clone()),
        stopped: None,
        closing: false,
    };
    remove_sets(dir.as_ref(), |set| set != home.set).map_err(|e| Fault::from(e).opening("the directory"))?;
    let dir: Arc<dyn Directory> = if home.set == 0 { dir } else { Arc::new(Scoped::new(dir, home.set)) };
    let shared = Shared {
        dir,
        set: home.set,
        me: home.identity.incarnation,
        identity: Mutex::new(home.identity),
        boot: record.boot,
        inner: Mutex::new(inner),
        base: RwLock::new(Some(Arc::clone(&base))),
        durable: watch::Sender::new(durable_of(&summary, None)),
        acknowledged: Mutex::default(),
        thread_wake: Condvar::new(),
        task_wake: Notify::new(),
        absorb_wake: Notify::new(),
    };
    let mut core = Core::new(Arc::new(shared), guard, base, wal, record, summary);
    core.unabsorbed = unabsorbed;
    core.absorbing = left.map_or(Absorbing::Nothing, |lap| Absorbing::Waiting(Box::new(lap)));
    core.absorb().map_err(|fault| fault.opening("the boot record"))?;
    // A name whose sync failed in the last life may show and not be on the disk.
    core.sweep().and_then(|()| Ok(core.dir.sync()?)).map_err(|fault| fault.opening("the directory"))?;
    Ok(core)
}

/// Takes the directory.
pub(crate) fn locked(dir: &dyn Directory) -> Result<Box<dyn Debug + Send + Sync>, OpenError> {
    dir.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Busy { directory: format!("{dir:?}") },
        _ => OpenError::Io { file: "the lock".to_owned(), source },
    })
}

fn present(dir: &dyn Directory) -> Result<Home, OpenError> {
    match read_identity(dir) {
        Ok(Some(home)) => Ok(home),
        Ok(None) => Err(OpenError::Absent { directory: format!("{dir:?}") }),
        Err(fault) => Err(fault.opening(identity::NAME)),
    }
}

fn check(identity: &Identity, expected: &Expected) -> Result<(), OpenError> {
    match expected.cluster {
        Some(cluster) if cluster != identity.cluster => {
            return Err(OpenError::WrongCluster { found: identity.cluster, expected: cluster });
        }
        _ => {}
    }
    match &expected.member {
        Some(member) if *member != identity.member => {
            Err(OpenError::WrongMember { found: identity.member.clone(), expected: member.clone() })
        }
        _ => Ok(()),
    }
}

pub(crate) fn inspect(dir: &dyn Directory) -> Result<(Inspection, Recovered, Home), OpenError> {
    let home = present(dir)?;
    let segments = open_segments(dir, &home)?;
    let (recovered, base) = examine(dir, &home, &segments)?;
    let log = retained(&recovered, &base).map_err(|fault| fault.opening(base::NAME));
    base.discard();
    let log = log?;
    let inspection = Inspection {
        identity: home.identity.clone(),
        boot: recovered.base.boot,
        vote: recovered.state.vote,
        committed: recovered.state.committed,
        snapshot: recovered.state.snapshot.meta.clone(),
        log,
    };
    Ok((inspection, recovered, home))
}

/// Recovers without changing anything: the database is opened over a scratch copy.
fn examine(dir: &dyn Directory, home: &Home, segments: &[Arc<dyn File>; 2]) -> Result<(Recovered, Base), OpenError> {
    let fault = |fault: Fault| fault.opening(base::NAME);
    let file = open_file(dir, base::NAME, home)?;
    let scratch = Scratch::over(file).map_err(|e| fault(e.into()))?;
    let base = Base::open(Arc::new(scratch)).map_err(fault)?;
    let recovered = recover(dir, home, &base, segments)?;
    Ok((recovered, base))
}
