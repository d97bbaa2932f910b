//! The joiner's side of being let in.

use super::route::Attempt;
use super::{Client, ClientError, newer};
use crate::api::convert;
use crate::api::messages::{JoinChunk, JoinItem, JoinRequest, Welcome};
use crate::api::service::ControlPlaneCaller;
use crate::token::Token;
use bytes::Bytes;
use cp_catalog::{Addresses, FEATURE_LEVEL};
use cp_seam::MemberId;
use cp_store::{Founding, Identity};
use futures::FutureExt;

impl Client {
    /// Presents `token` as `member`, which this client's certificate must be for,
    /// and takes what its directory is made from. The token is spent once, however
    /// often a call is retried within; a token spent by a joiner that then lost
    /// what it got is of no more use.
    pub async fn join(
        &self,
        member: &MemberId,
        token: &Token,
        addresses: &Addresses,
    ) -> Result<(Identity, Founding), ClientError> {
        let id = self.next_id().await?;
        let (welcome, chunks) = self
            .route
            .call(self.within, |node, _| {
                let request = JoinRequest {
                    token: token.to_string(),
                    member: member.to_string(),
                    peer_address: addresses.peer.clone(),
                    client_address: addresses.client.clone(),
                    http_address: addresses.http.clone(),
                    client: Bytes::copy_from_slice(&id.client.0),
                    since: id.since.0,
                    feature_level: FEATURE_LEVEL,
                };
                attempt(node.caller, request).boxed()
            })
            .await?;
        let bad = |reason: String| ClientError::Server { reason };
        convert::founding(member.clone(), welcome, chunks).map_err(bad)
    }
}

async fn attempt(caller: ControlPlaneCaller, request: JoinRequest) -> Attempt<(Welcome, Vec<Bytes>)> {
    let perhaps = |status: &tonic::Status| Attempt::status(status, false);
    let mut stream = match caller.join(tonic::Request::new(request)).await {
        Ok(stream) => stream,
        Err(status) => return perhaps(&status),
    };
    let mut welcome: Option<Welcome> = None;
    let mut chunks = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(JoinChunk { item: Some(item) })) => match item {
                JoinItem::Redirect(redirect) => return Attempt::Elsewhere(redirect),
                JoinItem::Refused(refused) => return Attempt::refused(refused),
                JoinItem::Welcome(first) => welcome = Some(*first),
                JoinItem::Body(chunk) => chunks.push(chunk),
            },
            Ok(Some(JoinChunk { item: None })) => return Attempt::Fail(newer()),
            Ok(None) => break,
            Err(status) => return perhaps(&status),
        }
    }
    match welcome {
        Some(welcome) if u64::try_from(chunks.len()) == Ok(welcome.chunks) => Attempt::Done((welcome, chunks)),
        _ => Attempt::Perhaps("the state ended early".to_owned()),
    }
}
