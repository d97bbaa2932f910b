//! Puts clients' commands to the leader.

use super::convert;
use super::messages::{Committed, ProposeReply, ProposeRequest, ProposeResult, RefusedCode, Unknown};
use super::server::{NodeApi, refused};
use crate::supervisor::SubmitError;
use cp_catalog::{Principal, Request, codec};
use futures::stream::{self, BoxStream, FuturesUnordered, Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

/// How long a node waits for a verdict, however long the client would.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How many commands of one stream are under way or wait to be answered at once; the stream is
/// not read further meanwhile.
const IN_FLIGHT_MAX: usize = 1024;

/// A reply, and its place among those of its stream.
type Reply = (Result<ProposeReply, Status>, OwnedSemaphorePermit);

/// The answers to a stream of commands, as they are decided.
pub(super) fn replies(
    api: Arc<NodeApi>,
    principal: Principal,
    requests: impl Stream<Item = Result<ProposeRequest, Status>> + Send + Unpin + 'static,
) -> BoxStream<'static, Result<ProposeReply, Status>> {
    let answered = move |message: ProposeRequest| {
        let (api, principal) = (Arc::clone(&api), principal.clone());
        async move {
            let number = message.number;
            ProposeReply { number, result: Some(api.proposed(principal, message).await) }
        }
    };
    let (send, mut replies) = mpsc::unbounded_channel();
    tokio::spawn(answer(requests, answered, send));
    stream::poll_fn(move |context| replies.poll_recv(context)).map(|(reply, _place)| reply).boxed()
}

/// Sees to commands, on a task of its own: replies that nobody reads must hold up no command, since
/// others wait for the places in the node that those under way have.
async fn answer<F: Future<Output = ProposeReply>>(
    mut requests: impl Stream<Item = Result<ProposeRequest, Status>> + Unpin,
    answered: impl Fn(ProposeRequest) -> F,
    send: mpsc::UnboundedSender<Reply>,
) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut under_way = FuturesUnordered::new();
    let mut more = true;
    while more || !under_way.is_empty() {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((requests.next().await?, place))
        };
        let reply = tokio::select! {
            // The caller is gone.
            () = send.closed() => return,
            Some((reply, place)) = under_way.next() => (Ok(reply), place),
            next = next, if more => match next {
                Some((Ok(message), place)) => {
                    let answered = answered(message);
                    under_way.push(async move { (answered.await, place) });
                    continue;
                }
                Some((Err(status), place)) => {
                    more = false;
                    (Err(status), place)
                }
                None => {
                    more = false;
                    continue;
                }
            },
        };
        if send.send(reply).is_err() {
            return;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn message(number: u64) -> Result<ProposeRequest, Status> {
        Ok(ProposeRequest { kind: 1, request: bytes::Bytes::new(), wait_ms: 0, number })
    }

    fn count(count: usize) -> u64 {
        count.try_into().unwrap()
    }

    /// Else they would keep the places in the node that others wait for (CP-L1).
    #[tokio::test]
    async fn replies_that_nobody_reads_hold_up_no_command() {
        let (send, mut replies) = mpsc::unbounded_channel();
        let (asks, mut asked) = mpsc::unbounded_channel();
        let (decide, decided) = tokio::sync::watch::channel(false);
        let ended = Arc::new(Semaphore::new(0));
        let done = Arc::clone(&ended);
        let answered = move |message: ProposeRequest| {
            let (mut decided, done) = (decided.clone(), Arc::clone(&done));
            async move {
                if message.number > 1 {
                    decided.wait_for(|decided| *decided).await.unwrap();
                }
                done.add_permits(1);
                ProposeReply { number: message.number, result: None }
            }
        };
        for number in 1..=2 * count(IN_FLIGHT_MAX) {
            asks.send(message(number)).unwrap();
        }
        let task = tokio::spawn(answer(stream::poll_fn(move |context| asked.poll_recv(context)), answered, send));
        ended.acquire().await.unwrap().forget();
        // One has been answered, and nobody reads that.
        decide.send(true).unwrap();
        ended.acquire_many(u32::try_from(IN_FLIGHT_MAX).unwrap() - 1).await.unwrap().forget();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ended.available_permits(), 0, "no more are taken than there are places");
        let (first, place) = replies.recv().await.unwrap();
        assert_eq!(first.unwrap().number, 1);
        drop(place);
        ended.acquire().await.unwrap().forget();
        drop(asks);
        let mut numbers = vec![1];
        while let Some((reply, _)) = replies.recv().await {
            numbers.push(reply.unwrap().number);
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=2 * count(IN_FLIGHT_MAX)));
        task.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_under_way_ends_with_its_caller() {
        let (send, replies) = mpsc::unbounded_channel();
        let answered = |_| std::future::pending::<ProposeReply>();
        let task = tokio::spawn(answer(stream::iter([message(1)]).chain(stream::pending()), answered, send));
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        drop(replies);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_read_ends_the_stream_after_what_came_before() {
        let (send, mut replies) = mpsc::unbounded_channel();
        let answered =
            |message: ProposeRequest| std::future::ready(ProposeReply { number: message.number, result: None });
        let requests = stream::iter([message(1), Err(Status::data_loss("torn"))]);
        answer(requests, answered, send).await;
        let mut all = Vec::new();
        while let Some((reply, _)) = replies.recv().now_or_never().flatten() {
            all.push(reply.map(|reply| reply.number).map_err(|status| status.message().to_owned()));
        }
        all.sort();
        assert_eq!(all, [Ok(1), Err("torn".to_owned())]);
    }
}
