//! A file whose changes stay in memory: redb repairs a database when it opens it,
//! and an inspection must not.

use crate::backend::File;
use crate::shared::lock;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

const PAGE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Scratch {
    under: Arc<dyn File>,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// Beyond this, what is under it no longer shows.
    shown: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Scratch {
    pub(crate) fn over(under: Arc<dyn File>) -> io::Result<Self> {
        let len = under.len()?;
        Ok(Self { under, changed: Mutex::new(Changed { len, shown: len, pages: BTreeMap::new() }) })
    }

    fn original(&self, page: u64, shown: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE];
        let start = page * PAGE as u64;
        let held = usize::try_from(shown.saturating_sub(start)).unwrap_or(PAGE).min(PAGE);
        // Beyond its end a file may refuse even to read nothing.
        if let Some(held) = bytes.get_mut(..held).filter(|held| !held.is_empty()) {
            self.under.read_at(start, held)?;
        }
        Ok(bytes)
    }
}

/// Page, range in the page, range in the buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let take = (PAGE - within).min(len - done);
        let piece = (at / PAGE as u64, within..within + take, done..done + take);
        done += take;
        (take > 0).then_some(piece)
    })
}

fn copy(from: &[u8], source: Range<usize>, to: &mut [u8], target: Range<usize>) {
    if let (Some(source), Some(target)) = (from.get(source), to.get_mut(target)) {
        target.copy_from_slice(source);
    }
}

impl File for Scratch {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.changed).len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = lock(&self.changed);
        if offset.saturating_add(out.len() as u64) > changed.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if changed.pages.is_empty() && offset.saturating_add(out.len() as u64) <= changed.shown {
            return self.under.read_at(offset, out);
        }
        for (page, source, target) in pieces(offset, out.len()) {
            match changed.pages.get(&page) {
                Some(bytes) => copy(bytes, source, out, target),
                None => copy(&self.original(page, changed.shown)?, source, out, target),
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changed = lock(&self.changed);
        let shown = changed.shown;
        for (page, target, source) in pieces(offset, bytes.len()) {
            let mut image = match changed.pages.remove(&page) {
                Some(image) => image,
                None => self.original(page, shown)?,
            };
            copy(bytes, source, &mut image, target);
            changed.pages.insert(page, image);
        }
        changed.len = changed.len.max(offset.saturating_add(bytes.len() as u64));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = lock(&self.changed);
        if len < changed.len {
            changed.pages.split_off(&len.div_ceil(PAGE as u64));
            if let Some(tail) = changed.pages.get_mut(&(len / PAGE as u64)) {
                tail.iter_mut().skip((len % PAGE as u64) as usize).for_each(|byte| *byte = 0);
            }
        }
        changed.shown = changed.shown.min(len);
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
