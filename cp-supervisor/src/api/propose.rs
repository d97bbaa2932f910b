//! Puts clients' commands to the leader.

use super::convert;
use super::messages::{Committed, ProposeReply, ProposeRequest, ProposeResult, RefusedCode, Unknown};
use super::server::{NodeApi, refused};
use crate::supervisor::SubmitError;
use cp_catalog::{Principal, Request, codec};
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// How long a node waits for a verdict, however long the client would.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How many commands of one stream are under way at once; the stream is not read further meanwhile.
const IN_FLIGHT_MAX: usize = 1024;

/// The answers to a stream of commands, as they are decided.
pub(super) fn replies(
    api: Arc<NodeApi>,
    principal: Principal,
    requests: impl Stream<Item = Result<ProposeRequest, Status>> + Send + 'static,
) -> BoxStream<'static, Result<ProposeReply, Status>> {
    let answered = move |next: Result<ProposeRequest, Status>| {
        let (api, principal) = (Arc::clone(&api), principal.clone());
        async move {
            let message = next?;
            let number = message.number;
            Ok(ProposeReply { number, result: Some(api.proposed(principal, message).await) })
        }
    };
    requests.map(answered).buffer_unordered(IN_FLIGHT_MAX).boxed()
}

impl NodeApi {
    /// What became of a command of `principal`.
    async fn proposed(&self, principal: Principal, message: ProposeRequest) -> ProposeResult {
        let wait = Duration::from_millis(message.wait_ms).min(WAIT_MAX);
        // What a client lacks is for the leader to say, who knows of its last grant.
        let consensus = self.supervisor.consensus();
        if !consensus.is_leader()
            && let Some(leader) = consensus.leader().filter(|leader| *leader != self.identity.member)
        {
            return ProposeResult::Redirect(self.redirect(Some(leader)));
        }
        let request = convert::entry(message.kind, message.request)
            .and_then(|entry| Request::from_entry(&entry).map_err(|error| cp_driver::chain(&error)))
            .map_err(|why| refused(RefusedCode::Invalid, why))
            .and_then(|request| self.vouched(principal, request));
        match request {
            Err(refusal) => ProposeResult::Refused(refusal),
            Ok(request) => match self.supervisor.submit(request, wait).await {
                Ok(decision) => ProposeResult::Committed(Committed {
                    position: convert::position(decision.position),
                    verdict: codec::encode_verdict(&decision.verdict).into(),
                    settled: decision.settled,
                }),
                Err(SubmitError::Refused(refusal)) => {
                    self.refusal(refusal).map_or_else(ProposeResult::Refused, ProposeResult::Redirect)
                }
                Err(SubmitError::Unknown { reason }) => ProposeResult::Unknown(Unknown { reason }),
                Err(error) => ProposeResult::Refused(refused(RefusedCode::Invalid, cp_driver::chain(&error))),
            },
        }
    }
}
