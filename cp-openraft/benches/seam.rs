//! What the seam and all behind it add to a proposal on openraft.
//!
//! `cargo bench -p cp-openraft --bench seam`
#![allow(missing_docs, clippy::expect_used, clippy::disallowed_methods, reason = "a benchmark fails loudly and times")]

#[path = "../../cp-driver/benches/bed/mod.rs"]
mod bed;

use bed::Target;
use cp_seam::ControlPlaneEntry;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{
    Config, LogState, OptionalSend, Raft, RaftLogReader, RaftNetworkFactory, RaftNetworkV2, RaftSnapshotBuilder,
    RaftTypeConfig, SnapshotPolicy,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Debug, Clone)]
struct Data(ControlPlaneEntry);

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.kind())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Types;

type CommittedLeaderId = openraft::vote::leader_id_std::CommittedLeaderId<u64>;
type Entry = openraft::Entry<CommittedLeaderId, Payload>;
type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
type LogId = openraft::LogId<CommittedLeaderId>;
type Payload = openraft::EntryPayload<Data, u64, ()>;
type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, (), ()>;
type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, ()>;
type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, ()>;
type Vote = openraft::impls::Vote<LeaderId>;

impl RaftTypeConfig for Types {
    type D = Data;
    type R = ();
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = openraft_rt_tokio::TokioRuntime;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// openraft alone: all it needs, in memory.
#[derive(Clone)]
struct Bare(Raft<Types, State>);

impl Target for Bare {
    async fn put(&self, entry: ControlPlaneEntry) {
        self.0.client_write(Data(entry)).await.expect("it leads");
    }
}

async fn bare() -> Bare {
    let config = Config { snapshot_policy: SnapshotPolicy::Never, ..Config::default() };
    let config = Arc::new(config.validate().expect("valid"));
    let raft = Raft::new(1, config, Nowhere, Log::default(), State::default()).await.expect("started");
    raft.initialize(BTreeSet::from([1])).await.expect("founded");
    raft.wait(None).current_leader(1, "it leads").await.expect("elected");
    Bare(raft)
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    vote: Option<Vote>,
    entries: BTreeMap<u64, Entry>,
}

impl Log {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nothing panics under it")
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.kept().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.kept().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let last_log_id = self.kept().entries.values().next_back().map(RaftEntry::log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.kept().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.kept().entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.kept().entries.split_off(&last.map_or(0, |last| last.index + 1));
        Ok(())
    }

    async fn purge(&mut self, _log_id: LogId) -> Result<(), io::Error> {
        Ok(())
    }
}

/// A state machine that counts.
#[derive(Debug, Default)]
struct State {
    applied: Option<LogId>,
    membership: StoredMembership,
    count: u64,
}

impl RaftStateMachine<Types> for State {
    type SnapshotData = ();
    type SnapshotBuilder = Never;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.applied = Some(entry.log_id);
            self.count += 1;
            if let Some(membership) = openraft::entry::RaftPayload::get_membership(&entry.payload) {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Never {
        Never
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, (): ()) -> Result<(), io::Error> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(None)
    }
}

#[derive(Debug)]
struct Never;

impl RaftSnapshotBuilder<Types> for Never {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// There is nobody to send to.
#[derive(Debug, Clone, Copy)]
struct Nowhere;

fn nobody() -> Unreachable<Types> {
    Unreachable::new(&io::Error::from(io::ErrorKind::NotConnected))
}

impl RaftNetworkFactory<Types> for Nowhere {
    type Network = Self;

    async fn new_client(&mut self, _target: u64, _node: &()) -> Self {
        Self
    }
}

impl RaftNetworkV2<Types> for Nowhere {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(nobody().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(nobody().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(nobody().into())
    }
}

fn seam(criterion: &mut Criterion) {
    let adapter = |parts| async { cp_openraft::start(parts).await.expect("started") };
    bed::compare(criterion, cp_openraft::ENGINE, bare, adapter);
}

criterion_group!(benches, seam);
criterion_main!(benches);
