//! Why a file cannot be used, before it is known what the caller makes of it.

use crate::codec::{Bad, FORMAT};
use crate::error::{CreateError, Failure, OpenError};
use std::io;
use std::sync::Arc;

/// The disk failed, or what it holds is not usable.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Bad(Bad),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Bad> for Fault {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl Fault {
    pub(crate) fn opening(self, file: &str) -> OpenError {
        let file = file.to_owned();
        match self {
            Self::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                OpenError::Damaged { file, what: "it is shorter than it was".to_owned() }
            }
            Self::Io(source) => OpenError::Io { file, source },
            Self::Bad(Bad::Newer(found)) => OpenError::Newer { file, found: found.into(), known: FORMAT.into() },
            Self::Bad(Bad::Damaged(what)) => OpenError::Damaged { file, what },
        }
    }

    pub(crate) fn creating(self, file: &str) -> CreateError {
        let source = match self {
            Self::Io(source) => source,
            Self::Bad(bad) => io::Error::other(format!("{bad:?}")),
        };
        CreateError::Io { file: file.to_owned(), source }
    }

    /// The end of a running store.
    pub(crate) fn failing(self, doing: impl Into<String>) -> Failure {
        let what = doing.into();
        match self {
            Self::Io(source) => Failure { what, source: Some(Arc::new(source)) },
            Self::Bad(Bad::Newer(format)) => {
                Failure { what: format!("{what}: format {format} is newer"), source: None }
            }
            Self::Bad(Bad::Damaged(why)) => Failure { what: format!("{what}: {why}"), source: None },
        }
    }
}

/// redb's errors, told apart by what follows from them.
pub(crate) fn redb(error: impl Into<redb::Error>) -> Fault {
    match error.into() {
        redb::Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => Fault::Bad(Bad::Damaged(e.to_string())),
        redb::Error::Io(e) => Fault::Io(e),
        redb::Error::PreviousIo => Fault::Io(io::Error::other("an earlier read or write of the database failed")),
        redb::Error::UpgradeRequired(format) => {
            Fault::Bad(Bad::damaged(format!("the database has the old format {format}")))
        }
        other => Fault::Bad(Bad::Damaged(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_is_damaged_and_a_failing_disk_is_not() {
        let opening = |kind: io::ErrorKind| Fault::from(io::Error::from(kind)).opening("wal-0");
        assert!(matches!(opening(io::ErrorKind::UnexpectedEof), OpenError::Damaged { file, .. } if file == "wal-0"));
        assert!(matches!(opening(io::ErrorKind::PermissionDenied), OpenError::Io { file, .. } if file == "wal-0"));
    }

    #[test]
    fn what_redb_finds_wrong_is_damage_and_what_the_disk_refuses_is_not() {
        let of = |kind: io::ErrorKind| redb(redb::Error::Io(kind.into()));
        assert!(matches!(of(io::ErrorKind::InvalidData), Fault::Bad(Bad::Damaged(_))));
        assert!(matches!(of(io::ErrorKind::PermissionDenied), Fault::Io(_)));
        assert!(matches!(redb(redb::Error::PreviousIo), Fault::Io(_)));
        assert!(matches!(redb(redb::Error::Corrupted("x".to_owned())), Fault::Bad(Bad::Damaged(_))));
    }
}
