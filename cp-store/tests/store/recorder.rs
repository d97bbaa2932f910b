//! A disk that records what is done to it, and rebuilds what a power loss at any
//! point could have left.

use cp_store::{Directory, File};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PAGE: usize = 4096;

/// One thing done to the disk.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create {
        name: String,
        inode: u64,
    },
    Rename {
        from: String,
        to: String,
        inode: u64,
    },
    Remove {
        name: String,
    },
    SyncDirectory,
    Write {
        inode: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLen {
        inode: u64,
        len: u64,
    },
    Sync {
        inode: u64,
    },
    /// A sync that failed, after which the pages count as clean although they
    /// never reached the disk; whoever reads them still finds them.
    FailedSync {
        inode: u64,
    },
}

impl Op {
    fn is_sync(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::FailedSync { .. } | Self::SyncDirectory)
    }
}

/// The bytes of a file; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    len: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let mut done = 0;
        while done < out.len() {
            let (page, within, take) = piece(offset, done, out.len());
            if let Some(bytes) = self.pages.get(&page) {
                out[done..done + take].copy_from_slice(&bytes[within..within + take]);
            }
            done += take;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, within, take) = piece(offset, done, bytes.len());
            let image = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(image)[within..within + take].copy_from_slice(&bytes[done..done + take]);
            done += take;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE as u64));
            if let Some(tail) = self.pages.get_mut(&(len / PAGE as u64)) {
                Arc::make_mut(tail)[(len % PAGE as u64) as usize..].fill(0);
            }
        }
        self.len = len;
    }
}

fn piece(offset: u64, done: usize, len: usize) -> (u64, usize, usize) {
    let at = offset + done as u64;
    let within = (at % PAGE as u64) as usize;
    (at / PAGE as u64, within, (PAGE - within).min(len - done))
}

/// Names and bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) names: BTreeMap<String, u64>,
    pub(crate) files: BTreeMap<u64, Content>,
}

impl Image {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { name, inode } => {
                self.names.insert(name.clone(), *inode);
                self.files.entry(*inode).or_default();
            }
            Op::Rename { from, to, inode } => {
                self.names.remove(from);
                self.names.insert(to.clone(), *inode);
                self.files.entry(*inode).or_default();
            }
            Op::Remove { name } => drop(self.names.remove(name)),
            Op::Write { inode, offset, bytes } => self.files.entry(*inode).or_default().write(*offset, bytes),
            Op::SetLen { inode, len } => self.files.entry(*inode).or_default().set_len(*len),
            Op::Sync { .. } | Op::FailedSync { .. } | Op::SyncDirectory => {}
        }
    }

    pub(crate) fn file(&mut self, name: &str) -> &mut Content {
        let inode = self.names.get(name).expect("there is such a file");
        self.files.get_mut(inode).expect("it has bytes")
    }
}

/// What of the unsynced writes a power loss leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing unsynced survives.
    SyncedOnly,
    /// Everything survives: the process died, not the machine.
    Nothing,
    /// The first some survive.
    Prefix,
    /// Any of them survive, names too: no order is promised among those.
    Subset,
    /// Any sectors of 512 bytes survive.
    Torn512,
    /// Any pieces of 16 bytes survive.
    Torn16,
}

impl Loss {
    pub(crate) const ALL: [Self; 6] =
        [Self::SyncedOnly, Self::Nothing, Self::Prefix, Self::Subset, Self::Torn512, Self::Torn16];

    pub(crate) fn is_random(self) -> bool {
        !matches!(self, Self::SyncedOnly | Self::Nothing)
    }

    /// Whether crashing right after `op` can look different from crashing right before it.
    pub(crate) fn sees(self, op: &Op) -> bool {
        op.is_sync() == (self == Self::SyncedOnly)
    }
}

/// A small generator; the tests must not depend on anything but their seeds.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }
}

/// Walks through recorded operations and knows what is synced.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    synced: Image,
    pending: Vec<Op>,
}

impl Replay {
    pub(crate) fn from(image: Image) -> Self {
        Self { synced: image, pending: Vec::new() }
    }

    pub(crate) fn step(&mut self, op: &Op) {
        let (now, later): (Vec<_>, Vec<_>) = match op {
            Op::Sync { inode } | Op::FailedSync { inode } => {
                std::mem::take(&mut self.pending).into_iter().partition(|pending| match pending {
                    Op::Write { inode: of, .. } | Op::SetLen { inode: of, .. } => of == inode,
                    _ => false,
                })
            }
            Op::SyncDirectory => std::mem::take(&mut self.pending)
                .into_iter()
                .partition(|pending| !matches!(pending, Op::Write { .. } | Op::SetLen { .. })),
            other => {
                self.pending.push(other.clone());
                return;
            }
        };
        if !matches!(op, Op::FailedSync { .. }) {
            now.iter().for_each(|op| self.synced.apply(op));
        }
        self.pending = later;
    }

    pub(crate) fn crash(&self, loss: Loss, rng: &mut Rng) -> Image {
        let mut image = self.synced.clone();
        let cut = rng.below(self.pending.len() + 1);
        for (at, op) in self.pending.iter().enumerate() {
            let torn = match (loss, op) {
                (Loss::Torn512, Op::Write { .. }) => Some(512),
                (Loss::Torn16, Op::Write { .. }) => Some(16),
                _ => None,
            };
            if let (Some(size), Op::Write { inode, offset, bytes }) = (torn, op) {
                for (n, piece) in bytes.chunks(size).enumerate() {
                    if rng.coin() {
                        image.files.entry(*inode).or_default().write(offset + (n * size) as u64, piece);
                    }
                }
                continue;
            }
            let survives = match loss {
                Loss::SyncedOnly => false,
                Loss::Nothing => true,
                Loss::Prefix => at < cut,
                Loss::Subset | Loss::Torn512 | Loss::Torn16 => rng.coin(),
            };
            if survives {
                image.apply(op);
            }
        }
        image
    }
}

/// When and how operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    Never,
    /// The operation with this number, and no other.
    Once(usize),
    /// The operation with this number and all that change anything after it.
    From(usize),
}

/// The recording disk. Clones share it.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<Disk>>);

struct Disk {
    live: Image,
    ops: Vec<Op>,
    attempts: usize,
    inodes: u64,
    fail: Fail,
    failed: BTreeSet<usize>,
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
        Self(Arc::new(Mutex::new(Disk { live, ops, attempts: 0, inodes, fail: Fail::Never, failed, locked: false })))
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

    /// How many operations were tried since the last plan, and which of them failed.
    pub(crate) fn attempts(&self) -> (usize, BTreeSet<usize>) {
        let disk = self.disk();
        (disk.attempts, disk.failed.clone())
    }

    fn do_op(&self, op: Op) -> io::Result<()> {
        let mut disk = self.disk();
        let number = disk.attempts;
        disk.attempts += 1;
        let fails = match disk.fail {
            Fail::Never => false,
            Fail::Once(at) => number == at,
            Fail::From(at) => number >= at,
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
