//! Backups as files of the file system.

use super::{Backup, BackupError, BackupMeta, Writer};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

/// A file that was not written or cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is one already.
    #[error("{path} exists; backups are never overwritten, name another file")]
    Exists {
        /// Which.
        path: String,
    },
    /// It is no backup, or the disk failed.
    #[error("{path}")]
    Backup {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: BackupError,
    },
}

/// A backup being written under a temporary name. One that is dropped leaves that.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    writer: Writer<BufWriter<File>>,
}

impl Draft {
    /// Begins a backup of the state that `meta` describes.
    ///
    /// Errors: there is a file at `path`, or the disk failed.
    pub fn begin(path: &Path, meta: &BackupMeta) -> Result<Self, FileError> {
        if path.exists() {
            return Err(FileError::Exists { path: path.display().to_string() });
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let begun = File::create(&temporary).map_err(BackupError::from);
        let writer = begun.and_then(|file| Writer::begin(BufWriter::new(file), meta)).map_err(failed(path))?;
        Ok(Self { path: path.to_owned(), temporary, writer })
    }

    /// Adds the next chunk of the state.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), FileError> {
        self.writer.push(chunk).map_err(failed(&self.path))
    }

    /// Reads it back and gives it its name: a file of this name is whole, verified and durable.
    pub fn finish(self) -> Result<Backup, FileError> {
        let Self { path, temporary, writer } = self;
        settle(&path, &temporary, writer).map_err(failed(&path))
    }
}

fn settle(path: &Path, temporary: &Path, writer: Writer<BufWriter<File>>) -> Result<Backup, BackupError> {
    writer.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    let back = read(temporary)?;
    back.catalog()?;
    fs::rename(temporary, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()?;
    Ok(back)
}

fn failed(path: &Path) -> impl FnOnce(BackupError) -> FileError {
    let path = path.display().to_string();
    move |source| FileError::Backup { path, source }
}

/// Reads and verifies the backup at `path`, its state included.
pub fn load(path: &Path) -> Result<Backup, FileError> {
    let backup = read(path).map_err(failed(path))?;
    backup.catalog().map_err(failed(path))?;
    Ok(backup)
}

fn read(path: &Path) -> Result<Backup, BackupError> {
    Backup::read(BufReader::new(File::open(path)?))
}
