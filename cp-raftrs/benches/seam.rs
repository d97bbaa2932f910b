//! What the seam and all behind it add to a proposal on raft-rs.
//!
//! `cargo bench -p cp-raftrs --bench seam`
#![allow(missing_docs, clippy::expect_used, clippy::disallowed_methods, reason = "a benchmark fails loudly and times")]

#[path = "../../cp-driver/benches/bed/mod.rs"]
mod bed;

use bed::Target;
use bytes::Bytes;
use cp_seam::{ControlPlaneEntry, ControlPlaneEntryKind};
use criterion::{Criterion, criterion_group, criterion_main};
use raft::eraftpb::Entry;
use raft::storage::MemStorage;
use raft::{Config, RawNode};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// raft-rs alone: a task that owns it, and its own storage in memory.
#[derive(Debug, Clone)]
struct Bare(mpsc::Sender<Put>);

#[derive(Debug)]
struct Put {
    entry: ControlPlaneEntry,
    applied: oneshot::Sender<()>,
}

impl Target for Bare {
    async fn put(&self, entry: ControlPlaneEntry) {
        let (applied, told) = oneshot::channel();
        self.0.send(Put { entry, applied }).await.expect("it runs");
        told.await.expect("applied");
    }
}

async fn bare() -> Bare {
    let (puts, queue) = mpsc::channel(1024);
    let config = Config { id: 1, election_tick: 10, heartbeat_tick: 1, ..Config::default() };
    let storage = MemStorage::new_with_conf_state((vec![1], vec![]));
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let mut node = RawNode::new(&config, storage, &logger).expect("a node");
    node.campaign().expect("it stands");
    tokio::spawn(run(node, queue));
    Bare(puts)
}

/// The loop of raft-rs's own example: take in, write, apply.
async fn run(mut node: RawNode<MemStorage>, mut queue: mpsc::Receiver<Put>) {
    let mut clock = tokio::time::interval(Duration::from_millis(25));
    let mut waiting = VecDeque::new();
    settle(&mut node, &mut waiting);
    loop {
        tokio::select! {
            biased;
            _ = clock.tick() => {
                node.tick();
            }
            put = queue.recv() => match put {
                Some(put) => {
                    let mut next = Some(put);
                    while let Some(put) = next.take().or_else(|| queue.try_recv().ok()) {
                        propose(&mut node, put.entry);
                        waiting.push_back(put.applied);
                    }
                }
                None => return,
            }
        }
        settle(&mut node, &mut waiting);
    }
}

fn propose(node: &mut RawNode<MemStorage>, entry: ControlPlaneEntry) {
    let kind: &[u8] = match entry.kind() {
        ControlPlaneEntryKind::MembershipChange => &[1],
        ControlPlaneEntryKind::OwnershipTransition => &[2],
    };
    let mut message = raft::eraftpb::Message::default();
    message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
    message.from = 1;
    let data = entry.payload().as_bytes().clone();
    message.set_entries(vec![Entry { data, context: Bytes::from_static(kind), ..Entry::default() }].into());
    node.raft.step(message).expect("it leads");
}

fn settle(node: &mut RawNode<MemStorage>, waiting: &mut VecDeque<oneshot::Sender<()>>) {
    while node.has_ready() {
        let mut ready = node.ready();
        apply(ready.take_committed_entries(), waiting);
        let mut storage = node.mut_store().wl();
        storage.append(ready.entries()).expect("in order");
        if let Some(state) = ready.hs() {
            storage.set_hardstate(state.clone());
        }
        drop(storage);
        let mut light = node.advance(ready);
        if let Some(committed) = light.commit_index() {
            node.mut_store().wl().mut_hard_state().commit = committed;
        }
        apply(light.take_committed_entries(), waiting);
        node.advance_apply();
    }
}

/// The state machine: whoever waits is told.
fn apply(entries: Vec<Entry>, waiting: &mut VecDeque<oneshot::Sender<()>>) {
    for entry in entries.iter().filter(|entry| !entry.data.is_empty()) {
        let told = waiting.pop_front().map(|waiting| waiting.send(()));
        assert_eq!(told, Some(Ok(())), "entry {} is waited for", entry.index);
    }
}

fn seam(criterion: &mut Criterion) {
    let adapter = |parts| async { cp_raftrs::start(parts).await.expect("started") };
    bed::compare(criterion, cp_raftrs::ENGINE, bare, adapter);
}

criterion_group!(benches, seam);
criterion_main!(benches);
