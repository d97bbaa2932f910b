//! How an admitted member is let in: its token is spent, and it gets the state.

use super::convert;
use super::messages::{JoinChunk, JoinItem, JoinRequest, RefusedCode};
use super::server::{NodeApi, refused};
use crate::supervisor::SubmitError;
use crate::token::Token;
use bytes::Bytes;
use cp_catalog::{
    Addresses, ClientId, Effect, Features, Joining, MemberLife, MembershipCommand, Request, RequestId, Verdict,
};
use cp_net::tls::PeerName;
use cp_seam::{ControlPlaneLogIndex, Incarnation, MemberId};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::time::Duration;
use tonic::Status;

/// How long the entry may take to be committed.
const WAIT: Duration = Duration::from_secs(10);

/// Lets the member in that TLS has proved to be `peer`, and streams the state.
pub(super) async fn admit(
    api: &NodeApi,
    peer: &PeerName,
    request: JoinRequest,
) -> BoxStream<'static, Result<JoinChunk, Status>> {
    let items = match let_in(api, peer, request).await {
        Ok(incarnation) => state(api, incarnation),
        Err(item) => vec![item],
    };
    stream::iter(items.into_iter().map(|item| Ok(JoinChunk { item: Some(item) }))).boxed()
}

fn invalid(why: impl Into<String>) -> JoinItem {
    JoinItem::Refused(refused(RefusedCode::Invalid, why))
}

async fn let_in(api: &NodeApi, peer: &PeerName, request: JoinRequest) -> Result<Incarnation, JoinItem> {
    let member = MemberId::new(&request.member).map_err(|bad| invalid(bad.to_string()))?;
    if peer.as_member() != Some(&member) {
        return Err(invalid(format!(
            "the certificate is for {peer}, not for member {member}; join with that member's certificate"
        )));
    }
    let token: Token = request.token.parse().map_err(|bad: crate::token::BadToken| invalid(bad.to_string()))?;
    let client = <[u8; 16]>::try_from(&*request.client).map_err(|_| invalid("the client id has not 16 bytes"))?;
    let joining = Joining {
        cluster: peer.cluster(),
        kind: kind(api, &member)?,
        member: MemberLife { id: member, incarnation: token.incarnation },
        token_hash: token.hash(),
        addresses: Addresses { peer: request.peer_address, client: request.client_address, http: request.http_address },
        features: Features { level: request.feature_level, ..Features::default() },
    };
    let id = RequestId { client: ClientId(client), since: ControlPlaneLogIndex(request.since), sequence: 1 };
    let request = Request::new(Some(id), MembershipCommand::Joined(joining));
    match api.supervisor.submit(request, WAIT).await {
        Ok(decision) => match decision.verdict {
            // What it acknowledged in this life is in its directory: a second one would lack it (CP-M3).
            Verdict::Done(Effect::AlreadyMember { member, incarnation }) => Err(invalid(format!(
                "{member} has joined already, as {incarnation}; start it with the directory that it has, or if that was lost, remove it and admit it again"
            ))),
            Verdict::Done(_) => Ok(token.incarnation),
            Verdict::Refused(refusal) => Err(invalid(refusal.to_string())),
        },
        Err(SubmitError::Refused(refusal)) => {
            Err(api.refusal(refusal).map_or_else(JoinItem::Refused, JoinItem::Redirect))
        }
        Err(error) => Err(JoinItem::Refused(refused(RefusedCode::Busy, cp_driver::chain(&error)))),
    }
}

/// What the member was admitted as, as far as this node knows; the entry is checked again when applied.
fn kind(api: &NodeApi, member: &MemberId) -> Result<cp_seam::MemberKind, JoinItem> {
    let consensus = api.supervisor.consensus();
    if !consensus.is_leader() {
        return Err(JoinItem::Redirect(api.redirect(consensus.leader())));
    }
    match api.supervisor.read_stale().catalog.member(member) {
        Some(known) => Ok(known.kind),
        None => Err(invalid(format!("{member} is not a member; admit it with `cp-supervisor member add` first"))),
    }
}

/// The state at or after the entry that let the member in.
fn state(api: &NodeApi, incarnation: Incarnation) -> Vec<JoinItem> {
    match cp_driver::founding(&api.store, api.supervisor.machine()) {
        Ok(founding) => {
            let welcome = convert::welcome(&api.identity, api.engine, incarnation, &founding);
            let body = founding.chunks.into_iter().map(|chunk: Bytes| JoinItem::Body(chunk));
            std::iter::once(JoinItem::Welcome(Box::new(welcome))).chain(body).collect()
        }
        Err(halt) => vec![JoinItem::Refused(refused(RefusedCode::Busy, halt.reason))],
    }
}
