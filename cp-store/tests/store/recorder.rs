//! A disk that records what is done to it, and fails when it is told to.

use crate::image::{Content, Image, Op};
use cp_store::{Directory, File};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// When and how operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    Never,
    /// The operation with this number, and no other.
    Once(usize),
    /// The operation with this number and all that change anything after it.
    From(usize),
    /// The operation with this number panics, as a bug would.
    Panic(usize),
    /// Every write and sync of this file.
    Of(u64),
    /// Every write and sync of this file panics.
    PanicOf(u64),
}

/// Which operations wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Every write and sync of this file.
    Of(u64),
    /// The growing of this file.
    Growth(u64),
}

/// The recording disk. Clones share it.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<Disk>>, Arc<Condvar>);

struct Disk {
    live: Image,
    ops: Vec<Op>,
    attempts: usize,
    inodes: u64,
    fail: Fail,
    failed: BTreeSet<usize>,
    /// What waits.
    stuck: Option<Stuck>,
    /// Whether one of them does.
    waits: bool,
    locked: bool,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the recording disk")
    }
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self::holding(Image::default())
    }

    pub(crate) fn holding(image: Image) -> Self {
        let inodes = image.files.keys().next_back().map_or(1, |inode| inode + 1);
        let (live, ops, failed) = (image, Vec::new(), BTreeSet::new());
        let (fail, stuck, waits, locked) = (Fail::Never, None, false, false);
        let disk = Disk { live, ops, attempts: 0, inodes, fail, failed, stuck, waits, locked };
        Self(Arc::new(Mutex::new(disk)), Arc::default())
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        self.disk().ops.clone()
    }

    pub(crate) fn op_count(&self) -> usize {
        self.disk().ops.len()
    }

    pub(crate) fn image(&self) -> Image {
        self.disk().live.clone()
    }

    pub(crate) fn inode(&self, name: &str) -> u64 {
        self.disk().live.names[name]
    }

    /// Changes the disk behind everybody's back.
    pub(crate) fn tamper(&self, with: impl FnOnce(&mut Image)) {
        with(&mut self.disk().live);
    }

    /// Plans a failure, counted from now, and forgets those before.
    pub(crate) fn fail(&self, fail: Fail) {
        let mut disk = self.disk();
        disk.attempts = 0;
        disk.failed.clear();
        disk.fail = fail;
    }

    /// Lets these operations wait, and no other.
    pub(crate) fn stick(&self, which: Option<Stuck>) {
        let mut disk = self.disk();
        (disk.stuck, disk.waits) = (which, false);
        self.1.notify_all();
    }

    /// Returns once something waits.
    pub(crate) fn until_stuck(&self) {
        let disk = self.disk();
        drop(self.1.wait_while(disk, |disk| !disk.waits).unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns once nobody holds the directory.
    pub(crate) fn until_free(&self) {
        let disk = self.disk();
        drop(self.1.wait_while(disk, |disk| disk.locked).unwrap_or_else(PoisonError::into_inner));
    }

    /// How many operations were tried since the last plan, and which of them failed.
    pub(crate) fn attempts(&self) -> (usize, BTreeSet<usize>) {
        let disk = self.disk();
        (disk.attempts, disk.failed.clone())
    }

    fn do_op(&self, op: Op) -> io::Result<()> {
        let mut disk = self.disk();
        while match disk.stuck {
            Some(Stuck::Of(file)) => op.file() == Some(file),
            Some(Stuck::Growth(file)) => matches!(op, Op::SetLen { inode, .. } if inode == file),
            None => false,
        } {
            disk.waits = true;
            self.1.notify_all();
            disk = self.1.wait(disk).unwrap_or_else(PoisonError::into_inner);
        }
        let number = disk.attempts;
        disk.attempts += 1;
        let fails = match disk.fail {
            Fail::Never => false,
            Fail::Once(at) => number == at,
            Fail::From(at) => number >= at,
            Fail::Panic(at) => {
                assert!(number != at, "injected");
                false
            }
            Fail::Of(file) => op.file() == Some(file),
            Fail::PanicOf(file) => {
                assert!(op.file() != Some(file), "injected");
                false
            }
        };
        if fails {
            disk.failed.insert(number);
            if let Op::Sync { inode } = op {
                disk.ops.push(Op::FailedSync { inode });
            }
            return Err(io::Error::other("injected"));
        }
        disk.live.apply(&op);
        disk.ops.push(op);
        Ok(())
    }
}

impl Directory for Recorder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.disk().live.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = {
            let mut disk = self.disk();
            if disk.live.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.inodes += 1;
            disk.inodes
        };
        self.do_op(Op::Create { name: name.to_owned(), inode })?;
        Ok(Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.disk().live.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        self.do_op(Op::Rename { from: from.to_owned(), to: to.to_owned(), inode })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if !self.disk().live.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.do_op(Op::Remove { name: name.to_owned() })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().live.names.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        self.do_op(Op::SyncDirectory)
    }

    fn lock(&self) -> io::Result<Box<dyn fmt::Debug + Send + Sync>> {
        let mut disk = self.disk();
        if disk.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        disk.locked = true;
        Ok(Box::new(Guard(self.clone())))
    }
}

#[derive(Debug)]
struct Guard(Recorder);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.disk().locked = false;
        self.0.1.notify_all();
    }
}

#[derive(Debug)]
struct Handle {
    disk: Recorder,
    inode: u64,
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.disk().live.files.get(&self.inode).map_or(0, Content::len))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.disk.disk().live.files.get(&self.inode) {
            Some(content) => content.read(offset, out),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.do_op(Op::Write { inode: self.inode, offset, bytes: bytes.to_vec() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.do_op(Op::SetLen { inode: self.inode, len })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.do_op(Op::Sync { inode: self.inode })
    }
}
