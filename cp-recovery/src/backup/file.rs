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

/// Writes a backup under a temporary name, reads it back, and gives it its name:
/// a file of this name is whole, verified and durable. `chunks` gives them in order.
pub fn save<E: From<FileError>>(
    path: &Path,
    meta: &BackupMeta,
    chunks: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E>,
) -> Result<Backup, E> {
    let failed = |source: BackupError| E::from(FileError::Backup { path: path.display().to_string(), source });
    let io = |error: std::io::Error| failed(error.into());
    if path.exists() {
        return Err(FileError::Exists { path: path.display().to_string() }.into());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let file = File::create(&temporary).map_err(io)?;
    let mut writer = Writer::begin(BufWriter::new(file), meta).map_err(failed)?;
    chunks(&mut |chunk| writer.push(chunk).map_err(failed))?;
    let buffered = writer.finish().map_err(failed)?;
    buffered.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)?;
    let back = read(&temporary).map_err(failed)?;
    back.catalog().map_err(failed)?;
    fs::rename(&temporary, path).map_err(io)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(io)?;
    Ok(back)
}

/// Reads and verifies the backup at `path`, its state included.
pub fn load(path: &Path) -> Result<Backup, FileError> {
    let failed = |source| FileError::Backup { path: path.display().to_string(), source };
    let backup = read(path).map_err(failed)?;
    backup.catalog().map_err(failed)?;
    Ok(backup)
}

fn read(path: &Path) -> Result<Backup, BackupError> {
    Backup::read(BufReader::new(File::open(path)?))
}
