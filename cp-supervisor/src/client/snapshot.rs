//! A backup of the state, streamed from a node.

use super::route::{Attempt, explain};
use super::{Client, ClientError, newer};
use crate::api::convert;
use crate::api::messages::{SnapshotHeader, SnapshotItem, SnapshotPiece, SnapshotRequest};
use crate::api::service::ControlPlaneCaller;
use bytes::Bytes;
use cp_recovery::BackupMeta;
use futures::FutureExt;

/// A state on its way here.
#[derive(Debug)]
pub struct SnapshotStream {
    meta: BackupMeta,
    stream: tonic::Streaming<SnapshotPiece>,
    received: u64,
}

impl Client {
    /// The state, reflecting everything acknowledged before, unless the client is told
    /// that stale answers will do. A stream that breaks off is not taken up elsewhere.
    pub async fn snapshot(&self) -> Result<SnapshotStream, ClientError> {
        self.snapshot_as(self.stale).await
    }

    pub(crate) async fn snapshot_as(&self, stale: bool) -> Result<SnapshotStream, ClientError> {
        let (header, stream) =
            self.route.call(self.within, |node, _| attempt(node.caller, SnapshotRequest { stale }).boxed()).await?;
        let meta = convert::backup_meta(header).map_err(|reason| ClientError::Server { reason })?;
        Ok(SnapshotStream { meta, stream, received: 0 })
    }
}

impl SnapshotStream {
    /// What the state is.
    pub fn meta(&self) -> &BackupMeta {
        &self.meta
    }

    /// The next chunk; `None` once all of them have come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let cut = |reason: String| ClientError::Server { reason: format!("the state broke off: {reason}") };
        match self.stream.message().await {
            Ok(Some(SnapshotPiece { item: Some(SnapshotItem::Body(chunk)) })) => {
                self.received += 1;
                Ok(Some(chunk))
            }
            Ok(Some(SnapshotPiece { item: Some(SnapshotItem::Ended(sent)) })) if sent == self.received => Ok(None),
            Ok(_) => Err(cut(format!("{} chunks came", self.received))),
            Err(status) => Err(cut(explain(&status))),
        }
    }
}

async fn attempt(
    caller: ControlPlaneCaller,
    request: SnapshotRequest,
) -> Attempt<(SnapshotHeader, tonic::Streaming<SnapshotPiece>)> {
    let later = |status: &tonic::Status| Attempt::status(status, true);
    let mut stream = match caller.snapshot(tonic::Request::new(request)).await {
        Ok(stream) => stream,
        Err(status) => return later(&status),
    };
    match stream.message().await {
        Ok(Some(SnapshotPiece { item: Some(item) })) => match item {
            SnapshotItem::Redirect(redirect) => Attempt::Elsewhere(redirect),
            SnapshotItem::Refused(refused) => Attempt::refused(refused),
            SnapshotItem::Header(header) => Attempt::Done((*header, stream)),
            SnapshotItem::Body(_) | SnapshotItem::Ended(_) => Attempt::Fail(newer()),
        },
        Ok(_) => Attempt::Fail(newer()),
        Err(status) => later(&status),
    }
}
