//! The stream of committed changes.

use super::access::allow;
use super::convert;
use super::messages::{ChangeMessage, CompactedMessage, WatchEvent, WatchItem, WatchRequest};
use crate::changes::{Changes, ChangesEnd, Compacted, Cursor, Told};
use crate::supervisor::Supervisor;
use cp_catalog::{Change, Principal, Privilege, codec};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneStateMachine};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::Status;

/// The changes that `asked` asks for; from index 0 means from what is next.
pub(super) fn events(
    supervisor: &Supervisor,
    principal: Principal,
    asked: &WatchRequest,
) -> BoxStream<'static, Result<WatchEvent, Status>> {
    let machine = supervisor.machine().clone();
    let may = move || machine.read(|catalog| allow(catalog, &principal, Privilege::Read));
    if let Err(refusal) = may() {
        return stream::iter([Err(Status::permission_denied(refusal.message))]).boxed();
    }
    // What a stopped node says of its state is not to be gone by (CP-R3).
    if let Some(reason) = supervisor.status().stopped {
        return stream::iter([Err(Status::unavailable(format!("the node has stopped: {reason}")))]).boxed();
    }
    let generation = match asked.generation.as_ref().map(convert::generation).transpose() {
        Ok(generation) => generation,
        Err(why) => return stream::iter([Err(Status::invalid_argument(why))]).boxed(),
    };
    let index = match asked.from {
        0 => supervisor.machine().applied().next(),
        from => ControlPlaneLogIndex(from),
    };
    match supervisor.watch(Cursor { index, generation }) {
        Ok(changes) => {
            let opened = WatchItem::Opened(convert::wire_generation(changes.generation()));
            let first = stream::iter([Ok(WatchEvent { item: Some(opened) })]);
            // A watch may be open for months: a grant that is taken back ends it.
            let checked = move |event: &Result<WatchEvent, Status>| match (event, may()) {
                (Ok(_), Err(refusal)) => Some(Status::permission_denied(refusal.message)),
                _ => None,
            };
            let marks = asked.marks;
            let rest =
                stream::unfold(Some(changes), move |changes| step(changes, marks)).scan(false, move |over, event| {
                    let denied = checked(&event).filter(|_| !*over);
                    let next = (!*over).then(|| denied.map_or(event, Err));
                    *over |= !matches!(next, Some(Ok(_)));
                    std::future::ready(next)
                });
            first.chain(rest).boxed()
        }
        Err(compacted) => stream::iter([Ok(compacted_event(&compacted))]).boxed(),
    }
}

async fn step(changes: Option<Changes>, marks: bool) -> Option<(Result<WatchEvent, Status>, Option<Changes>)> {
    let mut changes = changes?;
    let told = if marks { changes.next_or_reached().await } else { changes.next().await.map(Told::Change) };
    match told {
        Ok(Told::Change(change)) => Some((Ok(event(&change)), Some(changes))),
        Ok(Told::Reached(index)) => Some((Ok(WatchEvent { item: Some(WatchItem::Reached(index.0)) }), Some(changes))),
        Err(ChangesEnd::Compacted(compacted)) => Some((Ok(compacted_event(&compacted)), None)),
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

fn compacted_event(compacted: &Compacted) -> WatchEvent {
    let generation = convert::wire_generation(compacted.generation);
    WatchEvent { item: Some(WatchItem::Compacted(CompactedMessage { resume: compacted.resume.0, generation })) }
}
