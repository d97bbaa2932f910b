//! openraft's own storage suite, on the store and on real files.
//!
//! The suite takes for granted what a control-plane store never is, so it looks
//! at the adapter through a window, and the store stays as strict as it is:
//!
//! - an empty store without genesis, and a first entry at index 0: the window
//!   shows the store's index i + 1 as i, and genesis as nothing;
//! - a log that begins anywhere, and purges that no snapshot covers: the window
//!   first installs the snapshot that the store demands, and hides it where the
//!   suite expects nothing to be purged;
//! - log and state machine that contradict each other: each has a store of its own;
//! - node 0, nodes without names, memberships that openraft made up: members get
//!   the next incarnation and an invented name.
//!
//! It proves no durability; the conformance suite does.

use crate::snapshot::{Builder, Content, Shadow, Shelf};
use crate::storage::{Ground, LogStorage};
use crate::timing;
use crate::translate;
use crate::types::{
    CommittedLeaderId, Entry, LogId, Membership, Payload, Placed, Snapshot, SnapshotMeta, StoredMembership, Types, Vote,
};
use cp_seam::{
    ClusterId, ControlPlaneLogIndex, Generation, Incarnation, LogPosition, MemberId, MemberKind, QuorumMember,
    StateDigest,
};
use cp_store::{
    Batch, Configuration, Directory, DiskDirectory, Expected, Founding, Identity, Staged, Store, TermRuns, Writer,
};
use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, IOFlushed, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{LogState, OptionalSend, RaftLogReader, StorageError};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

#[tokio::test(start_paused = true)]
async fn openraft_storage_suite() {
    let suite = timing::seeded(0, Suite::test_all(OnDisk));
    Box::pin(suite).await.expect("the suite passes");
}

struct OnDisk;

impl StoreBuilder<Types, Log, State, (TempDir, TempDir)> for OnDisk {
    async fn build(&self) -> Result<((TempDir, TempDir), Log, State), StorageError<Types>> {
        let ((log_dir, log), (state_dir, state)) = (ground(), ground());
        let seen = Arc::new(Mutex::new(Seen { hidden: Some(LogPosition::GENESIS), committed: false }));
        let log = Log { inner: LogStorage { ground: log }, seen };
        let shelf = Arc::new(Shelf::new(Arc::clone(&state)));
        let state = State { inner: Shadow::new(Arc::clone(&shelf)), ground: state, shelf };
        Ok(((log_dir, state_dir), log, state))
    }
}

fn ground() -> (TempDir, Arc<Ground>) {
    let dir = TempDir::new().expect("a temporary directory");
    let store = store(Arc::new(DiskDirectory::new(dir.path())), Writer::Thread);
    (dir, Arc::new(Ground::new(store, Incarnation(1), 1 << 20, |why| panic!("the store stopped: {why}"))))
}

/// A store at genesis.
pub(crate) fn store(files: Arc<dyn Directory>, writer: Writer) -> Store {
    let members = configuration(&Membership::new_with_defaults(vec![[0].into()], []));
    let meta = meta(LogPosition::GENESIS, LogPosition::GENESIS, members);
    founded(files, writer, Founding { meta, chunks: Vec::new() })
}

/// The store of member 1, as it was founded.
pub(crate) fn founded(files: Arc<dyn Directory>, writer: Writer, founding: Founding) -> Store {
    let identity = Identity {
        cluster: ClusterId([7; 16]),
        generation: Generation::default(),
        member: MemberId::new("m1").expect("legal"),
        incarnation: Incarnation(1),
        engine: crate::ENGINE.to_owned(),
    };
    Store::create(files.as_ref(), &identity, founding).expect("created");
    Store::open(files, &Expected::default(), writer).expect("opened")
}

pub(crate) fn meta(
    position: LogPosition,
    configuration_at: LogPosition,
    configuration: Configuration,
) -> cp_store::SnapshotMeta {
    let mut terms = TermRuns::default();
    if position != LogPosition::GENESIS {
        terms.push(position);
    }
    cp_store::SnapshotMeta { position, configuration, configuration_at, terms, digest: StateDigest::default() }
}

pub(crate) async fn staged(store: &Store, meta: cp_store::SnapshotMeta) -> Staged {
    store.stage().seal(meta).await.expect("staged")
}

/// Names for nodes that have none.
pub(crate) fn configuration(membership: &Membership) -> Configuration {
    let member = |id: &u64| QuorumMember {
        incarnation: Incarnation(id + 1),
        id: MemberId::new(&format!("m{}", id + 1)).expect("legal"),
        kind: MemberKind::Data,
        address: String::new(),
    };
    let halves = membership.get_joint_config();
    assert!(halves.len() <= 1, "the suite makes no joint membership");
    Configuration {
        voters: halves.iter().flatten().map(member).collect(),
        outgoing: Vec::new(),
        learners: membership.learner_ids().map(|id| member(&id)).collect(),
    }
}

fn shown_membership(membership: &Membership) -> Membership {
    let halves = membership.get_joint_config().iter().map(|half| half.iter().map(|id| id - 1).collect()).collect();
    Membership::new_with_defaults(halves, membership.nodes().map(|(id, ())| id - 1).collect::<Vec<_>>())
}

fn within(id: LogId) -> LogId {
    LogId::new(id.leader_id, id.index + 1)
}

/// `None` for genesis.
fn shown(id: LogId) -> Option<LogId> {
    id.index.checked_sub(1).map(|index| LogId::new(id.leader_id, index))
}

fn within_entry(entry: Entry) -> Entry {
    let payload = match entry.payload {
        Payload::Bare(membership) => Payload::Configuration(configuration(&membership), Placed::default()),
        other => other,
    };
    Entry::new(within(entry.log_id), payload)
}

fn shown_entry(entry: Entry) -> Entry {
    let payload = match entry.get_membership() {
        Some(membership) => Payload::Bare(shown_membership(&membership)),
        None => entry.payload,
    };
    Entry::new(shown(entry.log_id).expect("genesis is no entry"), payload)
}

fn shown_stored(stored: &StoredMembership) -> StoredMembership {
    match stored.log_id().and_then(shown) {
        Some(at) => StoredMembership::new(Some(at), shown_membership(stored.membership())),
        None => StoredMembership::default(),
    }
}

fn shown_meta(meta: &SnapshotMeta) -> SnapshotMeta {
    SnapshotMeta { last_log_id: meta.last_log_id.and_then(shown), last_membership: shown_stored(&meta.last_membership) }
}

/// The log through the window.
#[derive(Clone)]
struct Log {
    inner: LogStorage,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    /// A purge that the suite did not ask for.
    hidden: Option<LogPosition>,
    /// Whether the suite has saved a committed index; the store's begins with its snapshot's.
    committed: bool,
}

impl Log {
    fn store(&self) -> &Store {
        &self.inner.ground.store
    }

    fn unless_hidden(&self, at: LogPosition) -> Option<LogId> {
        let hidden = self.seen.lock().expect("unpoisoned").hidden == Some(at);
        if hidden { None } else { shown(translate::log_id(at)) }
    }

    /// Gives the store the snapshot that it wants before its log begins, or is purged, there.
    async fn snapshot_at(&self, at: LogPosition) {
        let now = self.store().snapshot();
        if at > now.position {
            let staged = staged(self.store(), meta(at, now.configuration_at, now.configuration)).await;
            let batch = Batch { snapshot: Some(staged), ..Batch::default() };
            self.inner.ground.write(batch).await.expect("installed");
        }
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let entries = self.inner.try_get_log_entries(within_range(&range)).await?;
        Ok(entries.into_iter().map(shown_entry).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let vote = self.inner.read_vote().await?;
        Ok(vote.map(|mut vote| {
            vote.leader_id.voted_for -= 1;
            vote
        }))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let entries = self.inner.limited_get_log_entries(start + 1, end + 1).await?;
        Ok(entries.into_iter().map(shown_entry).collect())
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let entries: Vec<_> = self.inner.entries_stream(within_range(&range)).await.collect().await;
        futures::stream::iter(entries.into_iter().map(|entry| entry.map(shown_entry)))
    }
}

fn within_range(range: &impl RangeBounds<u64>) -> (Bound<u64>, Bound<u64>) {
    (range.start_bound().map(|i| i.saturating_add(1)), range.end_bound().map(|i| i.saturating_add(1)))
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let state = self.inner.get_log_state().await?;
        let show = |id: Option<LogId>| id.and_then(|id| self.unless_hidden(translate::position(&id)));
        Ok(LogState { last_purged_log_id: show(state.last_purged_log_id), last_log_id: show(state.last_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut vote = *vote;
        vote.leader_id.voted_for += 1;
        self.inner.save_vote(&vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.seen.lock().expect("unpoisoned").committed = committed.is_some();
        self.inner.save_committed(committed.map(within)).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let saved = self.seen.lock().expect("unpoisoned").committed;
        let committed = self.inner.read_committed().await?;
        Ok(committed.filter(|_| saved).and_then(shown))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(within_entry).collect();
        let first = translate::position(&entries[0].log_id);
        if self.store().last() == LogPosition::GENESIS && first.index > ControlPlaneLogIndex(1) {
            let before = LogPosition::new(first.term, first.index.prev());
            self.snapshot_at(before).await;
            self.seen.lock().expect("unpoisoned").hidden = Some(before);
        }
        self.inner.append(entries, callback).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let nothing = translate::log_id(self.store().purged());
        self.inner.truncate_after(Some(last.map_or(nothing, within))).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let upto = within(upto);
        self.snapshot_at(translate::position(&upto)).await;
        self.seen.lock().expect("unpoisoned").hidden = None;
        self.inner.purge(upto).await
    }
}

/// The state machine through the window.
struct State {
    inner: Shadow,
    ground: Arc<Ground>,
    shelf: Arc<Shelf>,
}

impl State {
    /// The store's metadata of what is applied.
    async fn describe(&mut self) -> cp_store::SnapshotMeta {
        let (applied, membership) = self.inner.applied_state().await.expect("it only looks");
        let position = applied.as_ref().map(translate::position).expect("genesis at least");
        let at = membership.log_id().as_ref().map(translate::position).expect("genesis at least");
        meta(position, at, configuration(&shown_membership(membership.membership())))
    }
}

impl RaftStateMachine<Types> for State {
    type SnapshotData = ();
    type SnapshotBuilder = Build;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let (applied, membership) = self.inner.applied_state().await?;
        Ok((applied.and_then(shown), shown_stored(&membership)))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        self.inner.apply(entries.map(|next| next.map(|(entry, responder)| (within_entry(entry), responder)))).await
    }

    async fn get_snapshot_builder(&mut self) -> Build {
        let meta = self.describe().await;
        Build {
            inner: self.inner.get_snapshot_builder().await,
            meta,
            ground: Arc::clone(&self.ground),
            shelf: Arc::clone(&self.shelf),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> Result<(), io::Error> {
        let position = meta.last_log_id.map(within).expect("a snapshot of something");
        let at = meta.last_membership.log_id().map(within).expect("a membership");
        let whole = self::meta(
            translate::position(&position),
            translate::position(&at),
            configuration(meta.last_membership.membership()),
        );
        let seen = translate::snapshot_meta(&whole);
        let staged = staged(&self.ground.store, whole).await;
        self.inner.install_snapshot(&seen, Content::Staged(staged)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<()>>, io::Error> {
        let current = self.inner.get_current_snapshot().await?.map(|snapshot| shown_meta(&snapshot.meta));
        Ok(current.filter(|meta| meta.last_log_id.is_some()).map(|meta| Snapshot { meta, snapshot: () }))
    }
}

struct Build {
    inner: Builder,
    meta: cp_store::SnapshotMeta,
    ground: Arc<Ground>,
    shelf: Arc<Shelf>,
}

impl RaftSnapshotBuilder<Types> for Build {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot<()>, io::Error> {
        let mut told = None;
        if self.meta.position != LogPosition::GENESIS {
            told = Some(self.shelf.offer(staged(&self.ground.store, self.meta.clone()).await));
        }
        let built = self.inner.build_snapshot().await?;
        if let Some(told) = told {
            told.await.expect("told").expect("durable");
        }
        Ok(Snapshot { meta: shown_meta(&built.meta), snapshot: () })
    }
}

/// The window's arithmetic: what goes in comes out.
#[test]
fn the_window_is_faithful() {
    let id = LogId::new(CommittedLeaderId::new(3), 0);
    assert_eq!(shown(within(id)), Some(id));
    let membership = Membership::new_with_defaults(vec![[0, 4].into()], [7]);
    assert_eq!(shown_membership(&translate::membership(&configuration(&membership))), membership);
}
