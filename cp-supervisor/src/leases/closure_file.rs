//! Closed gates in a file of their own.

use super::closures::{Closures, Failure};
use async_trait::async_trait;
use cp_catalog::{ClosedGate, CollectionName, DataPosition, Epoch, RangeId, RangeKey};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Below so many lines the file is never rewritten.
const LINES_MIN: usize = 1024;
/// It is rewritten once it has so many lines for each range in it.
const LINES_PER_RANGE: usize = 4;

/// Closed gates in a file: a line each, synced before it counts.
///
/// A line that a crash has cut short at the end was never passed on and is dropped. Any other
/// damage is an error: it could hide a gate. Of each range only the newest gate counts, so the
/// file is rewritten once it has four lines for each of its ranges, and a thousand: some hundred
/// bytes a line. It is written anew beside the old one, which it replaces at once.
///
/// It is locked while it is open, so that no second process of the member keeps gates by it. After
/// an append that failed it takes no more until it is opened again: what is on the disk then is
/// unknown (CP-D4).
#[derive(Debug, Clone)]
pub struct ClosureFile {
    path: PathBuf,
    lines_min: usize,
    end: Arc<Mutex<End>>,
}

/// Where lines are appended.
#[derive(Debug)]
struct End {
    file: File,
    failed: bool,
    lines: usize,
    /// With so many lines it is rewritten.
    rewrite_at: usize,
}

/// What a rewrite does, in this order: killed before any of them, it has lost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Sync,
    Rename,
    SyncDirectory,
}

/// Told of each step of a rewrite before it is done; an error ends it there.
type Told<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

impl ClosureFile {
    /// The file at `path`; an empty one, durably, if there is none. Blocks on the disk.
    ///
    /// Errors: that of the disk, or [`WouldBlock`](ErrorKind::WouldBlock) while it is open elsewhere.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, LINES_MIN)
    }

    fn open_with(path: &Path, lines_min: usize) -> io::Result<Self> {
        let file = locked(path)?;
        // Half of a rewrite that was killed: nobody else writes it while this is locked.
        remove(&beside(path))?;
        file.sync_all()?;
        sync_directory(path)?;
        let text = std::fs::read(path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            // Nothing is to be appended to half a line.
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
            file.sync_all()?;
        }
        let end = End { file, failed: false, lines: 0, rewrite_at: usize::MAX };
        let this = Self { path: path.to_owned(), lines_min, end: Arc::new(Mutex::new(end)) };
        // What cannot be read is said when it is asked for, and not rewritten.
        if let Ok(gates) = this.read() {
            let mut end = this.end();
            end.rewrite_at = this.rewrite_at(0);
            // Written before, and perhaps not synced: that an earlier sync failed, this one would not say (CP-D4).
            if !gates.is_empty() {
                this.rewrite(&mut end, &mut |_| Ok(()))?;
            }
        }
        Ok(this)
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> io::Error {
        let path = self.path.display();
        io::Error::other(format!(
            "an earlier write to {path} failed, so what it holds is unknown; make room, then open it again"
        ))
    }

    fn rewrite_at(&self, ranges: usize) -> usize {
        self.lines_min.max(ranges.saturating_mul(LINES_PER_RANGE))
    }

    fn append(&self, line: &str, told: Told<'_>) -> io::Result<()> {
        let mut end = self.end();
        if end.failed {
            return Err(self.failed());
        }
        let appended = end.file.write_all(line.as_bytes()).and_then(|()| end.file.sync_data());
        end.failed = appended.is_err();
        appended?;
        end.lines += 1;
        if end.lines >= end.rewrite_at
            && let Err(error) = self.rewrite(&mut end, told)
        {
            // The gate is kept; only the file is longer than it need be.
            tracing::warn!(path = %self.path.display(), %error, "closed gates are not rewritten for now");
            end.rewrite_at = end.lines.saturating_mul(2);
        }
        Ok(())
    }

    /// Leaves the newest gate of each range, in a file that takes the place of this one.
    fn rewrite(&self, end: &mut End, told: Told<'_>) -> io::Result<()> {
        let newest = newest(self.read().map_err(io::Error::other)?);
        let beside = beside(&self.path);
        let text: String = newest.values().map(line).collect();
        let replaced = write_anew(&beside, &text, told).and_then(|file| {
            told(Step::Rename)?;
            std::fs::rename(&beside, &self.path)?;
            Ok(file)
        });
        if replaced.is_err() {
            // If it stays, the next rewrite removes it.
            drop(remove(&beside));
        }
        end.file = replaced?;
        (end.lines, end.rewrite_at) = (newest.len(), self.rewrite_at(newest.len()));
        // Until this is done, a power loss may bring the old file back, without what is appended now.
        let synced = told(Step::SyncDirectory).and_then(|()| sync_directory(&self.path));
        end.failed = synced.is_err();
        synced
    }

    fn read(&self) -> Result<Vec<ClosedGate>, Failure> {
        let text = std::fs::read_to_string(&self.path)?;
        let path = self.path.display();
        let damaged = |at: usize| format!("line {} of {path} is damaged; it may hide a closed gate", at + 1);
        text.lines().enumerate().map(|(at, line)| Ok(parse(line).ok_or_else(|| damaged(at))?)).collect()
    }
}

#[async_trait]
impl Closures for ClosureFile {
    async fn keep(&self, gate: &ClosedGate) -> Result<(), Failure> {
        let (this, line) = (self.clone(), line(gate));
        Ok(tokio::task::spawn_blocking(move || this.append(&line, &mut |_| Ok(()))).await??)
    }

    async fn kept(&self) -> Result<Vec<ClosedGate>, Failure> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let end = this.end();
            if end.failed { Err(this.failed().into()) } else { this.read() }
        })
        .await?
    }
}

/// The file at `path`, locked; made if there is none.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let why = format!(
                    "{} is in use; a member has one process that keeps its gates, stop it first",
                    path.display()
                );
                io::Error::new(ErrorKind::WouldBlock, why)
            }
            TryLockError::Error(error) => error,
        })?;
        // Whoever had it may have replaced it just before it was let go of.
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (this, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((this.dev(), this.ino()) == (there.dev(), there.ino()))
}

/// Where the file at `path` is written anew.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file at `path` that holds `text` durably. It is a new one: what a sync that failed
/// has left may pass the next sync without being on the disk (CP-D4).
fn write_anew(path: &Path, text: &str, told: Told<'_>) -> io::Result<File> {
    told(Step::Write)?;
    remove(path)?;
    let mut file = File::options().append(true).create_new(true).open(path)?;
    // Locked before it can be found by the name that it will have.
    file.try_lock()?;
    file.write_all(text.as_bytes())?;
    told(Step::Sync)?;
    file.sync_all()?;
    Ok(file)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Of each range the gate that was closed under the highest epoch.
fn newest(gates: Vec<ClosedGate>) -> BTreeMap<RangeKey, ClosedGate> {
    let mut newest: BTreeMap<RangeKey, ClosedGate> = BTreeMap::new();
    for gate in gates {
        if newest.get(&gate.range).is_none_or(|have| gate.epoch > have.epoch) {
            newest.insert(gate.range.clone(), gate);
        }
    }
    newest
}

pub(super) fn line(gate: &ClosedGate) -> String {
    let ClosedGate { range, epoch, last } = gate;
    let body = format!("{} {} {} {} {}", epoch.0, last.term, last.lsn, range.id.0, range.collection);
    format!("{} {body}\n", checksum(&body))
}

pub(super) fn checksum(body: &str) -> String {
    let hash = blake3::hash(body.as_bytes());
    hash.as_bytes().iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

pub(super) fn parse(line: &str) -> Option<ClosedGate> {
    let (sum, body) = line.split_once(' ')?;
    if sum != checksum(body) {
        return None;
    }
    let mut words = body.splitn(5, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (epoch, term, lsn, id) = (number()?, number()?, number()?, number()?);
    let range = RangeKey::new(CollectionName::new(words.next()?).ok()?, RangeId(id));
    Some(ClosedGate { range, epoch: Epoch(epoch), last: DataPosition { term, lsn } })
}

#[cfg(test)]
mod tests;
