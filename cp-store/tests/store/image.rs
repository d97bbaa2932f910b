//! What is on a disk, what was done to it, and what a power loss at any point
//! could have left.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

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
    /// Of which file it changes the bytes, or makes them durable.
    pub(crate) fn file(&self) -> Option<u64> {
        match self {
            Self::Write { inode, .. } | Self::SetLen { inode, .. } | Self::Sync { inode } => Some(*inode),
            _ => None,
        }
    }

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

    /// The first page in which the file of this name is not what it was `before`.
    pub(crate) fn differs_from(&self, before: &Self, name: &str) -> Option<u64> {
        let file = |image: &Self| image.names.get(name).and_then(|inode| image.files.get(inode)).cloned();
        let (Some(one), Some(two)) = (file(self), file(before)) else { return Some(0) };
        let numbers = one.pages.keys().chain(two.pages.keys());
        let page = numbers.filter(|page| one.pages.get(*page) != two.pages.get(*page)).min().map(|p| p * PAGE as u64);
        page.into_iter().chain((one.len != two.len).then_some(one.len.min(two.len))).min()
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
