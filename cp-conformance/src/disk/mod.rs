//! The simulated disk: it keeps what was synced, and little else.
//!
//! Every file has a *live* image, which the running node sees, and a *synced*
//! image, which a power loss leaves. Bytes and lengths move from the one to the
//! other at `File::sync_data`, names at `Directory::sync`, and at no other time.
//! What was written and not synced may survive a crash in any way that real
//! disks allow: see [`Survivors`].

mod image;
mod mount;
mod pace;

use crate::life::Life;
use crate::monitor::Moment;
use crate::rng::Rng;
use crate::sync::locked;
use cp_store::Directory;
use image::Image;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Which unsynced changes a crash leaves on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None of them: the strictest power loss.
    Nothing,
    /// All of them: the process was killed and the machine stayed up.
    Everything,
    /// Those up to some moment.
    Prefix,
    /// Any of them: writes reach the platter in any order.
    Subset,
    /// Those up to some moment, the last one cut at a multiple of so many bytes.
    Torn {
        /// 512 for a sector, 16 for persistent memory.
        unit_bytes: u64,
    },
}

/// What is wrong with a disk, from now on.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The next write fails.
    pub fail_write: bool,
    /// The next sync fails; with `drop_dirty`, what it should have written is
    /// marked clean and never reaches the disk, as Linux does.
    pub fail_sync: bool,
    /// See `fail_sync`.
    pub drop_dirty: bool,
    /// Every read fails, of what is not in memory.
    pub fail_read: bool,
    /// The next read fails, once.
    pub fail_next_read: bool,
    /// The next write is lost: seen until the end of the life, synced as it seems, and
    /// never on the platter.
    pub lose_write: bool,
    /// The next write goes to another place of its file: seen where it belongs until
    /// the end of the life.
    pub misdirect_write: bool,
    /// So many pieces of I/O in a thousand take up to a quarter of a second longer.
    pub slow: u32,
    /// No write that extends a file succeeds.
    pub full: bool,
    /// Syncs claim success and do nothing. A planted bug, not a tolerated fault.
    pub lies: bool,
    /// The life ends at the mutating operation after so many more.
    pub crash_after: Option<u64>,
    /// The life ends at the sync after so many more: before it has its effect, or after
    /// it and before its caller hears of it.
    pub crash_at_sync: Option<(u64, Moment)>,
}

/// How often faults had an effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Writes, syncs, creations and reads that were made to fail.
    pub failed_operations: u64,
    /// Unsynced changes that a crash dropped.
    pub lost_changes: u64,
    /// Changes that a crash cut in two.
    pub torn_changes: u64,
    /// Pieces of I/O that waited for a stall to end.
    pub stalls: u64,
    /// Bits that were flipped.
    pub flipped_bits: u64,
    /// Pieces of I/O that took far longer than usual.
    pub slowed: u64,
    /// Lives ended at a sync.
    pub cut_syncs: u64,
    /// Writes that never got to the platter.
    pub lost_writes: u64,
    /// Writes that went elsewhere.
    pub misdirected_writes: u64,
    /// Files cut short.
    pub truncated_files: u64,
    /// Files that are gone.
    pub missing_files: u64,
}

impl Effects {
    /// Both taken together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            failed_operations: self.failed_operations + other.failed_operations,
            lost_changes: self.lost_changes + other.lost_changes,
            torn_changes: self.torn_changes + other.torn_changes,
            stalls: self.stalls + other.stalls,
            flipped_bits: self.flipped_bits + other.flipped_bits,
            slowed: self.slowed + other.slowed,
            cut_syncs: self.cut_syncs + other.cut_syncs,
            lost_writes: self.lost_writes + other.lost_writes,
            misdirected_writes: self.misdirected_writes + other.misdirected_writes,
            truncated_files: self.truncated_files + other.truncated_files,
            missing_files: self.missing_files + other.missing_files,
        }
    }
}

/// How long I/O takes, in microseconds (timers count whole milliseconds).
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// At least.
    pub low_us: u64,
    /// At most.
    pub high_us: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { low_us: 100, high_us: 5_000 }
    }
}

/// One node's disk. Clones share it; it outlives every life of the node.
#[derive(Debug, Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    stalled: Arc<watch::Sender<bool>>,
}

type Inode = u64;

#[derive(Debug, Clone, Default)]
struct Content {
    live: Image,
    synced: Image,
    unsynced: Vec<Change>,
    /// What was synced last.
    latest: Vec<Mutation>,
}

#[derive(Debug, Clone)]
struct Change {
    order: u64,
    what: Mutation,
}

#[derive(Debug, Clone)]
enum Mutation {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Mutation {
    fn apply(&self, image: &mut Image) -> io::Result<()> {
        match self {
            Self::Write { offset, bytes } => image.write_at(*offset, bytes),
            Self::SetLen(len) => image.set_len(*len),
        }
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(String, Inode),
    Rename(String, String),
    Remove(String),
}

fn rename_in(names: &mut BTreeMap<String, Inode>, change: &NameChange) {
    match change {
        NameChange::Create(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

#[derive(Debug)]
struct State {
    rng: Rng,
    latency: Latency,
    contents: BTreeMap<Inode, Content>,
    live: BTreeMap<String, Inode>,
    synced: BTreeMap<String, Inode>,
    renames: Vec<(u64, NameChange)>,
    order: u64,
    inode: Inode,
    syncs: u64,
    locked_by: Option<u64>,
    faults: Faults,
    effects: Effects,
    broke_its_word: bool,
}

impl Disk {
    /// An empty disk whose chance is drawn from `seed` and `name`.
    pub fn new(seed: u64, name: &str, latency: Latency) -> Self {
        let state = State {
            rng: Rng::new(seed, &format!("disk {name}")),
            latency,
            contents: BTreeMap::new(),
            live: BTreeMap::new(),
            synced: BTreeMap::new(),
            renames: Vec::new(),
            order: 0,
            inode: 0,
            syncs: 0,
            locked_by: None,
            faults: Faults::default(),
            effects: Effects::default(),
            broke_its_word: false,
        };
        Self { state: Arc::new(Mutex::new(state)), stalled: Arc::new(watch::Sender::new(false)) }
    }

    /// The disk as the node of this life sees it. The handles fail once it has ended.
    pub fn mount(&self, life: Arc<Life>) -> Arc<dyn Directory> {
        Arc::new(mount::Mount { disk: self.clone(), life })
    }

    /// How long the writer of this life waits before each piece of I/O.
    pub fn pace(&self, life: Arc<Life>) -> Arc<dyn cp_store::Pace> {
        Arc::new(pace::Seeded { disk: self.clone(), life })
    }

    /// What a power loss at this moment would leave, as a disk of its own.
    pub fn synced_only(&self) -> Self {
        let from = locked(&self.state);
        let copy = Self::new(0, "copy", from.latency);
        {
            let mut to = locked(&copy.state);
            let synced = |content: &Content| Content {
                live: content.synced.clone(),
                synced: content.synced.clone(),
                unsynced: Vec::new(),
                latest: Vec::new(),
            };
            to.contents = from.contents.iter().map(|(inode, content)| (*inode, synced(content))).collect();
            to.live.clone_from(&from.synced);
            to.synced.clone_from(&from.synced);
            (to.inode, to.syncs) = (from.inode, from.syncs);
        }
        copy
    }

    /// Where the file of this name on this disk may first differ from that on
    /// `other`; `None` if nowhere.
    pub(crate) fn differs_from(&self, other: &Self, name: &str) -> Option<u64> {
        let image = |disk: &Self| {
            let state = locked(&disk.state);
            state.live.get(name).and_then(|inode| state.contents.get(inode)).map(|content| content.live.clone())
        };
        match (image(self), image(other)) {
            (Some(one), Some(two)) => one.differs_from(&two),
            (None, None) => None,
            _ => Some(0),
        }
    }

    /// What a running node sees, as a disk of its own that has synced all of it.
    pub fn seen_alive(&self) -> Self {
        let copy = self.duplicate();
        {
            let mut to = locked(&copy.state);
            let State { contents, live, synced, renames, .. } = &mut *to;
            for content in contents.values_mut() {
                content.synced.clone_from(&content.live);
                content.unsynced.clear();
            }
            synced.clone_from(live);
            renames.clear();
        }
        copy
    }

    /// A copy with everything, live and synced.
    pub fn duplicate(&self) -> Self {
        let from = locked(&self.state);
        let copy = Self::new(0, "copy", from.latency);
        {
            let mut to = locked(&copy.state);
            to.contents.clone_from(&from.contents);
            to.live.clone_from(&from.live);
            to.synced.clone_from(&from.synced);
            to.renames.clone_from(&from.renames);
            (to.order, to.inode, to.syncs) = (from.order, from.inode, from.syncs);
        }
        copy
    }

    /// Replaces everything on this disk by what is on `other`.
    pub fn overwrite_with(&self, other: &Self) {
        let copy = other.duplicate();
        let (mut to, mut from) = (locked(&self.state), locked(&copy.state));
        std::mem::swap(&mut to.contents, &mut from.contents);
        std::mem::swap(&mut to.live, &mut from.live);
        std::mem::swap(&mut to.synced, &mut from.synced);
        std::mem::swap(&mut to.renames, &mut from.renames);
        (to.order, to.inode) = (from.order.max(to.order), from.inode.max(to.inode));
        to.broke_its_word = false;
        to.syncs += 1;
    }

    /// Ends what the last life had in flight: only what was synced stays, and of
    /// the rest what `survivors` says.
    pub fn crash(&self, survivors: Survivors) {
        locked(&self.state).crash(survivors);
    }

    /// Forgets everything, as a replaced disk does.
    pub fn wipe(&self) {
        let mut state = locked(&self.state);
        state.contents.clear();
        state.live.clear();
        state.synced.clear();
        state.renames.clear();
        state.locked_by = None;
        state.broke_its_word = false;
        state.syncs += 1;
    }

    /// The names of its files, sorted.
    pub fn files(&self) -> Vec<String> {
        locked(&self.state).synced.keys().cloned().collect()
    }

    /// Loses a file; `false` if there is none of this name.
    pub fn lose(&self, name: &str) -> bool {
        let mut state = locked(&self.state);
        state.live.remove(name);
        let lost = state.synced.remove(name).is_some();
        state.syncs += 1;
        state.effects.failed_operations += u64::from(lost);
        state.effects.missing_files += u64::from(lost);
        state.broke_its_word |= lost;
        lost
    }

    /// Flips one bit of what is on the disk, where something is, and says where.
    pub fn flip_a_bit(&self) -> Option<String> {
        let mut state = locked(&self.state);
        let State { contents, rng, effects, syncs, synced, .. } = &mut *state;
        let pages: u64 = contents.values().map(|c| c.synced.filled_pages()).sum();
        let mut at = rng.below(pages);
        let mut flipped = None;
        for (inode, content) in contents.iter_mut() {
            let here = content.synced.filled_pages();
            if at < here {
                let offset = content.synced.flip_a_bit(at, rng);
                content.live.clone_from(&content.synced);
                let name = synced.iter().find(|(_, of)| *of == inode).map(|(name, _)| name.clone()).unwrap_or_default();
                flipped = Some(format!("{name} at {offset}"));
                break;
            }
            at -= here;
        }
        *syncs += 1;
        effects.flipped_bits += u64::from(flipped.is_some());
        flipped
    }

    /// Flips so many bits anywhere but in what each file was told to sync last: when all
    /// copies of that are damaged, it is what a torn write looks like, and nobody can tell.
    pub fn flip_bits_before_the_last_write(&self, count: usize) -> io::Result<Vec<String>> {
        let flipped = (0..count).filter_map(|_| self.flip_a_bit()).collect();
        let mut state = locked(&self.state);
        for content in state.contents.values_mut() {
            for mutation in &content.latest {
                mutation.apply(&mut content.synced)?;
            }
            content.live.clone_from(&content.synced);
        }
        Ok(flipped)
    }

    /// Cuts a file of a node that does not run short, at some byte of it.
    pub fn truncate(&self, name: &str) -> io::Result<u64> {
        let mut state = locked(&self.state);
        let State { contents, rng, effects, syncs, synced, broke_its_word, .. } = &mut *state;
        let content = synced.get(name).and_then(|inode| contents.get_mut(inode)).ok_or(io::ErrorKind::NotFound)?;
        let at = rng.below(content.synced.len());
        content.synced.set_len(at)?;
        content.live.clone_from(&content.synced);
        (effects.truncated_files, *syncs, *broke_its_word) = (effects.truncated_files + 1, *syncs + 1, true);
        Ok(at)
    }

    /// Whether the disk broke its word: what was synced is not what is there. No node
    /// can keep promises on such a disk; it can only notice.
    pub fn broke_its_word(&self) -> bool {
        locked(&self.state).broke_its_word
    }

    /// Changes what is wrong with the disk.
    pub fn with_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut locked(&self.state).faults);
    }

    /// Whether anything is set to go wrong.
    pub fn has_faults(&self) -> bool {
        let faults = &locked(&self.state).faults;
        faults.fail_write
            || faults.fail_sync
            || faults.fail_read
            || faults.full
            || faults.lies
            || faults.crash_after.is_some()
            || faults.crash_at_sync.is_some()
            || faults.fail_next_read
    }

    /// Changes how long I/O takes from now on.
    pub fn take(&self, latency: Latency) {
        locked(&self.state).latency = latency;
    }

    /// Stops or resumes all I/O; nothing fails, nothing finishes.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// How often faults had an effect so far.
    pub fn effects(&self) -> Effects {
        locked(&self.state).effects
    }

    /// Rises whenever the synced image may have changed.
    pub fn version(&self) -> u64 {
        locked(&self.state).syncs
    }
}

impl State {
    fn crash(&mut self, survivors: Survivors) {
        let pending = self.contents.values().map(|c| c.unsynced.len()).sum::<usize>() + self.renames.len();
        let cut = match survivors {
            Survivors::Prefix | Survivors::Torn { .. } => {
                let oldest = self.contents.values().flat_map(|c| c.unsynced.first()).map(|c| c.order).min();
                let oldest = oldest.into_iter().chain(self.renames.first().map(|r| r.0)).min().unwrap_or(self.order);
                self.rng.between(oldest, self.order.max(oldest))
            }
            Survivors::Nothing | Survivors::Everything | Survivors::Subset => 0,
        };
        let mut kept = 0;
        let mut keeps = |rng: &mut Rng, order: u64| {
            let keep = match survivors {
                Survivors::Nothing => false,
                Survivors::Everything => true,
                Survivors::Prefix | Survivors::Torn { .. } => order < cut,
                Survivors::Subset => rng.per_mille(500),
            };
            kept += usize::from(keep);
            keep
        };
        for content in self.contents.values_mut() {
            for change in std::mem::take(&mut content.unsynced) {
                if keeps(&mut self.rng, change.order) {
                    // Extending a simulated image fails only beyond the address space.
                    self.effects.failed_operations += u64::from(change.what.apply(&mut content.synced).is_err());
                } else if let (Survivors::Torn { unit_bytes }, Mutation::Write { offset, bytes }) =
                    (survivors, &change.what)
                    && change.order == cut
                {
                    let units = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / unit_bytes.max(1);
                    let keep = usize::try_from(self.rng.below(units.max(1)) * unit_bytes).unwrap_or_default();
                    if let Some(head) = bytes.get(..keep) {
                        self.effects.torn_changes += u64::from(keep > 0);
                        self.effects.failed_operations += u64::from(content.synced.write_at(*offset, head).is_err());
                    }
                }
            }
            content.live.clone_from(&content.synced);
        }
        for (order, change) in std::mem::take(&mut self.renames) {
            if keeps(&mut self.rng, order) {
                rename_in(&mut self.synced, &change);
            }
        }
        self.live.clone_from(&self.synced);
        let named: std::collections::BTreeSet<Inode> = self.live.values().copied().collect();
        self.contents.retain(|inode, _| named.contains(inode));
        self.effects.lost_changes += u64::try_from(pending.saturating_sub(kept)).unwrap_or(u64::MAX);
        self.locked_by = None;
        self.syncs += 1;
    }
}

#[cfg(test)]
mod tests;
