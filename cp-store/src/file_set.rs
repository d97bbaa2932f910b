//! Which files are the node's: the identity file says it, so that replacing it
//! replaces them all at once.
//!
//! A directory is made with file set 0, whose files have their plain names.
//! A recovery writes set 1, `1.state.redb` and so on, beside it, and then the
//! identity file that names it. Files of any other set are leftovers.

use crate::backend::{Directory, File};
use crate::identity::Identity;
use crate::{base, identity, snapshot_file, wal};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// A node's identity, and where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) identity: Identity,
    pub(crate) set: u32,
}

impl Deref for Home {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// The name on disk of the file that is called `name` in `set`.
pub(crate) fn on_disk(set: u32, name: &str) -> String {
    if set == 0 { name.to_owned() } else { format!("{set}.{name}") }
}

/// The set of the file, and what it is called there; `None` if it is none of a set's.
/// Exactly the names that the store gives: what else lies here is not its to remove.
fn placed(on_disk: &str) -> Option<(u32, &str)> {
    let set = |text: &str| snapshot_file::number(text).filter(|set| *set > 0);
    let numbered = on_disk.split_once('.').and_then(|(text, name)| Some((set(text)?, name)));
    let (set, name) = numbered.unwrap_or((0, on_disk));
    let settled = snapshot_file::settled(name);
    let ours = wal::NAMES.contains(&name) || settled == base::NAME || snapshot_file::is_name(settled);
    ours.then_some((set, name))
}

/// Removes the files of the sets for which `gone` holds.
pub(crate) fn remove_sets(dir: &dyn Directory, gone: impl Fn(u32) -> bool) -> io::Result<()> {
    for name in dir.list()? {
        if placed(&name).is_some_and(|(set, _)| gone(set)) {
            dir.remove(&name)?;
        }
    }
    Ok(())
}

/// A directory seen as if it had one set of files only.
pub(crate) struct Scoped {
    dir: Arc<dyn Directory>,
    set: u32,
}

impl Scoped {
    pub(crate) fn new(dir: Arc<dyn Directory>, set: u32) -> Self {
        Self { dir, set }
    }

    fn on_disk(&self, name: &str) -> String {
        // The identity file and its temporary belong to no set.
        if name.starts_with(identity::NAME) { name.to_owned() } else { on_disk(self.set, name) }
    }
}

impl fmt::Debug for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dir.fmt(f)
    }
}

impl Directory for Scoped {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.dir.open(&self.on_disk(name))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.dir.create(&self.on_disk(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(&self.on_disk(from), &self.on_disk(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove(&self.on_disk(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.dir.list()?;
        let here = |name: &String| placed(name).filter(|(set, _)| *set == self.set).map(|(_, name)| name.to_owned());
        Ok(names.iter().filter_map(here).collect())
    }

    fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }

    fn lock(&self) -> io::Result<Box<dyn fmt::Debug + Send + Sync>> {
        self.dir.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_of_which_set_it_is() {
        for (name, expected) in [
            ("state.redb", Some((0, "state.redb"))),
            ("wal-1", Some((0, "wal-1"))),
            ("12.wal-1", Some((12, "wal-1"))),
            ("3.snapshot-4-5.tmp", Some((3, "snapshot-4-5.tmp"))),
            ("identity", None),
            ("identity.tmp", None),
            ("lock", None),
            ("1.lock", None),
            ("x.wal-0", None),
            ("state.redb.tmp", Some((0, "state.redb.tmp"))),
            ("snapshot-18446744073709551615-0", Some((0, "snapshot-18446744073709551615-0"))),
            // An operator's own, however much they look like the store's.
            ("state.redb.bak", None),
            ("state.redb.tmp.tmp", None),
            ("wal-0.tmp", None),
            ("wal-2", None),
            ("wal-00", None),
            ("0.wal-0", None),
            ("01.wal-0", None),
            ("+1.wal-0", None),
            ("1.2.wal-0", None),
            ("4294967296.wal-0", None),
            ("snapshot-", None),
            ("snapshot-1", None),
            ("snapshot-1-", None),
            ("snapshot-1-2-3", None),
            ("snapshot-01-2", None),
            ("snapshot-+1-2", None),
            ("snapshot-1-2.bak", None),
            ("snapshot-notes.txt", None),
            ("2025.snapshot-notes", None),
        ] {
            assert_eq!(placed(name), expected, "{name}");
            if let Some((set, name_in_set)) = expected {
                assert_eq!(on_disk(set, name_in_set), name);
            }
        }
    }
}
