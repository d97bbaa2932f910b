//! The gates that a member has closed, where they outlive its process.

use async_trait::async_trait;
use cp_catalog::{ClosedGate, CollectionName, DataPosition, Epoch, RangeId, RangeKey};
use std::fmt::{Debug, Write as _};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why closed gates could not be kept, or read.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where a member keeps the gates that it has closed, best beside the data that they are about.
///
/// A closed gate is the member's word that nothing follows its last write. It is passed on once
/// it is kept, and a member that restarts must not write again where its word was given.
/// [`ClosureFile`] is one for members that have nothing better.
#[async_trait]
pub trait Closures: Debug + Send + Sync + 'static {
    /// Makes `gate` durable: on the disk, when it returns. One of a higher epoch may take its
    /// place, never one of a lower: they may come in any order. Dropping the future leaves open
    /// whether it is.
    async fn keep(&self, range: &RangeKey, gate: ClosedGate) -> Result<(), Failure>;

    /// Everything that was kept, in any order. Also what is out of date by now.
    async fn kept(&self) -> Result<Vec<(RangeKey, ClosedGate)>, Failure>;
}

/// Closed gates in a file of their own: a line each, synced before it counts.
///
/// A line that a crash has cut short at the end was never passed on and is dropped. Any other
/// damage is an error: it could hide a gate. The file grows by some hundred bytes a closed gate.
///
/// It is locked while it is open, so that no second process of the member keeps gates by it. After
/// an append that failed it takes no more until it is opened again: what is on the disk then is
/// unknown (CP-D4).
#[derive(Debug, Clone)]
pub struct ClosureFile {
    path: PathBuf,
    end: Arc<Mutex<End>>,
}

/// Where lines are appended.
#[derive(Debug)]
struct End {
    file: File,
    failed: bool,
}

impl ClosureFile {
    /// The file at `path`; an empty one, durably, if there is none. Blocks on the disk.
    ///
    /// Errors: that of the disk, or [`WouldBlock`](ErrorKind::WouldBlock) while it is open elsewhere.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let why = format!(
                    "{} is in use; a member has one process that keeps its gates, stop it first",
                    path.display()
                );
                std::io::Error::new(ErrorKind::WouldBlock, why)
            }
            TryLockError::Error(error) => error,
        })?;
        file.sync_all()?;
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        let this = Self { path: path.to_owned(), end: Arc::new(Mutex::new(End { file, failed: false })) };
        this.cut_torn_line()?;
        Ok(this)
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is to be appended to half a line.
    fn cut_torn_line(&self) -> std::io::Result<()> {
        let text = std::fs::read(&self.path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            let end = self.end();
            end.file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
            end.file.sync_all()?;
        }
        Ok(())
    }

    fn append(&self, line: &str) -> std::io::Result<()> {
        let mut end = self.end();
        if end.failed {
            let path = self.path.display();
            let why =
                format!("an earlier append to {path} failed, so its end is unknown; make room, then open it again");
            return Err(std::io::Error::other(why));
        }
        let appended = end.file.write_all(line.as_bytes()).and_then(|()| end.file.sync_data());
        end.failed = appended.is_err();
        appended
    }

    fn read(&self) -> Result<Vec<(RangeKey, ClosedGate)>, Failure> {
        let mut text = String::new();
        File::open(&self.path)?.read_to_string(&mut text)?;
        let path = self.path.display();
        let damaged = |at: usize| format!("line {} of {path} is damaged; it may hide a closed gate", at + 1);
        text.lines().enumerate().map(|(at, line)| Ok(parse(line).ok_or_else(|| damaged(at))?)).collect()
    }
}

#[async_trait]
impl Closures for ClosureFile {
    async fn keep(&self, range: &RangeKey, gate: ClosedGate) -> Result<(), Failure> {
        let (this, line) = (self.clone(), line(range, gate));
        Ok(tokio::task::spawn_blocking(move || this.append(&line)).await??)
    }

    async fn kept(&self) -> Result<Vec<(RangeKey, ClosedGate)>, Failure> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.read()).await?
    }
}

fn line(range: &RangeKey, gate: ClosedGate) -> String {
    let ClosedGate { epoch, last } = gate;
    let body = format!("{} {} {} {} {}", epoch.0, last.term, last.lsn, range.id.0, range.collection);
    format!("{} {body}\n", checksum(&body))
}

fn checksum(body: &str) -> String {
    let hash = blake3::hash(body.as_bytes());
    hash.as_bytes().iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

fn parse(line: &str) -> Option<(RangeKey, ClosedGate)> {
    let (sum, body) = line.split_once(' ')?;
    if sum != checksum(body) {
        return None;
    }
    let mut words = body.splitn(5, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (epoch, term, lsn, id) = (number()?, number()?, number()?, number()?);
    let collection = CollectionName::new(words.next()?).ok()?;
    let gate = ClosedGate { epoch: Epoch(epoch), last: DataPosition { term, lsn } };
    Some((RangeKey::new(collection, RangeId(id)), gate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(id: u64) -> (RangeKey, ClosedGate) {
        let key = RangeKey::new(CollectionName::new("books").unwrap(), RangeId(id));
        (key, ClosedGate { epoch: Epoch(1 << 48 | id), last: DataPosition { term: 2, lsn: 3 } })
    }

    #[tokio::test]
    async fn what_was_kept_is_there_again_and_half_a_line_is_not() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("closed");
        for (number, torn) in [(1, "0123"), (2, ""), (3, "")] {
            let file = ClosureFile::open(&path).unwrap();
            let (range, gate) = closed(number);
            file.keep(&range, gate).await.unwrap();
            assert_eq!(file.kept().await.unwrap(), (1..=number).map(closed).collect::<Vec<_>>());
            File::options().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("books", "boots", 1)).unwrap();
        let damaged = ClosureFile::open(&path).unwrap().kept().await.unwrap_err().to_string();
        assert!(damaged.contains("line 1") && damaged.contains("damaged"), "{damaged}");
    }

    #[tokio::test]
    async fn after_an_append_that_failed_none_is_taken_before_the_file_is_opened_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("closed");
        let file = ClosureFile::open(&path).unwrap();
        let [first, second, third] = [1, 2, 3].map(closed);
        file.keep(&first.0, first.1).await.unwrap();
        // The disk takes half a line, and then no more.
        let writable = std::mem::replace(&mut file.end().file, File::open(&path).unwrap());
        (&writable).write_all(b"0123").unwrap();
        file.keep(&second.0, second.1).await.unwrap_err();
        file.end().file = writable;
        let refused = file.keep(&third.0, third.1).await.unwrap_err().to_string();
        assert!(refused.contains("open it again"), "{refused}");
        drop(file);
        let file = ClosureFile::open(&path).unwrap();
        file.keep(&third.0, third.1).await.unwrap();
        assert_eq!(file.kept().await.unwrap(), [first, third]);
    }

    #[tokio::test]
    async fn nobody_else_opens_it_meanwhile_or_cuts_what_is_being_appended() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("closed");
        let file = ClosureFile::open(&path).unwrap();
        file.end().file.write_all(b"0123").unwrap();
        let refused = ClosureFile::open(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock, "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"0123");
        drop(file);
        ClosureFile::open(&path).unwrap();
    }
}
