//! How a client is given a backup: captured at once, sent piece by piece.

use super::convert;
use super::messages::{ReadResult, RefusedCode, SnapshotHeader, SnapshotItem, SnapshotPiece, SnapshotRequest};
use super::server::{NodeApi, refused};
use cp_seam::SnapshotReader;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::Status;

/// Captures the state, once it reflects all that was acknowledged, and streams it.
pub(super) async fn pieces(
    api: &NodeApi,
    request: SnapshotRequest,
) -> BoxStream<'static, Result<SnapshotPiece, Status>> {
    let sent = |item| Ok(SnapshotPiece { item: Some(item) });
    match captured(api, request.stale).await {
        Err(item) => stream::iter([sent(item)]).boxed(),
        Ok((header, reader)) => {
            let first = stream::iter([sent(SnapshotItem::Header(Box::new(header)))]);
            first.chain(stream::unfold(Some((reader, 0)), next)).boxed()
        }
    }
}

type Left = Option<(Box<dyn SnapshotReader>, u64)>;

async fn next(left: Left) -> Option<(Result<SnapshotPiece, Status>, Left)> {
    let (mut reader, sent) = left?;
    Some(match reader.next_chunk() {
        Ok(Some(chunk)) => (Ok(SnapshotPiece { item: Some(SnapshotItem::Body(chunk)) }), Some((reader, sent + 1))),
        Ok(None) => (Ok(SnapshotPiece { item: Some(SnapshotItem::Ended(sent)) }), None),
        Err(halt) => (Err(Status::internal(halt.reason)), None),
    })
}

async fn captured(api: &NodeApi, stale: bool) -> Result<(SnapshotHeader, Box<dyn SnapshotReader>), SnapshotItem> {
    // What is captured afterwards is at least as new as this reading.
    if let Err(result) = api.readable(stale).await {
        return Err(match result {
            ReadResult::Redirect(redirect) => SnapshotItem::Redirect(redirect),
            ReadResult::Refused(refusal) => SnapshotItem::Refused(refusal),
            _ => SnapshotItem::Refused(refused(RefusedCode::Unspecified, "the state could not be read")),
        });
    }
    let captured = cp_driver::capture(&api.store, api.supervisor.machine());
    let (meta, reader) = captured.map_err(|halt| SnapshotItem::Refused(refused(RefusedCode::Busy, halt.reason)))?;
    Ok((convert::snapshot_header(&api.identity, api.engine, &meta), reader))
}
