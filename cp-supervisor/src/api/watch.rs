//! The stream of committed changes.

use super::convert;
use super::messages::{ChangeMessage, CompactedMessage, WatchEvent, WatchItem};
use crate::changes::{Changes, ChangesEnd};
use crate::supervisor::Supervisor;
use cp_catalog::{Change, codec};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::Status;

/// The changes from `from` on; 0 means from what is next.
pub(super) fn events(supervisor: &Supervisor, from: u64) -> BoxStream<'static, Result<WatchEvent, Status>> {
    let from = match from {
        0 => supervisor.machine().applied().next(),
        from => ControlPlaneLogIndex(from),
    };
    match supervisor.watch(from) {
        Ok(changes) => stream::unfold(Some(changes), step).boxed(),
        Err(compacted) => stream::iter([Ok(compacted_event(compacted.resume))]).boxed(),
    }
}

async fn step(changes: Option<Changes>) -> Option<(Result<WatchEvent, Status>, Option<Changes>)> {
    let mut changes = changes?;
    match changes.next().await {
        Ok(change) => Some((Ok(event(&change)), Some(changes))),
        Err(ChangesEnd::Compacted(compacted)) => Some((Ok(compacted_event(compacted.resume)), None)),
        Err(end @ ChangesEnd::Stopped { .. }) => Some((Err(Status::unavailable(end.to_string())), None)),
    }
}

fn event(change: &Change) -> WatchEvent {
    let entry = change.request.as_ref().and_then(|request| request.to_entry().ok());
    WatchEvent {
        item: Some(WatchItem::Change(ChangeMessage {
            position: convert::position(change.position),
            kind: entry.as_ref().map(|entry| convert::kind_number(entry.kind())).unwrap_or_default(),
            request: entry.map(|entry| entry.payload().as_bytes().clone()).unwrap_or_default(),
            verdict: codec::encode_verdict(&change.verdict).into(),
            repeated: change.repeated,
        })),
    }
}

fn compacted_event(resume: ControlPlaneLogIndex) -> WatchEvent {
    WatchEvent { item: Some(WatchItem::Compacted(CompactedMessage { resume: resume.0 })) }
}
