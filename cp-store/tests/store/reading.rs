//! Reading while segments are absorbed.

use crate::common::*;
use crate::crash::large;
use crate::recorder::{Recorder, Stuck};
use cp_seam::{ControlPlaneLogIndex as Index, LastVoteStore};
use cp_store::{Batch, Expected, Layout, LogRecord, Store, Writer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

fn open(disk: &Recorder) -> Store {
    Store::open(Arc::new(disk.clone()), &Expected::default(), Writer::Thread).expect("opens")
}

/// Durable when it returns.
fn append(store: &Store, records: Vec<LogRecord>) {
    let (told, asked) = channel();
    let batch = Batch { append: records, ..Batch::default() };
    store.submit_then(batch, move |result| drop(told.send(result))).expect("accepted");
    asked.recv().expect("answered").expect("durable");
}

fn indexes(read: &[LogRecord]) -> Vec<u64> {
    read.iter().map(|record| record.position.index.0).collect()
}

/// redb holds a lock of its own while its file grows. A reader waits for that, and nobody for the reader.
#[test]
fn a_reader_that_waits_for_the_database_keeps_no_writer_waiting() {
    let disk = Recorder::new();
    Store::create_with(&disk, &identity(), genesis(), Layout { segment_bytes: 1 << 20 }).expect("creates");
    let store = open(&disk);
    append(&store, records(1, 1..=3));
    drop(store);
    disk.until_free();
    let store = open(&disk);
    disk.stick(Some(Stuck::Growth(disk.inode("state.redb"))));
    // Some of them fill a segment.
    (4..=30).for_each(|index| append(&store, vec![large(1, index)]));
    disk.until_stuck();
    let reader = store.clone();
    let reader = std::thread::spawn(move || reader.read(Index(1)..Index(100), usize::MAX));
    let (told, asked) = channel();
    let writer = store.clone();
    let writer = std::thread::spawn(move || {
        for term in 1..=50 {
            writer.persist(vote(term, 1)).expect("durable");
        }
        told.send(()).expect("asked");
    });
    let written = asked.recv_timeout(Duration::from_secs(10));
    let waits = !reader.is_finished();
    disk.stick(None);
    let read = reader.join().expect("reads").expect("reads");
    writer.join().expect("writes");
    written.expect("the writer waited for a reader");
    assert!(waits, "the reader had nothing to wait for");
    assert_eq!(indexes(&read), (1..=30).collect::<Vec<_>>());
}

/// Of a record that moves from the one place to the other, readers see no gap.
#[test]
fn readers_find_every_record_while_segments_are_absorbed() {
    let disk = Recorder::new();
    create(&disk);
    let store = open(&disk);
    append(&store, records(1, 1..=20));
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let read = || {
            let mut read = 0;
            while goes_on.load(Ordering::SeqCst) {
                let last = store.last().index.0;
                let found = store.read(Index(1)..Index(u64::MAX), usize::MAX).expect("reads");
                assert!(found.len() as u64 >= last, "{} of {last}", found.len());
                assert_eq!(indexes(&found), (1..=found.len() as u64).collect::<Vec<_>>());
                read += 1;
            }
            read
        };
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        (21..=400).for_each(|index| append(&store, records(1, index..=index)));
        goes_on.store(false, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().expect("reads") > 0);
        }
    });
}
