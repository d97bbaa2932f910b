//! The redb file: what the write-ahead segments have been absorbed into.
//!
//! Two tables of integer keys and opaque values. Every commit is immediate and
//! two-phase; the file is checked whole at every opening.

use crate::backend::File;
use crate::codec::{Bad, Kind, seal, unseal};
use crate::fault::{Fault, redb};
use crate::state::Unabsorbed;
use crate::wire;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Its name.
pub(crate) const NAME: &str = "state.redb";

const STATE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("state");
const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");
const STATE_KEY: u64 = 1;
/// The log is read in order and the state once: little is read twice.
const CACHE_BYTES: usize = 8 << 20;

/// Once set, not a byte reaches the database file any more; redb would write when it is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fuse(Arc<AtomicBool>);

impl Fuse {
    pub(crate) fn blow(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::Error::other("the store has stopped")) } else { Ok(()) }
    }
}

/// A file as redb sees it. Blows its fuse at the first error.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
    fuse: Fuse,
}

impl Backend {
    fn guard<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.fuse.blow();
        }
        result
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fuse.check()?;
        self.guard(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fuse.check()?;
        self.guard(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fuse.check()?;
        self.guard(self.file.write_at(offset, data))
    }
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Base {
    db: Database,
    fuse: Fuse,
}

impl Base {
    /// Fills the new, empty `file`.
    pub(crate) fn create(file: Arc<dyn File>, state: &wire::State) -> Result<(), Fault> {
        let base = Self::build(Arc::clone(&file))?;
        base.absorb(state, &Unabsorbed::default())?;
        base.close()?;
        file.sync_data()?;
        Ok(())
    }

    /// Opens and checks an existing database; never makes one.
    pub(crate) fn open(file: Arc<dyn File>) -> Result<Self, Fault> {
        if file.is_empty()? {
            return Err(Bad::damaged("it is empty").into());
        }
        Self::build(file)
    }

    fn build(file: Arc<dyn File>) -> Result<Self, Fault> {
        let fuse = Fuse::default();
        let backend = Backend { file, fuse: fuse.clone() };
        let mut builder = Builder::new();
        builder.set_check_integrity_on_open(true).set_cache_size(CACHE_BYTES);
        #[cfg(planted_bugs)]
        crate::planted::open_settings(&mut builder);
        let open = || builder.create_with_backend(backend);
        // A damaged page may trip an assertion of redb's before its checksum is looked at.
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(db)) => Ok(Self { db, fuse }),
            Ok(Err(e)) => Err(redb(e)),
            Err(_) => Err(Bad::damaged("it cannot be read without contradiction").into()),
        }
    }

    /// Replaces the state and brings the log up to it, durably.
    pub(crate) fn absorb(&self, state: &wire::State, unabsorbed: &Unabsorbed) -> Result<(), Fault> {
        let mut write = self.db.begin_write().map_err(redb)?;
        write.set_durability(Durability::Immediate).map_err(redb)?;
        write.set_two_phase_commit(true);
        #[cfg(planted_bugs)]
        crate::planted::commit_settings(&mut write).map_err(redb)?;
        {
            let mut log = write.open_table(LOG).map_err(redb)?;
            if let Some(cut) = unabsorbed.cut {
                log.retain_in(cut.., |_, _| false).map_err(redb)?;
            }
            log.retain_in(..=state.purged.index, |_, _| false).map_err(redb)?;
            for (index, sealed) in unabsorbed.records.range(state.purged.index.saturating_add(1)..) {
                log.insert(index, sealed.as_ref()).map_err(redb)?;
            }
            let mut table = write.open_table(STATE).map_err(redb)?;
            table.insert(STATE_KEY, seal(Kind::State, state).as_slice()).map_err(redb)?;
        }
        write.commit().map_err(redb)
    }

    /// The state, as of the last commit.
    pub(crate) fn state(&self) -> Result<wire::State, Fault> {
        let read = self.db.begin_read().map_err(redb)?;
        let table = read.open_table(STATE).map_err(redb)?;
        let sealed = table.get(STATE_KEY).map_err(redb)?.ok_or_else(|| Bad::damaged("it holds no state"))?;
        Ok(unseal(Kind::State, sealed.value())?)
    }

    /// A view of the log as it is now.
    pub(crate) fn log(&self) -> Result<LogView, Fault> {
        let read = self.db.begin_read().map_err(redb)?;
        Ok(LogView(read.open_table(LOG).map_err(redb)?))
    }

    /// Nothing is written after this, not even when the database is closed.
    pub(crate) fn fuse(&self) -> &Fuse {
        &self.fuse
    }

    /// Drops the database as it is. redb would commit once more; a sync that fails keeps it from that.
    pub(crate) fn discard(mut self) {
        self.fuse.blow();
        drop(self.db.check_integrity());
    }

    pub(crate) fn close(self) -> Result<(), Fault> {
        self.db.close().map_err(redb)
    }
}

#[cfg(test)]
impl Base {
    /// Edits the sealed state, or each sealed record of the log, behind the store's back.
    pub(crate) fn tamper(&self, of_the_log: bool, edit: impl Fn(&mut Vec<u8>)) {
        let write = self.db.begin_write().unwrap();
        {
            let mut table = write.open_table(if of_the_log { LOG } else { STATE }).unwrap();
            let rows: Vec<(u64, Vec<u8>)> = table
                .iter()
                .unwrap()
                .map(|row| row.map(|(key, value)| (key.value(), value.value().to_vec())).unwrap())
                .collect();
            assert!(!rows.is_empty());
            for (key, mut sealed) in rows {
                edit(&mut sealed);
                table.insert(key, sealed.as_slice()).unwrap();
            }
        }
        write.commit().unwrap();
    }
}

/// The log at one commit; later commits do not change it.
pub(crate) struct LogView(redb::ReadOnlyTable<u64, &'static [u8]>);

impl LogView {
    /// The sealed record at `index`.
    pub(crate) fn get(&self, index: u64) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(index).map_err(redb)?.map(|sealed| sealed.value().to_vec()))
    }

    /// Calls `each` with every index and sealed record, ascending.
    pub(crate) fn scan(&self, mut each: impl FnMut(u64, &[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        for row in self.0.iter().map_err(redb)? {
            let (index, sealed) = row.map_err(redb)?;
            each(index.value(), sealed.value())?;
        }
        Ok(())
    }
}
