//! For unit tests: a disk that stands still on demand, and a host whose frames go nowhere.

#[expect(dead_code, reason = "the cluster tests use more of it")]
#[path = "../tests/cluster/state.rs"]
mod state;

use crate::suite::founded;
use bytes::Bytes;
use cp_driver::{Host, Parts, Settings, StartError};
use cp_seam::{Incarnation, Lane, LogPosition, PeerReceiver, PeerTransport, QuorumMember, SendRefusal};
use cp_store::{Founding, MemoryDirectory, Pace, SnapshotMeta, TermRuns, Writer, WriterWork};
use state::{Texts, quorum};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// A disk that stands still while it is told to.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn open() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(false)))
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.0.send_replace(stalled);
    }
}

impl Pace for Gate {
    fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut stalled = self.0.subscribe();
        Box::pin(async move { drop(stalled.wait_for(|stalled| !stalled).await) })
    }
}

/// Counts frames and delivers none.
#[derive(Debug, Default)]
pub(crate) struct Void(AtomicUsize);

impl Void {
    pub(crate) fn sent(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl PeerTransport for Void {
    fn attach(&self, _receiver: Arc<dyn PeerReceiver>) {}
    fn detach(&self) {}
    fn serve(&self, _peers: Vec<QuorumMember>) {}
    fn send(&self, _to: Incarnation, _lane: Lane, _frame: Bytes) -> Result<(), SendRefusal> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Member 1 of two, on a store of its own, without an engine.
pub(crate) async fn host(disk: Arc<Gate>) -> (Arc<Host>, Arc<Void>) {
    let (image, digest) = Texts::founding("1,2;");
    let (position, configuration) = (LogPosition::GENESIS, quorum("1,2;").into());
    let meta = SnapshotMeta { position, configuration, configuration_at: position, terms: TermRuns::default(), digest };
    let founding = Founding { meta, chunks: vec![image] };
    let store = founded(Arc::new(MemoryDirectory::new()), Writer::Task(disk), founding);
    let (void, settings) = (Arc::new(Void::default()), Settings::default());
    let parts = Parts { store, state: Arc::new(Texts::default()), transport: Arc::clone(&void) as _, settings };
    let mut given = None;
    let no_engine = cp_driver::start(parts, crate::ENGINE, crate::WIRE_VERSIONS, |host| {
        given = Some(host);
        std::future::ready(Err(StartError::Setting { name: "engine", why: "there is none".to_owned() }))
    });
    assert!(no_engine.await.is_err());
    (given.expect("built"), void)
}
