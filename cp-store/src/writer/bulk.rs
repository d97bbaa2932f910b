//! Work on snapshot files, between groups.

use super::Core;
use crate::backend::Directory;
use crate::error::Failure;
use crate::fault::Fault;
use crate::shared::{Bulk, Done, lock};
use crate::snapshot::Staged;
use crate::snapshot_file::{self, Draft};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Core {
    pub(super) fn perform_bulk(&mut self, bulk: Bulk) {
        let stopped = lock(&self.shared.inner).stopped.clone();
        if let Some(failure) = stopped {
            bulk.fail(&failure);
            return self.end();
        }
        let shared = Arc::clone(&self.shared);
        let failed = |fault: Fault| shared.fail_with(fault, "writing a snapshot or closing the files failed");
        match bulk {
            Bulk::Chunk { stage, chunk, done } => {
                let dir = Arc::clone(&self.dir);
                let result = draft(&mut self.drafts, dir.as_ref(), self.shared.boot, stage)
                    .and_then(|draft| Ok(draft.push(&chunk)?))
                    .map_err(failed);
                self.answer(result, done);
            }
            Bulk::Seal { stage, meta, done } => {
                let result = draft(&mut self.drafts, self.dir.as_ref(), self.shared.boot, stage).map(|_| ());
                let sealed = result.and_then(|()| match self.drafts.remove(&stage) {
                    Some(draft) => Ok(draft.seal(self.dir.as_ref(), meta)?),
                    None => Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()),
                });
                match sealed.map_err(failed) {
                    Ok(pointer) => done(Ok(Staged::new(&self.shared, Arc::new(pointer)))),
                    Err(failure) => {
                        done(Err(failure));
                        self.end();
                    }
                }
            }
            Bulk::Abandon { stage } => {
                let result = self.drafts.remove(&stage).map_or(Ok(()), |draft| draft.abandon(self.dir.as_ref()));
                let result = result.map_err(|e| failed(e.into()));
                self.answer(result, Box::new(drop));
            }
            Bulk::Close { done } => {
                let result = self.close().map_err(failed);
                self.end();
                done(result);
            }
        }
    }

    fn answer(&mut self, result: Result<(), Failure>, done: Done) {
        let failed = result.is_err();
        done(result);
        if failed {
            self.end();
        }
    }

    /// Removes snapshot files that nobody can ask for any more.
    pub(crate) fn sweep(&self) -> Result<(), Fault> {
        let keep = |name: &str| {
            let inner = lock(&self.shared.inner);
            name == self.written.snapshot.file
                || name == inner.state.snapshot.file
                || inner.staged.contains(name)
                || self.drafts.values().any(|draft| draft.is_at(name))
        };
        for name in self.dir.list()? {
            if snapshot_file::is_name(snapshot_file::settled(&name)) && !keep(&name) {
                self.dir.remove(&name)?;
            }
        }
        Ok(())
    }
}

fn draft<'a>(
    drafts: &'a mut BTreeMap<u64, Draft>,
    dir: &dyn Directory,
    boot: u64,
    stage: u64,
) -> Result<&'a mut Draft, Fault> {
    use std::collections::btree_map::Entry;
    match drafts.entry(stage) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => Ok(entry.insert(Draft::create(dir, &snapshot_file::name(boot, stage))?)),
    }
}
