//! Several appends to one peer on their way at once, so that a record need not
//! wait for the answer to what was sent before it.
//!
//! A request that says no more than that the committed index has risen waits a moment
//! for records to go with it: under load most of a node's time would go into such
//! requests, and nobody but a follower waits for what they say. Whatever comes next
//! says it too, so that it is left out; openraft takes the answer to a request as the
//! answer to every earlier one.
//!
//! Two rules keep openraft's books right:
//!
//! - A request without records is sent only when nothing else is on its way.
//!   openraft takes the answer to a request as the answer to every later one that
//!   ends at the same record, so it would take an answer from before a read for
//!   one from after it (CP-P4). It does so from when a request was pulled, so that
//!   a read also waits for [`confirmed`](crate::confirmed).
//! - A conflict where the peer has just acknowledged the record says that frames
//!   changed places, not that the log went back; it is passed on as a failed
//!   request, and openraft asks again.

use crate::network::RpcError;
use crate::types::{LogId, Types};
use futures::stream::{FuturesOrdered, unfold};
use futures::{Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use tokio::time::{Instant, sleep_until};

/// How many appends may be on their way to one peer.
const FLYING_MAX: usize = 4;

type Request = AppendEntriesRequest<Types>;
type Answer = Result<StreamAppendResult<Types>, RpcError>;

type Response = Result<AppendEntriesResponse<Types>, RpcError>;

/// The answers to the requests of `input`, in their order; it ends after the
/// first that is not an acknowledgement. `append` sends a request at once; its
/// future is the response.
pub(crate) fn answers<'s, S, A, R>(append: A, input: S) -> impl Stream<Item = Answer> + Send + 's
where
    S: Stream<Item = Request> + Send + Unpin + 's,
    A: Fn(Request) -> R + Send + Sync + 's,
    R: Future<Output = Response> + Send + 's,
{
    let flight = Flight { append, input: Some(input), held: None, said: None, acknowledged: None };
    unfold((Some(flight), FuturesOrdered::new()), |(flight, mut flying)| async move {
        let mut flight = flight?;
        loop {
            let (on_their_way, due) = (flying.len(), flight.due(flying.is_empty()));
            tokio::select! {
                biased;
                Some(answer) = flying.next() => {
                    let answer = flight.judge(answer);
                    let goes_on = matches!(answer, Ok(Ok(_))).then_some(flight);
                    return Some((answer, (goes_on, flying)));
                }
                () = until(due), if due.is_some() => {
                    if let Some(held) = flight.held.take() {
                        flying.push_back(flight.send(held.request));
                    }
                }
                Some(request) = flight.next_request(on_their_way) => {
                    if request.entries.is_empty() {
                        flight.hold(request);
                    } else {
                        flight.held = None;
                        flying.push_back(flight.send(request));
                    }
                }
                else => return None,
            }
        }
    })
}

async fn until(due: Option<Option<Instant>>) {
    if let Some(Some(due)) = due {
        sleep_until(due).await;
    }
}

struct Flight<A, S> {
    append: A,
    input: Option<S>,
    held: Option<Held>,
    /// What was last said of the committed index, if anything was.
    said: Option<Option<LogId>>,
    acknowledged: Option<LogId>,
}

/// A request without records.
struct Held {
    request: Request,
    /// Until when it waits for records, if it only says that more is committed.
    patient_until: Option<Instant>,
}

/// What was asked, and what came back.
struct Landed {
    after: Option<LogId>,
    end: Option<LogId>,
    response: Response,
}

impl<A, R, S> Flight<A, S>
where
    S: Stream<Item = Request> + Send + Unpin,
    A: Fn(Request) -> R,
    R: Future<Output = Response> + Send,
{
    /// The next request; `None` if there will be none before an answer.
    async fn next_request(&mut self, flying: usize) -> Option<Request> {
        if flying >= FLYING_MAX {
            return None;
        }
        let next = self.input.as_mut()?.next().await;
        if next.is_none() {
            self.input = None;
        }
        next
    }

    /// Takes the place of what is held; it waits no longer than that would have.
    fn hold(&mut self, request: Request) {
        let only_commits = self.said.as_ref().is_some_and(|said| request.leader_commit > *said);
        let patience = || Instant::now() + cp_driver::COMMIT_PATIENCE;
        let patient_until = match &self.held {
            Some(held) if only_commits => held.patient_until,
            _ => only_commits.then(patience),
        };
        self.held = Some(Held { request, patient_until });
    }

    /// When what is held leaves, if it may: at once, or then.
    fn due(&self, nothing_flies: bool) -> Option<Option<Instant>> {
        let held = self.held.as_ref().filter(|_| nothing_flies)?;
        Some(held.patient_until.filter(|_| self.input.is_some()))
    }

    fn send(&mut self, request: Request) -> impl Future<Output = Landed> + Send + use<A, R, S> {
        self.said = Some(request.leader_commit);
        let after = request.prev_log_id;
        let end = request.entries.last().map(|entry| entry.log_id).or(after);
        let response = (self.append)(request);
        async move { Landed { after, end, response: response.await } }
    }

    fn judge(&mut self, landed: Landed) -> Answer {
        let response = landed.response?;
        if response.is_conflict() && landed.after <= self.acknowledged {
            let changed_places = "a conflict at a record that the peer has acknowledged";
            return Err(RPCError::Network(NetworkError::from_string(changed_places)));
        }
        if response.is_success() {
            self.acknowledged = landed.end;
        }
        Ok(response.into_stream_result(landed.after, landed.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommittedLeaderId, Entry, Payload, Vote};
    use futures::stream;
    use openraft::entry::RaftEntry;
    use std::sync::{Arc, Mutex};
    use tokio::sync::oneshot;

    type Sent = Arc<Mutex<Vec<(Option<u64>, usize, oneshot::Sender<Response>)>>>;

    fn at(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(1), index)
    }

    /// A request with the records of `range`, or none.
    fn request(after: u64, records: u64) -> Request {
        let entries = (after + 1..=after + records).map(|index| Entry::new(at(index), Payload::Blank)).collect();
        Request { vote: Vote::new_committed(1, 1), prev_log_id: Some(at(after)), entries, leader_commit: None }
    }

    /// Answers to `requests`, and what was sent and waits for a response.
    fn fly(requests: Vec<Request>) -> (impl Stream<Item = Answer>, Sent) {
        // The leader goes on leading.
        fly_from(stream::iter(requests).chain(stream::pending()))
    }

    fn fly_from(requests: impl Stream<Item = Request> + Send + Unpin + 'static) -> (impl Stream<Item = Answer>, Sent) {
        let sent = Sent::default();
        let sending = Arc::clone(&sent);
        let append = move |request: Request| {
            let (response, responded) = oneshot::channel();
            let what = (request.prev_log_id.map(|id| id.index), request.entries.len(), response);
            sending.lock().expect("unpoisoned").push(what);
            async move { responded.await.expect("responded") }
        };
        (answers(append, requests), sent)
    }

    fn respond(sent: &Sent, which: usize, response: AppendEntriesResponse<Types>) {
        let (_, _, sender) = sent.lock().expect("unpoisoned").remove(which);
        sender.send(Ok(response)).expect("waited for");
    }

    fn waiting(sent: &Sent) -> Vec<(Option<u64>, usize)> {
        sent.lock().expect("unpoisoned").iter().map(|(after, records, _)| (*after, *records)).collect()
    }

    #[tokio::test]
    async fn records_do_not_wait_and_answers_keep_their_order() {
        let (answers, sent) = fly(vec![request(5, 2), request(7, 1), request(8, 1)]);
        let mut answers = Box::pin(answers);
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(5), 2), (Some(7), 1), (Some(8), 1)]);
        respond(&sent, 1, AppendEntriesResponse::Success);
        assert!(futures::poll!(answers.next()).is_pending(), "the first comes first");
        respond(&sent, 0, AppendEntriesResponse::Success);
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(7))))));
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(8))))));
    }

    /// CP-P4: openraft would take the first answer for the second's.
    #[tokio::test]
    async fn a_request_without_records_travels_alone() {
        let (answers, sent) = fly(vec![request(5, 2), request(7, 0)]);
        let mut answers = Box::pin(answers);
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(5), 2)]);
        respond(&sent, 0, AppendEntriesResponse::Success);
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(7))))));
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(7), 0)]);
    }

    #[tokio::test]
    async fn records_do_not_wait_for_a_request_without() {
        let (answers, sent) = fly(vec![request(5, 2), request(7, 0), request(7, 1)]);
        let mut answers = Box::pin(answers);
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(5), 2), (Some(7), 1)], "they say what it would have said");
    }

    fn committed(request: Request, index: u64) -> Request {
        Request { leader_commit: Some(at(index)), ..request }
    }

    #[tokio::test(start_paused = true)]
    async fn word_of_a_commit_alone_waits_for_records_and_not_for_long() {
        let (input, requests) = futures::channel::mpsc::unbounded();
        let (answers, sent) = fly_from(requests);
        let mut answers = Box::pin(answers);
        let give = |request| input.unbounded_send(request).expect("taken");
        give(committed(request(7, 0), 6));
        assert!(futures::poll!(answers.next()).is_pending());
        respond(&sent, 0, AppendEntriesResponse::Success);
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(7))))), "the first of a session does not wait");
        give(committed(request(7, 0), 7));
        assert!(futures::poll!(answers.next()).is_pending());
        assert!(waiting(&sent).is_empty(), "it waits");
        give(committed(request(7, 1), 7));
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(7), 1)], "it went with records");
        respond(&sent, 0, AppendEntriesResponse::Success);
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(8))))));
        give(committed(request(8, 0), 8));
        assert!(futures::poll!(answers.next()).is_pending());
        tokio::time::sleep(cp_driver::COMMIT_PATIENCE).await;
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(8), 0)], "none came");
        respond(&sent, 0, AppendEntriesResponse::Success);
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(8))))));
        give(committed(request(8, 0), 8));
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent), [(Some(8), 0)], "it says nothing of a commit");
    }

    #[tokio::test]
    async fn a_conflict_ends_the_flight() {
        let (answers, sent) = fly(vec![request(5, 2), request(7, 1)]);
        let mut answers = Box::pin(answers);
        assert!(futures::poll!(answers.next()).is_pending());
        respond(&sent, 0, AppendEntriesResponse::Conflict);
        assert!(matches!(answers.next().await, Some(Ok(Err(_)))));
        assert_eq!(answers.next().await, None);
    }

    /// Frames that changed places do not look like a log that went back.
    #[tokio::test]
    async fn a_conflict_behind_an_acknowledgement_is_a_failed_request() {
        let (answers, sent) = fly(vec![request(5, 2), request(7, 1)]);
        let mut answers = Box::pin(answers);
        assert!(futures::poll!(answers.next()).is_pending());
        respond(&sent, 1, AppendEntriesResponse::Conflict);
        respond(&sent, 0, AppendEntriesResponse::Success);
        assert_eq!(answers.next().await, Some(Ok(Ok(Some(at(7))))));
        assert!(matches!(answers.next().await, Some(Err(_))));
        assert_eq!(answers.next().await, None);
    }

    #[tokio::test]
    async fn only_so_many_travel_at_once() {
        let (answers, sent) = fly((0..10).map(|n| request(n, 1)).collect());
        let mut answers = Box::pin(answers);
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(waiting(&sent).len(), FLYING_MAX);
    }
}
