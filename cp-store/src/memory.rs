//! A directory in memory, for tests: what was written, and what of it was synced.
//!
//! It injects no faults; the simulator's disk does.

use crate::backend::{Directory, File};
use crate::shared::lock;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

/// A directory in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryDirectory {
    names: Arc<Mutex<Names>>,
    locked: Arc<Mutex<bool>>,
}

#[derive(Debug, Default)]
struct Names {
    live: BTreeMap<String, Arc<MemoryFile>>,
    synced: BTreeMap<String, Arc<MemoryFile>>,
}

impl MemoryDirectory {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power loss now would leave: synced names with their synced bytes, in
    /// a directory of its own that nobody has locked.
    pub fn crash(&self) -> Self {
        let survivor = |(name, file): (&String, &Arc<MemoryFile>)| {
            (name.clone(), Arc::new(MemoryFile::of(lock(&file.0).synced.clone())))
        };
        let files: BTreeMap<_, _> = lock(&self.names).synced.iter().map(survivor).collect();
        let names = Names { live: files.clone(), synced: files };
        Self { names: Arc::new(Mutex::new(names)), locked: Arc::default() }
    }

    fn file(&self, name: &str) -> io::Result<Arc<MemoryFile>> {
        lock(&self.names).live.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl fmt::Debug for MemoryDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a directory in memory")
    }
}

impl Directory for MemoryDirectory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name).map(|file| file as Arc<dyn File>)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut names = lock(&self.names);
        if names.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::of(Vec::new()));
        names.live.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = lock(&self.names);
        let file = names.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.live.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.names).live.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.names).live.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let mut names = lock(&self.names);
        names.synced = names.live.clone();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn fmt::Debug + Send + Sync>> {
        let mut locked = lock(&self.locked);
        if *locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *locked = true;
        Ok(Box::new(Guard(Arc::clone(&self.locked))))
    }
}

#[derive(Debug)]
struct Guard(Arc<Mutex<bool>>);

impl Drop for Guard {
    fn drop(&mut self) {
        *lock(&self.0) = false;
    }
}

#[derive(Debug)]
struct MemoryFile(Mutex<Images>);

#[derive(Debug)]
struct Images {
    live: Vec<u8>,
    synced: Vec<u8>,
}

impl MemoryFile {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(Images { live: bytes.clone(), synced: bytes }))
    }
}

fn range(offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    let end = start.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(start..end)
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).live.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let images = lock(&self.0);
        let bytes = images.live.get(range(offset, out.len())?).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let range = range(offset, bytes.len())?;
        let mut images = lock(&self.0);
        if images.live.len() < range.end {
            images.live.resize(range.end, 0);
        }
        if let Some(slot) = images.live.get_mut(range) {
            slot.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        lock(&self.0).live.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut images = lock(&self.0);
        images.synced = images.live.clone();
        Ok(())
    }
}
