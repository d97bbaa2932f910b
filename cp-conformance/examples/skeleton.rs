//! The skeleton of an engine: every method, with what it owes. It compiles, refuses
//! everything honestly, and so breaks one promise only: nobody ever leads (CP-L1).
//!
//! `cargo run -p cp-conformance --example skeleton` puts it to a case and prints the
//! violation. Copy it into a crate of your own and fill it in, file by file, as
//! `cp-conformance/src/reference/` does; `docs/writing-an-engine.md` is the guide.

use async_trait::async_trait;
use bytes::Bytes;
use cp_conformance::{Backend, Observed, cases};
use cp_driver::{Engine, EngineError, EngineView, Host, Parts, StartError};
use cp_seam::{
    ControlPlaneConsensus, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, Incarnation, LastVoteStore,
    LogPosition, WireVersions,
};
use cp_store::{Batch, Configuration, Rejected, Staged};
use std::sync::Arc;

/// In identities and handshakes. A directory remembers it; another engine is refused unless a swap is meant.
const ENGINE: &str = "skeleton";
/// Two members talk if they read a version in common: a new one is read a release before it is written.
const WIRE_VERSIONS: WireVersions = WireVersions::only(1);

/// The handle. Its methods are called from any task; a real one sends them to the
/// one task that owns the engine, is the only writer of the store, and is spawned
/// in `cp_driver::guarded`, so that a panic stops the node.
#[derive(Debug)]
struct Skeleton {
    host: Arc<Host>,
}

impl Skeleton {
    /// Owes: the vote, log, configurations and committed index that the store holds,
    /// whichever engine wrote them (CP-E1). What is durable is believed; nothing is
    /// made up for what is missing (CP-D4).
    fn start(host: Arc<Host>) -> Result<Arc<dyn Engine>, StartError> {
        let store = host.store();
        let vote = LastVoteStore::load(store).map_err(|error| StartError::Engine(error.into()))?;
        tracing::debug!(?vote, last = %store.last(), committed = %store.committed(), "opened");
        // On every change, from one task, and only of a term and a role that are durable.
        host.publish(EngineView { role: ControlPlaneRole::Follower, term: vote.term, leader: None });
        Ok(Arc::new(Self { host }))
    }

    /// Owes: what must be durable, before what leaves. Batches become durable in the
    /// order of submission, each whole or not at all.
    async fn write_then_send(&self, batch: Batch, frames: Vec<(Incarnation, Bytes)>) -> Result<(), EngineError> {
        match self.host.store().submit(batch) {
            Ok(ticket) => ticket.await?,
            Err(Rejected::Failed(failure)) => return Err(failure.into()),
            // The store refuses a batch that breaks CP-S2 or CP-S3: a bug in the engine, so stop.
            Err(contradiction) => {
                let why = cp_driver::chain(&contradiction);
                self.host.halt(&why);
                return Err(EngineError::Unknown(why));
            }
        }
        for (to, frame) in frames {
            self.host.send(to, frame);
        }
        Ok(())
    }
}

#[async_trait]
impl Engine for Skeleton {
    /// Owes: `NotLeader` and `Refused` only if the entry is in no log and never will be
    /// (CP-P1); a position only in a term that is durable, so that it is handed out once (CP-P3).
    async fn append(&self, _entry: ControlPlaneEntry) -> Result<LogPosition, EngineError> {
        Err(EngineError::NotLeader { leader: None })
    }

    /// Owes: one step at a time. Refused unless the newest configuration is committed
    /// and `next` is one step from it *now* (`cp_driver::is_step`), whatever the driver
    /// saw when it planned; both halves of a joint one must agree to everything (CP-M1).
    async fn reconfigure(&self, _next: Configuration) -> Result<LogPosition, EngineError> {
        Err(EngineError::NotLeader { leader: None })
    }

    /// Owes: a quorum's answers to something sent *after* this call, and an index at or
    /// above all that was committed before it: so a record of this term is committed. Never a clock (CP-P4).
    async fn read_index(&self) -> Result<ControlPlaneLogIndex, EngineError> {
        Err(EngineError::NotLeader { leader: None })
    }

    /// Owes: `to` is asked once it holds the whole log; called off within one election timeout (CP-L1).
    async fn transfer(&self, _to: Incarnation) -> Result<(), EngineError> {
        Err(EngineError::NotLeader { leader: None })
    }

    /// Owes: this leader's account of everyone, itself included; empty if it does not lead. Does not block.
    fn matched(&self) -> Vec<(Incarnation, ControlPlaneLogIndex)> {
        Vec::new()
    }

    /// Owes: no panic and no belief in what an honest peer cannot have said. Does not
    /// block: a full inbox drops. An answer of this leader's term goes to `Host::acknowledged` too.
    fn receive(&self, from: Incarnation, message: Bytes) {
        tracing::warn!(%from, bytes = message.len(), "a message was dropped: this engine knows none");
    }

    /// Owes: refused unless its sender leads and it is ahead of the committed index; then
    /// installed in one batch, the engine's own log replaced as the store's is (CP-R1).
    async fn install(&self, _from: Incarnation, _header: Bytes, _staged: Staged) -> Result<(), EngineError> {
        Err(EngineError::Refused("no leader is known".to_owned()))
    }

    /// Owes: pointer and compaction in one batch; the engine must not need what goes.
    async fn adopt(&self, staged: Staged, compact_to: ControlPlaneLogIndex) -> Result<(), EngineError> {
        let batch = Batch { snapshot: Some(staged), compact_to: Some(compact_to), ..Batch::default() };
        self.write_then_send(batch, Vec::new()).await
    }

    /// Owes: afterwards no frame leaves and nothing is written. Called more than once.
    async fn stop(&self) {}
}

/// What `tests/conformance.rs` holds, besides `cp_conformance::suite!(Subject);`.
#[derive(Debug)]
struct Subject;

#[async_trait]
impl Backend for Subject {
    fn name(&self) -> &'static str {
        ENGINE
    }

    async fn start(&self, parts: Parts) -> Result<Arc<dyn ControlPlaneConsensus>, StartError> {
        cp_driver::start(parts, ENGINE, WIRE_VERSIONS, |host| async move { Skeleton::start(host) }).await
    }

    /// Owes: every claim in a frame of this engine. What is not explained is not judged,
    /// and a run in which no grant and no leader was seen fails as *not vacuous*.
    fn explain(&self, _from: Incarnation, _to: Incarnation, _message: &Bytes) -> Vec<Observed> {
        Vec::new()
    }
}

fn main() {
    match cases::election::one_leader_is_elected(&Subject) {
        Ok(report) => println!("{report}"),
        Err(violation) => println!("{violation}"),
    }
}
