//! The simulated disk: it keeps what was synced, and little else.
//!
//! Every file has a *live* image, which the running node sees, and a *synced*
//! image, which a power loss leaves. Bytes and lengths move from the one to the
//! other at `File::sync_data`, names at `Directory::sync`, and at no other time.
//! What was written and not synced may survive a crash in any way that real
//! disks allow: see [`Survivors`].

mod effects;
mod image;
mod mount;
mod pace;
mod rot;

pub use effects::{Effects, Faults, Survivors};

use crate::life::Life;
use crate::rng::Rng;
use crate::sync::locked;
use cp_store::{Directory, Inspection, OpenError, Store};
use image::Image;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

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

    /// What a store on it holds, read without changing it.
    pub fn inspect(&self) -> Result<Inspection, OpenError> {
        Store::inspect(&*self.mount(Arc::new(Life::new(0, 0))))
    }

    /// The names of its files, sorted.
    pub fn files(&self) -> Vec<String> {
        locked(&self.state).synced.keys().cloned().collect()
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
