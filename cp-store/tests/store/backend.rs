//! Both directories keep the contract, and what a directory refuses is told apart.

use crate::common::*;
use cp_seam::LastVote;
use cp_store::{CreateError, Directory, DiskDirectory, Expected, File, MemoryDirectory, Offline, OpenError, Store};
use std::io::{self, ErrorKind};
use std::sync::Arc;

fn keeps_the_contract(dir: &dyn Directory) {
    let kind = |error: io::Error| error.kind();
    assert_eq!(dir.list().expect("lists"), Vec::<String>::new());
    assert_eq!(dir.open("a").err().map(kind), Some(ErrorKind::NotFound));
    assert_eq!(dir.remove("a").err().map(kind), Some(ErrorKind::NotFound));
    let file = dir.create("a").expect("creates");
    assert_eq!(dir.create("a").err().map(kind), Some(ErrorKind::AlreadyExists));
    assert!(file.is_empty().expect("knows"));
    file.write_at(3, b"def").expect("writes");
    assert_eq!((file.len().expect("knows"), file.is_empty().expect("knows")), (6, false));
    file.write_at(0, b"abc").expect("writes");
    file.write_at(6, b"").expect("writes nothing");
    let mut read = [0; 4];
    file.read_at(2, &mut read).expect("reads");
    assert_eq!(&read, b"cdef");
    assert_eq!(file.read_at(3, &mut read).err().map(kind), Some(ErrorKind::UnexpectedEof));
    file.set_len(2).expect("cuts");
    file.set_len(4).expect("grows");
    file.read_at(0, &mut read).expect("reads");
    assert_eq!(&read, b"ab\0\0");
    file.sync_data().expect("syncs");
    drop(dir.create("c").expect("creates"));
    dir.rename("a", "b").expect("renames");
    assert_eq!(dir.list().expect("lists"), ["b", "c"]);
    dir.rename("b", "c").expect("replaces");
    assert_eq!(dir.list().expect("lists"), ["c"]);
    assert_eq!(dir.open("c").expect("opens").len().expect("knows"), 4);
    dir.sync().expect("syncs");
    let guard = dir.lock().expect("free");
    assert_eq!(dir.lock().err().map(kind), Some(ErrorKind::WouldBlock));
    drop(guard);
    drop(dir.lock().expect("free again"));
    dir.remove("c").expect("removes");
}

#[test]
fn a_directory_in_memory_does() {
    keeps_the_contract(&MemoryDirectory::new());
}

#[test]
fn a_directory_on_disk_does() {
    let root = std::env::temp_dir().join(format!("cp-store-backend-{}", std::process::id()));
    let path = root.join("above").join("here");
    let dir = DiskDirectory::make(&path).expect("makes what is above it too");
    keeps_the_contract(&dir);
    DiskDirectory::make(&path).expect("is there already");
    std::fs::remove_dir_all(&root).expect("removes");
}

/// What only looks needs no right to write, and has none: every file is opened for
/// reading alone, and the lock is taken on the directory.
#[test]
fn a_directory_on_disk_can_be_read_and_held_without_writing() {
    let kind = |error: io::Error| error.kind();
    let path = std::env::temp_dir().join(format!("cp-store-read-only-{}", std::process::id()));
    let whole = DiskDirectory::make(&path).expect("makes");
    create(&whole);
    let listed = whole.list().expect("lists");
    assert!(!listed.contains(&"lock".to_owned()), "{listed:?}");
    let read_only = DiskDirectory::read_only(&path);
    let offline = Offline::open(Arc::new(read_only.clone())).expect("opens");
    assert_eq!(offline.inspection().identity, identity());
    assert_eq!(whole.lock().err().map(kind), Some(ErrorKind::WouldBlock), "it is held against who writes");
    drop(offline);
    let held = whole.lock().expect("free again");
    assert!(matches!(Offline::open(Arc::new(read_only.clone())), Err(OpenError::Busy { .. })));
    drop(held);
    for refused in [
        read_only.create("x").map(drop),
        read_only.rename("identity", "x"),
        read_only.remove("identity"),
        read_only.open("identity").expect("opens").write_at(0, b"x"),
        read_only.open("identity").expect("opens").set_len(0),
    ] {
        assert!(refused.is_err());
    }
    let offline = Offline::open(Arc::new(read_only)).expect("opens");
    let founding = genesis();
    assert!(offline.replace(&identity(), founding, LastVote::default()).is_err());
    assert_eq!(whole.list().expect("lists"), listed);
    std::fs::remove_dir_all(&path).expect("removes");
}

/// A directory that opens, or removes, nothing.
#[derive(Debug)]
struct Refusing {
    dir: MemoryDirectory,
    opens: bool,
}

impl Directory for Refusing {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        if self.opens { self.dir.open(name) } else { Err(ErrorKind::PermissionDenied.into()) }
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.dir.create(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, to)
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.dir.list()
    }
    fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }
    fn lock(&self) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        self.dir.lock()
    }
}

#[test]
fn an_identity_that_cannot_be_read_is_not_an_absent_one() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let refusing = Refusing { dir, opens: false };
    let refused = Store::open(Arc::new(refusing), &Expected::default(), instant()).expect_err("cannot be read");
    assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
}

#[test]
fn a_leftover_that_cannot_be_removed_ends_the_creation() {
    let refusing = Refusing { dir: MemoryDirectory::new(), opens: true };
    let refused = Store::create(&refusing, &identity(), genesis()).expect_err("cannot be removed");
    assert!(matches!(refused, CreateError::Io { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_expected_node_is_opened() {
    let dir = MemoryDirectory::new();
    create(&dir);
    let expected = Expected { cluster: Some(identity().cluster), member: Some(identity().member) };
    let store = Store::open(Arc::new(dir), &expected, instant()).expect("is the one");
    store.close().await.expect("closes");
}
