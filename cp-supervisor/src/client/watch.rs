//! Committed changes, followed across nodes.

use super::route::explain;
use super::{Client, ClientError, newer};
use crate::api::convert;
use crate::api::messages::{ChangeMessage, WatchEvent, WatchItem, WatchRequest};
use crate::changes::{Compacted, Cursor};
use cp_catalog::{Change, Request, codec};
use cp_seam::{ControlPlaneLogIndex, Generation};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to wait before the next node is tried.
const PAUSE: Duration = Duration::from_millis(100);

/// A watch that goes on at another node when one is lost, without gaps or repeats.
#[derive(Debug)]
pub struct Watch<'a> {
    client: &'a Client,
    next: u64,
    /// The generation that `next` is of, once a node has said it.
    generation: Option<Generation>,
    marks: bool,
    open: Option<tonic::Streaming<WatchEvent>>,
    address: String,
    /// Another node than this one is tried next, if there is one.
    left: String,
    tries: usize,
    /// Who no longer keeps what is wanted; members that came later never had it.
    compacted_at: BTreeSet<String>,
}

/// What a watch yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A committed change.
    Change(Box<Change>),
    /// No member that can be reached keeps some of the changes any more, or the cluster has
    /// gone on in another generation; the watch is over.
    Compacted(Compacted),
    /// All up to this index has come; only of a watch [`with_marks`](Watch::with_marks).
    Reached(ControlPlaneLogIndex),
}

impl Client {
    /// The committed changes from `from` on. Any member serves them.
    pub fn watch(&self, from: impl Into<Cursor>) -> Watch<'_> {
        let Cursor { index, generation } = from.into();
        Watch {
            client: self,
            next: index.0.max(1),
            generation,
            marks: false,
            open: None,
            address: String::new(),
            left: String::new(),
            tries: 0,
            compacted_at: BTreeSet::new(),
        }
    }
}

impl Watch<'_> {
    /// Also says up to which index there was nothing else to tell: not every index is that of
    /// a change. An older node says nothing of it.
    #[must_use]
    pub fn with_marks(self) -> Self {
        Self { marks: true, ..self }
    }

    /// Where to go on after the last change that came, with this client or another.
    pub fn cursor(&self) -> Cursor {
        Cursor { index: ControlPlaneLogIndex(self.next), generation: self.generation }
    }

    /// Goes on at another node than the present one, which may be cut off and not know it.
    pub fn leave(&mut self) {
        self.open = None;
        self.left.clone_from(&self.address);
    }

    /// The next change, waiting for it; an error once no node could be watched, or none lets this
    /// client, for as long as a call may take. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Watched, ClientError> {
        let mut lost: Option<(Instant, Option<Compacted>)> = None;
        loop {
            let mut denied = None;
            let (reason, compacted) = match self.step().await {
                Ok(Some(Watched::Compacted(compacted))) => {
                    ("the changes are no longer kept".to_owned(), Some(compacted))
                }
                Ok(Some(item)) => return Ok(item),
                Ok(None) => ("the node ended the watch".to_owned(), None),
                // Another node may know of a grant that this one has not heard of yet.
                Err(error @ ClientError::Refused { .. }) => {
                    let reason = error.reason();
                    denied = Some(error);
                    (reason, None)
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => (error.reason(), None),
            };
            self.open = None;
            let (since, seen) = lost.get_or_insert_with(|| (Instant::now(), None));
            *seen = compacted.or(*seen);
            match *seen {
                // Everybody else was asked, or has had the time to answer.
                Some(compacted) if self.compacted_everywhere() || since.elapsed() >= self.client.within => {
                    return Ok(Watched::Compacted(compacted));
                }
                None if since.elapsed() >= self.client.within => {
                    return Err(denied.unwrap_or(ClientError::Unreachable { reason }));
                }
                _ => sleep(PAUSE).await,
            }
        }
    }

    fn compacted_everywhere(&self) -> bool {
        self.client.route.addresses().iter().all(|address| self.compacted_at.contains(address))
    }

    async fn step(&mut self) -> Result<Option<Watched>, ClientError> {
        let broken = |status: &tonic::Status| match status.code() {
            tonic::Code::PermissionDenied => ClientError::Refused { reason: explain(status) },
            _ => ClientError::Unreachable { reason: explain(status) },
        };
        if self.open.is_none() {
            let mut addresses = self.client.route.addresses();
            if addresses.len() > 1 {
                addresses.retain(|address| *address != self.left);
            }
            let at = self.tries.checked_rem(addresses.len()).unwrap_or(0);
            self.tries += 1;
            let address = addresses.get(at).map_or("", String::as_str);
            self.address = address.to_owned();
            let node = self.client.route.connections.to(address).await?;
            let asked = tonic::Request::new(WatchRequest {
                from: self.next,
                generation: self.generation.map(convert::wire_generation),
                marks: self.marks,
            });
            self.open = Some(node.caller.watch(asked).await.map_err(|status| broken(&status))?);
        }
        let Some(stream) = &mut self.open else { return Ok(None) };
        loop {
            return match stream.message().await.map_err(|status| broken(&status))?.map(|event| event.item) {
                None => Ok(None),
                Some(Some(WatchItem::Opened(generation))) => {
                    let generation = convert::generation(&generation);
                    self.generation = Some(generation.map_err(|reason| ClientError::Server { reason })?);
                    continue;
                }
                Some(Some(WatchItem::Change(message))) => {
                    let change = decode(message)?;
                    self.next = change.position.index.next().0;
                    self.compacted_at.clear();
                    Ok(Some(Watched::Change(Box::new(change))))
                }
                Some(Some(WatchItem::Reached(index))) => {
                    let index = ControlPlaneLogIndex(index);
                    self.next = self.next.max(index.next().0);
                    self.compacted_at.clear();
                    Ok(Some(Watched::Reached(index)))
                }
                Some(Some(WatchItem::Compacted(compacted))) => {
                    let generation = convert::generation(&compacted.generation);
                    let generation = generation.map_err(|reason| ClientError::Server { reason })?;
                    // Left behind by a recovery, it speaks of indexes that are nobody's any more.
                    if self.generation.is_some_and(|ours| generation.number < ours.number) {
                        return Ok(None);
                    }
                    self.compacted_at.insert(self.address.clone());
                    let resume = ControlPlaneLogIndex(compacted.resume);
                    Ok(Some(Watched::Compacted(Compacted { resume, generation })))
                }
                Some(None) => Err(newer()),
            };
        }
    }
}

fn decode(message: ChangeMessage) -> Result<Change, ClientError> {
    let bad = |reason: String| ClientError::Server { reason };
    let request = match message.kind {
        0 => None,
        kind => {
            let entry = convert::entry(kind, message.request).map_err(bad)?;
            Some(Request::from_entry(&entry).map_err(|error| bad(cp_driver::chain(&error)))?)
        }
    };
    let verdict = codec::decode_verdict(&message.verdict).map_err(|error| bad(cp_driver::chain(&error)))?;
    Ok(Change { position: convert::log_position(message.position), request, verdict, repeated: message.repeated })
}
