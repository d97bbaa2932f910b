//! From where a member's gates learn what the catalog says.

use super::gates::Gates;
use crate::changes::Cursor;
use crate::client::{Client, ClientError, Watched};
use crate::supervisor::Supervisor;
use bytes::Bytes;
use cp_catalog::{Catalog, CatalogMachine, Change, Changes, MemberLife, RangeEffect, Verdict};
use cp_seam::{ControlPlaneConsensus, ControlPlaneLogIndex, Generation, MemberId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How many changes are taken at once: writes wait for so many at most.
const BATCH_COUNT: usize = 1024;
/// The pause before a lost watch is taken up again.
const PAUSE: Duration = Duration::from_millis(100);

/// From where a member's gates learn what the catalog says: they count no renewal before they
/// know what the leader knew.
#[derive(Debug, Clone)]
pub enum Source {
    /// The node of that member, in this process.
    Node {
        /// The node.
        consensus: Arc<dyn ControlPlaneConsensus>,
        /// Its state.
        machine: CatalogMachine,
    },
    /// Any node, by way of the client that renews.
    Cluster,
}

impl Source {
    /// The node beneath `supervisor`.
    pub fn node(supervisor: &Supervisor) -> Self {
        Self::Node { consensus: Arc::clone(supervisor.consensus()), machine: supervisor.machine().clone() }
    }
}

/// A state, and where it is.
pub(super) struct Start {
    pub(super) catalog: Catalog,
    pub(super) applied: ControlPlaneLogIndex,
    pub(super) generation: Generation,
}

impl Start {
    pub(super) fn life(&self, member: &MemberId) -> Option<MemberLife> {
        self.catalog.member(member).map(cp_catalog::Member::life)
    }
}

/// Why the catalog is followed no longer.
pub(super) enum Over {
    /// The node has stopped.
    Stopped,
    /// The cluster does not let this client watch, or went on in another generation.
    Refused(ClientError),
    /// The cluster went on in another generation.
    OtherGeneration,
}

/// What the followed tells the renewing half of a keeper.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The gates know more.
    pub(super) moved: Notify,
    /// A range came to the member.
    pub(super) gained: Notify,
    /// The gates have not got to where a leader is for too long.
    pub(super) stuck: Notify,
}

impl Source {
    /// The whole state, to begin with.
    pub(super) async fn start(&self, client: &Client) -> Result<Start, ClientError> {
        match self {
            Self::Node { machine, .. } => Ok(machine.read_at(|applied, catalog| Start {
                catalog: catalog.clone(),
                applied,
                generation: catalog.generation(),
            })),
            Self::Cluster => fetched(client).await,
        }
    }

    /// Has `gates` follow the catalog for as long as that goes. Dropping the future loses nothing.
    pub(super) async fn follow(&self, client: &Client, gates: &Gates, told: &Told) -> Over {
        match self {
            Self::Node { consensus, machine } => follow_node(consensus, machine, gates, told).await,
            Self::Cluster => follow_cluster(client, gates, told).await,
        }
    }
}

async fn follow_node(
    consensus: &Arc<dyn ControlPlaneConsensus>,
    machine: &CatalogMachine,
    gates: &Gates,
    told: &Told,
) -> Over {
    let mut watch = consensus.watch();
    loop {
        // What a stopped node says of its state is not to be gone by (CP-R3).
        if watch.current().stopped.is_some() {
            return Over::Stopped;
        }
        loop {
            let before = gates.next();
            let changes = machine.changes_from(before, BATCH_COUNT);
            if gates.follow(&changes).is_err() {
                let (applied, catalog) = machine.read_at(|applied, catalog| (applied, catalog.clone()));
                gates.reset(applied, &catalog);
                told.gained.notify_one();
            }
            if gates.next() == before {
                break;
            }
            tell(&changes, gates, told);
        }
        if watch.changed().await.is_err() {
            return Over::Stopped;
        }
    }
}

async fn follow_cluster(client: &Client, gates: &Gates, told: &Told) -> Over {
    let generation = gates.generation();
    loop {
        let cursor = Cursor { index: gates.next(), generation: Some(generation) };
        let mut watch = client.watch(cursor).with_marks();
        let lost = loop {
            let next = tokio::select! {
                next = watch.next() => next,
                // A node that is cut off from its peers may keep a watch open and say nothing.
                () = told.stuck.notified() => {
                    watch.leave();
                    continue;
                }
            };
            let changes = match next {
                Ok(Watched::Change(change)) => {
                    let next = change.position.index.next();
                    Changes::Items { items: vec![Arc::from(change)], next }
                }
                Ok(Watched::Reached(index)) => Changes::Items { items: Vec::new(), next: index.next() },
                Ok(Watched::Compacted(compacted)) if compacted.generation != generation => {
                    return Over::OtherGeneration;
                }
                Ok(Watched::Compacted(_)) => break None,
                Err(error) => break Some(error),
            };
            // They are in order and without gaps, so there is nothing that could be missing.
            match gates.follow(&changes) {
                Ok(()) => tell(&changes, gates, told),
                Err(_) => break None,
            }
        };
        let again = match lost {
            Some(error) => Err(error),
            None => fetched(client).await,
        };
        match again {
            Ok(start) if start.generation != generation => return Over::OtherGeneration,
            Ok(start) => {
                gates.reset(start.applied, &start.catalog);
                told.moved.notify_one();
                told.gained.notify_one();
            }
            Err(error @ (ClientError::Refused { .. } | ClientError::Identity { .. })) => return Over::Refused(error),
            Err(error) => {
                tracing::debug!(error = cp_driver::chain(&error), "the catalog is not followed for now");
                sleep(PAUSE).await;
            }
        }
    }
}

fn tell(changes: &Changes, gates: &Gates, told: &Told) {
    told.moved.notify_one();
    let Changes::Items { items, .. } = changes else { return };
    let gained = |change: &Arc<Change>| match &change.verdict {
        Verdict::Done(effect) => effect.on_ranges().is_some_and(|effect| match effect {
            RangeEffect::At { range, .. } => gates.lacks(range),
            RangeEffect::Split { upper: range, .. } | RangeEffect::Merged { survivor: range, .. } => gates.lacks(range),
        }),
        Verdict::Refused(_) => false,
    };
    if items.iter().any(gained) {
        told.gained.notify_one();
    }
}

/// The whole state, of whichever node leads: also by a client whose reads may be stale.
async fn fetched(client: &Client) -> Result<Start, ClientError> {
    let bad = |reason: String| ClientError::Server { reason };
    let mut stream = client.snapshot_as(false).await?;
    let mut chunks: Vec<Bytes> = Vec::new();
    while let Some(chunk) = stream.next().await? {
        chunks.push(chunk);
    }
    let meta = stream.meta();
    let catalog = Catalog::from_chunks(&chunks).map_err(|error| bad(error.to_string()))?;
    if catalog.digest() != meta.digest {
        return Err(bad("the state is not the one that was announced".to_owned()));
    }
    Ok(Start { catalog, applied: meta.position.index, generation: meta.generation })
}
