//! The disk as one life of its node sees it: `cp_store`'s backend.

use super::{Change, Disk, Effects, Faults, Inode, Mutation, NameChange, State, rename_in};
use crate::life::Life;
use crate::monitor::Moment;
use crate::rng::Rng;
use crate::sync::locked;
use cp_store::{Directory, File};
use std::io;
use std::sync::{Arc, MutexGuard};

pub(super) struct Mount {
    pub(super) disk: Disk,
    pub(super) life: Arc<Life>,
}

// The store names the directory in its errors by this.
impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "n{}'s disk", self.life.slot())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    life: Arc<Life>,
    inode: Inode,
}

#[derive(Debug)]
struct Guard {
    disk: Disk,
    life: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = locked(&self.disk.state);
        if state.locked_by == Some(self.life) {
            state.locked_by = None;
        }
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn power_lost() -> io::Error {
    io::Error::other("the simulated node has lost power")
}

fn reading<'a>(disk: &'a Disk, life: &Life) -> io::Result<MutexGuard<'a, State>> {
    if life.goes_on() { Ok(locked(&disk.state)) } else { Err(power_lost()) }
}

/// Before a read.
fn reads<'a>(disk: &'a Disk, life: &Life) -> io::Result<MutexGuard<'a, State>> {
    let mut state = reading(disk, life)?;
    if std::mem::take(&mut state.faults.fail_next_read) || state.faults.fail_read {
        state.effects.failed_operations += 1;
        return Err(eio());
    }
    Ok(state)
}

/// Whether the life ends at this sync, at that moment of it.
fn cut_here(state: &mut State, life: &Life, moment: Moment) -> io::Result<()> {
    match (&mut state.faults.crash_at_sync, moment) {
        (Some((0, at)), _) if *at == moment => {
            state.faults.crash_at_sync = None;
            state.effects.cut_syncs += 1;
            life.finish();
            Err(power_lost())
        }
        (Some((more, _)), Moment::After) => {
            *more = more.saturating_sub(1);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Before anything changes: the life must go on, and may end here.
fn changing<'a>(disk: &'a Disk, life: &Life) -> io::Result<MutexGuard<'a, State>> {
    let mut state = reading(disk, life)?;
    match state.faults.crash_after {
        Some(0) => {
            state.faults.crash_after = None;
            drop(state);
            life.finish();
            return Err(power_lost());
        }
        Some(more) => state.faults.crash_after = Some(more - 1),
        None => {}
    }
    state.order += 1;
    Ok(state)
}

impl State {
    fn failing_write(&mut self, extends: bool) -> io::Result<()> {
        if std::mem::take(&mut self.faults.fail_write) {
            self.effects.failed_operations += 1;
            return Err(eio());
        }
        if self.faults.full && extends {
            self.effects.failed_operations += 1;
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }

    /// Whether a sync should do its work; it may fail, or lie.
    fn syncing(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.faults.fail_sync) {
            self.effects.failed_operations += 1;
            return Err(eio());
        }
        if self.faults.lies {
            self.effects.failed_operations += 1;
            return Ok(false);
        }
        self.syncs += 1;
        Ok(true)
    }

    fn name(&mut self, change: NameChange) {
        rename_in(&mut self.live, &change);
        let order = self.order;
        self.renames.push((order, change));
    }
}

impl Directory for Mount {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = reading(&self.disk, &self.life)?;
        let inode = *state.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Handle { disk: self.disk.clone(), life: Arc::clone(&self.life), inode }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = changing(&self.disk, &self.life)?;
        if state.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.failing_write(true)?;
        state.inode += 1;
        let inode = state.inode;
        state.contents.insert(inode, super::Content::default());
        state.name(NameChange::Create(name.to_owned(), inode));
        Ok(Arc::new(Handle { disk: self.disk.clone(), life: Arc::clone(&self.life), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = changing(&self.disk, &self.life)?;
        if !state.live.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = changing(&self.disk, &self.life)?;
        if !state.live.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(reading(&self.disk, &self.life)?.live.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = changing(&self.disk, &self.life)?;
        cut_here(&mut state, &self.life, Moment::Before)?;
        if state.syncing()? {
            state.renames.clear();
            let live = state.live.clone();
            state.synced = live;
        }
        cut_here(&mut state, &self.life, Moment::After)
    }

    fn lock(&self) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        let mut state = reading(&self.disk, &self.life)?;
        if state.locked_by.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked_by = Some(self.life.number());
        Ok(Box::new(Guard { disk: self.disk.clone(), life: self.life.number() }))
    }
}

/// What of a change gets to the platter.
fn platter(what: Mutation, faults: &mut Faults, effects: &mut Effects, rng: &mut Rng) -> Option<Mutation> {
    let Mutation::Write { offset, bytes } = what else { return Some(what) };
    if std::mem::take(&mut faults.lose_write) {
        effects.lost_writes += 1;
        return None;
    }
    if std::mem::take(&mut faults.misdirect_write) {
        effects.misdirected_writes += 1;
        // A few sectors off, as when one bit of an address is wrong.
        let off = 512 << rng.below(4);
        return Some(Mutation::Write { offset: offset ^ off, bytes });
    }
    Some(Mutation::Write { offset, bytes })
}

impl Handle {
    fn change(&self, what: Mutation) -> io::Result<()> {
        let mut state = changing(&self.disk, &self.life)?;
        let state = &mut *state;
        let content = state.contents.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let end = match &what {
            Mutation::Write { offset, bytes } => offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Mutation::SetLen(len) => *len,
        };
        let extends = end > content.live.len();
        state.failing_write(extends)?;
        let content = state.contents.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        what.apply(&mut content.live)?;
        state.broke_its_word |= state.faults.lose_write || state.faults.misdirect_write;
        if let Some(what) = platter(what, &mut state.faults, &mut state.effects, &mut state.rng) {
            content.unsynced.push(Change { order: state.order, what });
        }
        Ok(())
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        let state = reading(&self.disk, &self.life)?;
        Ok(state.contents.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.live.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = reads(&self.disk, &self.life)?;
        state.contents.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.live.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Mutation::Write { offset, bytes: bytes.to_vec() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Mutation::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = changing(&self.disk, &self.life)?;
        cut_here(&mut state, &self.life, Moment::Before)?;
        let drop_dirty = state.faults.fail_sync && state.faults.drop_dirty;
        let outcome = state.syncing();
        let content = state.contents.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        if drop_dirty {
            content.unsynced.clear();
        }
        if outcome? {
            // Not a copy of the live image: what a failed sync dropped never gets there.
            let synced = std::mem::take(&mut content.unsynced);
            if !synced.is_empty() {
                content.latest.clear();
            }
            for change in synced {
                change.what.apply(&mut content.synced)?;
                content.latest.push(change.what);
            }
        }
        cut_here(&mut state, &self.life, Moment::After)
    }
}
