//! What a newer release wrote is refused, wherever it is, and nothing is changed.

use crate::backend::Directory;
use crate::base::{self, Base};
use crate::batch::Batch;
use crate::codec::repair;
use crate::error::OpenError;
use crate::founded::founded;
use crate::identity::{self, Expected};
use crate::memory::MemoryDirectory;
use crate::offline::Offline;
use crate::record::{LogRecord, RecordBody};
use crate::store::{Store, Writer};
use crate::{snapshot_file, wal};
use cp_seam::{ControlPlaneLogIndex, LogPosition, Term};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is left when power is lost after one more record.
fn append(dir: &MemoryDirectory, index: u64) -> MemoryDirectory {
    let store = Store::open(Arc::new(dir.clone()), &Expected::default(), Writer::Thread).unwrap();
    let position = LogPosition::new(Term(1), ControlPlaneLogIndex(index));
    let batch = Batch { append: vec![LogRecord { position, body: RecordBody::Blank }], ..Batch::default() };
    let (done, asked) = std::sync::mpsc::channel();
    store.submit_then(batch, move |result| drop(done.send(result))).unwrap();
    asked.recv().unwrap().unwrap();
    store.abandon();
    dir.crash()
}

/// One record in the database, and one in the write-ahead log.
fn directory() -> MemoryDirectory {
    append(&append(&founded(), 1), 2)
}

fn bytes(dir: &MemoryDirectory, name: &str) -> Vec<u8> {
    let file = dir.open(name).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn image(dir: &MemoryDirectory) -> BTreeMap<String, Vec<u8>> {
    dir.list().unwrap().into_iter().map(|name| (name.clone(), bytes(dir, &name))).collect()
}

/// What the next format would look like: its number, and a checksum that is right.
fn raise(sealed: &mut [u8]) {
    assert_eq!(sealed[1], 1);
    sealed[1] = 2;
    repair(sealed);
}

/// Whoever opens it is told the file and the format, and every byte is as before.
fn refused(dir: &MemoryDirectory, name: &str) {
    let before = image(dir);
    let shared = || Arc::new(dir.clone());
    let openings = [
        Store::open(shared(), &Expected::default(), Writer::Thread).err(),
        Store::inspect(dir).err(),
        Offline::open(shared()).err(),
    ];
    for error in openings {
        let named = matches!(&error, Some(OpenError::Newer { file, found: 2, known: 1 }) if file == name);
        assert!(named, "{name}: {error:?}");
    }
    assert!(image(dir) == before, "{name} was refused, and the directory changed");
}

/// `edit` changes the bytes of the file called `name`.
fn edited(name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> MemoryDirectory {
    let dir = directory();
    let mut content = bytes(&dir, name);
    edit(&mut content);
    dir.open(name).unwrap().write_at(0, &content).unwrap();
    dir
}

#[test]
fn a_newer_identity() {
    refused(&edited(identity::NAME, |content| raise(content)), identity::NAME);
}

#[test]
fn a_newer_state_and_newer_log_records() {
    for of_the_log in [false, true] {
        let dir = directory();
        let base = Base::open(dir.open(base::NAME).unwrap()).unwrap();
        base.tamper(of_the_log, |sealed| raise(sealed));
        base.close().unwrap();
        refused(&dir, base::NAME);
    }
}

/// The segment in use: each opening begins a lap.
fn current(dir: &MemoryDirectory) -> &'static str {
    wal::name(Base::open(dir.open(base::NAME).unwrap()).unwrap().state().unwrap().lap)
}

#[test]
fn a_newer_segment() {
    let name = current(&directory());
    let dir = edited(name, |content| {
        for block in content.chunks_mut(wal::BLOCK_BYTES).take(2) {
            let (length, sealed) = block.split_first_chunk_mut::<4>().unwrap();
            raise(&mut sealed[..usize::try_from(u32::from_le_bytes(*length)).unwrap()]);
        }
    });
    refused(&dir, name);
}

#[test]
fn a_newer_group_of_writes() {
    let name = current(&directory());
    let mut raised = 0;
    let dir = edited(name, |content| {
        for block in content.chunks_mut(wal::BLOCK_BYTES) {
            let segment = MemoryDirectory::new().create("segment").unwrap();
            segment.write_at(0, block).unwrap();
            if let Some((lap, seq, start, mut group)) = wal::read_frame(segment.as_ref()) {
                raise(&mut group);
                block.copy_from_slice(&wal::encode(lap, seq, start, &group));
                raised += 1;
            }
        }
    });
    assert!(raised >= 4, "two frames, each twice");
    refused(&dir, name);
}

#[test]
fn a_newer_snapshot_footer() {
    let name = snapshot_file::name(0, 0);
    let dir = edited(&name, |content| {
        let end = content.len() - 16;
        let (rest, trailer) = content.split_at_mut(end);
        let length = usize::try_from(u64::from_le_bytes(trailer[..8].try_into().unwrap())).unwrap();
        let start = rest.len() - length;
        raise(&mut rest[start..]);
    });
    refused(&dir, &name);
}
