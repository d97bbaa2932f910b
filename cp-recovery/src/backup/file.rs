//! Backups as files of the file system.

use super::{Backup, BackupError, BackupMeta, Writer};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind};
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

/// A backup being written under a temporary name beside its own, which goes when this does.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    temporary: Temporary,
    writer: Writer<BufWriter<File>>,
}

impl Draft {
    /// Begins a backup of the state that `meta` describes.
    ///
    /// Errors: there is a file at `path`, or the disk failed.
    pub fn begin(path: &Path, meta: &BackupMeta) -> Result<Self, FileError> {
        if path.exists() {
            return Err(exists(path));
        }
        let begun = Temporary::beside(path).map_err(BackupError::from);
        let (temporary, file) = begun.map_err(failed(path))?;
        let writer = Writer::begin(BufWriter::new(file), meta).map_err(failed(path))?;
        Ok(Self { path: path.to_owned(), temporary, writer })
    }

    /// Adds the next chunk of the state.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), FileError> {
        self.writer.push(chunk).map_err(failed(&self.path))
    }

    /// Reads it back and gives it its name: a file of this name is whole, verified and
    /// durable. The state may break an invariant; it is kept as it is.
    ///
    /// Errors: another has the name by now, or the disk failed.
    pub fn finish(self) -> Result<Backup, FileError> {
        let Self { path, temporary, writer } = self;
        let back = settle(&temporary, writer).map_err(failed(&path))?;
        // A rename would take the place of a file that has come since; a link does not.
        match fs::hard_link(&temporary.0, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&path)),
            linked => linked.map_err(|error| failed(&path)(error.into()))?,
        }
        drop(temporary);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let named = File::open(parent).and_then(|parent| parent.sync_all());
        named.map_err(|error| failed(&path)(error.into()))?;
        Ok(back)
    }
}

fn settle(temporary: &Temporary, writer: Writer<BufWriter<File>>) -> Result<Backup, BackupError> {
    writer.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    let back = read(&temporary.0)?;
    back.state()?;
    Ok(back)
}

/// The name of an unfinished file, which nobody else has, and which is removed at the end.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Temporary {
    /// How many leftovers of processes that had this one's number are stepped over.
    const TRIES: u32 = 1000;

    fn beside(path: &Path) -> io::Result<(Self, File)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        for number in 0..Self::TRIES {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{number}.tmp", std::process::id()));
            let candidate = path.with_file_name(hidden);
            match File::options().write(true).create_new(true).open(&candidate) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (Self(candidate), file)),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way.
        drop(fs::remove_file(&self.0));
    }
}

fn exists(path: &Path) -> FileError {
    FileError::Exists { path: path.display().to_string() }
}

fn failed(path: &Path) -> impl FnOnce(BackupError) -> FileError {
    let path = path.display().to_string();
    move |source| FileError::Backup { path, source }
}

/// Reads and verifies the backup at `path`: its state is what was kept. Whether one may go
/// on from that is [`Backup::catalog`]'s to say.
pub fn load(path: &Path) -> Result<Backup, FileError> {
    let backup = read(path).map_err(failed(path))?;
    backup.state().map_err(failed(path))?;
    Ok(backup)
}

fn read(path: &Path) -> Result<Backup, BackupError> {
    Backup::read(BufReader::new(File::open(path)?))
}
