//! The state machine that openraft sees: a shadow that knows how far it is and
//! who the members are. The driver feeds the real one from the store (CP-D3),
//! and builds and moves snapshots; what passes here is the moment at which a
//! finished one becomes current, so that openraft orders it with the log.

use crate::storage::Ground;
use crate::translate;
use crate::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use cp_store::{Batch, Staged};
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// A snapshot's content, as openraft passes it around.
#[derive(Debug)]
pub(crate) enum Content {
    /// The store's current one; the driver streams it.
    Current,
    /// A whole one that is not current yet.
    Staged(Staged),
}

/// Makes staged snapshots current, one at a time and never backwards.
#[derive(Debug)]
pub(crate) struct Shelf {
    ground: Arc<Ground>,
    /// Built here, waiting for openraft to ask for it; and who is told.
    built: Mutex<Option<(Staged, oneshot::Sender<io::Result<()>>)>>,
    switching: Mutex<()>,
}

impl Shelf {
    pub(crate) fn new(ground: Arc<Ground>) -> Self {
        Self { ground, built: Mutex::default(), switching: Mutex::default() }
    }

    fn built(&self) -> MutexGuard<'_, Option<(Staged, oneshot::Sender<io::Result<()>>)>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a snapshot that was built here; tells when it is current and durable.
    pub(crate) fn offer(&self, staged: Staged) -> oneshot::Receiver<io::Result<()>> {
        let (done, told) = oneshot::channel();
        *self.built() = Some((staged, done));
        told
    }

    /// Makes `staged` current unless a newer one is; returns once either is durable (CP-R1).
    async fn make_current(&self, staged: Staged) -> io::Result<()> {
        let ticket = {
            let _one_at_a_time = self.switching.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = staged.meta().position > self.ground.store.snapshot().position;
            // The store finishes in order: once an empty batch is through, so is the current one.
            self.ground.submit(Batch { snapshot: newer.then_some(staged), ..Batch::default() })?
        };
        self.ground.durable(ticket).await
    }

    /// What is current, once it is durable. Another may have become current meanwhile: that one is not told.
    async fn durable_current(&self) -> io::Result<SnapshotMeta> {
        let meta = translate::snapshot_meta(&self.ground.store.snapshot());
        let ticket = self.ground.submit(Batch::default())?;
        self.ground.durable(ticket).await?;
        Ok(meta)
    }
}

/// The shadow.
#[derive(Debug)]
pub(crate) struct Shadow {
    shelf: Arc<Shelf>,
    applied: LogId,
    membership: StoredMembership,
}

impl Shadow {
    /// Starts where the store's snapshot is; openraft replays the committed log from there.
    pub(crate) fn new(shelf: Arc<Shelf>) -> Self {
        let meta = shelf.ground.store.snapshot();
        Self {
            applied: translate::log_id(meta.position),
            membership: translate::stored_membership(meta.configuration_at, &meta.configuration),
            shelf,
        }
    }

    fn current(&self) -> SnapshotMeta {
        translate::snapshot_meta(&self.shelf.ground.store.snapshot())
    }
}

impl RaftStateMachine<Types> for Shadow {
    type SnapshotData = Content;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((Some(self.applied), self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.applied = entry.log_id;
            if let Some(membership) = openraft::entry::RaftEntry::get_membership(&entry) {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { shelf: Arc::clone(&self.shelf) }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Content) -> Result<(), io::Error> {
        let Content::Staged(staged) = snapshot else {
            return Err(io::Error::other("openraft installs a snapshot that is installed already"));
        };
        self.shelf.make_current(staged).await?;
        if let Some(applied) = meta.last_log_id {
            self.applied = applied;
        }
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Content>>, io::Error> {
        Ok(Some(Snapshot { meta: self.current(), snapshot: Content::Current }))
    }
}

/// Hands openraft the snapshot that the driver built.
#[derive(Debug)]
pub(crate) struct Builder {
    shelf: Arc<Shelf>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Content;

    async fn build_snapshot(&mut self) -> Result<Snapshot<Content>, io::Error> {
        let built = self.shelf.built().take();
        if let Some((staged, done)) = built {
            let result = self.shelf.make_current(staged).await;
            let failed = result.as_ref().err().map(|error| io::Error::other(error.to_string()));
            if done.send(result).is_err() {
                tracing::debug!("nobody waits for this snapshot any more");
            }
            if let Some(failed) = failed {
                return Err(failed);
            }
        }
        let meta = self.shelf.durable_current().await?;
        Ok(Snapshot { meta, snapshot: Content::Current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{configuration, meta, staged, store};
    use crate::testing::Gate;
    use crate::types::Membership;
    use cp_seam::{ControlPlaneLogIndex, Incarnation, LogPosition, Term};
    use cp_store::{MemoryDirectory, Pace, Writer, WriterWork};
    use std::future::Future;
    use std::pin::Pin;
    use std::time::Duration;

    /// A shelf on `disk`, its shadow, and what a snapshot at some index says of itself.
    fn shelf(disk: Arc<dyn Pace>) -> (Arc<Shelf>, Shadow, impl Fn(u64) -> cp_store::SnapshotMeta) {
        let store = store(Arc::new(MemoryDirectory::new()), Writer::Task(disk));
        let ground = Ground::new(store, Incarnation(1), 1 << 20, |why| panic!("the store stopped: {why}"));
        let shelf = Arc::new(Shelf::new(Arc::new(ground)));
        let members = configuration(&Membership::new_with_defaults(vec![[0].into()], []));
        let at = move |index| {
            meta(LogPosition::new(Term(1), ControlPlaneLogIndex(index)), LogPosition::GENESIS, members.clone())
        };
        (Arc::clone(&shelf), Shadow::new(shelf), at)
    }

    /// CP-D2: openraft takes what a build returns for durable, and tells a leader that its snapshot
    /// is installed once it knows of one as new, even if that came from a build meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_snapshot_that_is_not_durable_is_not_shown_as_built() {
        let disk = Gate::open();
        let (shelf, mut shadow, at) = shelf(disk.clone());
        let ground = Arc::clone(&shelf.ground);
        let installed = staged(&ground.store, at(9)).await;
        let built = staged(&ground.store, at(5)).await;
        disk.stall(true);
        let snapshot_meta = translate::snapshot_meta(installed.meta());
        let mut builder = shadow.get_snapshot_builder().await;
        let installing = shadow.install_snapshot(&snapshot_meta, Content::Staged(installed));
        let mut told = shelf.offer(built);
        let building = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            builder.build_snapshot().await
        };
        let both = futures::future::join(installing, building);
        let mut both = std::pin::pin!(both);
        let waited = tokio::time::timeout(Duration::from_secs(3600), both.as_mut()).await;
        assert!(waited.is_err() && told.try_recv().is_err(), "shown before it is durable");
        disk.stall(false);
        let (installed, built) = both.await;
        installed.expect("installed");
        assert_eq!(built.expect("the newer one").meta, snapshot_meta);
    }

    /// A disk that does one piece of work for each permit.
    #[derive(Debug)]
    struct Steps(Arc<tokio::sync::Semaphore>);

    impl Pace for Steps {
        fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let permits = Arc::clone(&self.0);
            Box::pin(async move {
                if let Ok(permit) = permits.acquire().await {
                    permit.forget();
                }
            })
        }
    }

    /// CP-D2: the other order. A build is on its way to the disk when an install becomes current, and is
    /// durable before it: what it returns must not be the install.
    #[tokio::test(start_paused = true)]
    async fn a_build_does_not_pass_an_install_off_as_durable() {
        let disk = Arc::new(Steps(Arc::new(tokio::sync::Semaphore::new(1_000))));
        let (shelf, mut shadow, at) = shelf(disk.clone());
        let ground = Arc::clone(&shelf.ground);
        let installed = staged(&ground.store, at(9)).await;
        let built = staged(&ground.store, at(5)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        disk.0.forget_permits(1_000);
        let told = shelf.offer(built);
        let mut builder = shadow.get_snapshot_builder().await;
        let building = tokio::spawn(async move { builder.build_snapshot().await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        let snapshot_meta = translate::snapshot_meta(installed.meta());
        let installing =
            tokio::spawn(async move { shadow.install_snapshot(&snapshot_meta, Content::Staged(installed)).await });
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if building.is_finished() {
                break;
            }
            disk.0.add_permits(1);
        }
        let durable = ground.store.durable().borrow().committed.0;
        let meta = building.await.expect("no panic").expect("built").meta;
        assert!(meta.last_log_id.is_some_and(|last| last.index <= durable), "{meta} is shown, {durable} is durable");
        disk.0.add_permits(1_000);
        installing.await.expect("no panic").expect("installed");
        told.await.expect("told").expect("durable");
    }
}
