//! The commands of one connection: all on one stream, answered in any order.
//!
//! A call of its own for each costs both ends more than the command does.

use crate::api::messages::{ProposeReply, ProposeRequest};
use crate::api::service::ControlPlaneCaller;
use futures::stream::{self, Stream, StreamExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// How many commands may wait to be sent.
const UNSENT_MAX: usize = 1024;

/// The stream of one connection, opened when first needed and anew once it is over.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    open: tokio::sync::Mutex<Option<Open>>,
}

/// Why a command has no reply.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It never left this end.
    Unsent(Status),
    /// It may have been taken.
    Lost(Status),
}

impl Proposals {
    /// Sends a command and waits for its reply. Dropping the future leaves open whether it is
    /// taken, and takes nothing from the others.
    pub(super) async fn ask(
        &self,
        caller: &ControlPlaneCaller,
        request: ProposeRequest,
    ) -> Result<ProposeReply, Unanswered> {
        let place = self.enter(caller).await.map_err(Unanswered::Unsent)?;
        place.ask(request).await
    }

    async fn enter(&self, caller: &ControlPlaneCaller) -> Result<Place, Status> {
        let mut open = self.open.lock().await;
        if let Some(place) = open.as_ref().and_then(Open::enter) {
            return Ok(place);
        }
        let opened = Open::begin(caller).await?;
        let place = opened.enter().ok_or_else(|| opened.waiting.ended())?;
        *open = Some(opened);
        Ok(place)
    }
}

#[derive(Debug)]
struct Open {
    send: mpsc::Sender<ProposeRequest>,
    waiting: Arc<Waiting>,
}

impl Open {
    async fn begin(caller: &ControlPlaneCaller) -> Result<Self, Status> {
        let (send, mut unsent) = mpsc::channel(UNSENT_MAX);
        let replies = caller.propose(stream::poll_fn(move |context| unsent.poll_recv(context))).await?;
        Ok(Self::reading(replies, send))
    }

    fn reading(
        replies: impl Stream<Item = Result<ProposeReply, Status>> + Send + Unpin + 'static,
        send: mpsc::Sender<ProposeRequest>,
    ) -> Self {
        let waiting = Arc::new(Waiting::default());
        tokio::spawn(hand_out(replies, End(Arc::clone(&waiting))));
        Self { send, waiting }
    }

    /// A place for one more reply, unless the stream is over.
    fn enter(&self) -> Option<Place> {
        let (answer, reply) = oneshot::channel();
        let number = self.waiting.add(answer)?;
        Some(Place { number, reply, send: self.send.clone(), waiting: Arc::clone(&self.waiting) })
    }
}

/// Hands out the replies until the stream ends.
async fn hand_out(mut replies: impl Stream<Item = Result<ProposeReply, Status>> + Unpin, end: End) {
    let status = loop {
        match replies.next().await {
            Some(Ok(reply)) => end.0.answer(reply),
            Some(Err(status)) => break status,
            None => break Status::unavailable("the node ended the stream"),
        }
    };
    end.0.end(status);
}

/// Tells the end however it comes: with its runtime a task ends without a word.
struct End(Arc<Waiting>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(Status::cancelled("the runtime that read the replies has ended"));
    }
}

/// Who waits for a reply, and how the stream ended.
#[derive(Debug, Default)]
struct Waiting {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    last: u64,
    replies: HashMap<u64, oneshot::Sender<ProposeReply>>,
    ended: Option<Status>,
}

impl Waiting {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, answer: oneshot::Sender<ProposeReply>) -> Option<u64> {
        let mut books = self.books();
        if books.ended.is_some() {
            return None;
        }
        books.last += 1;
        let number = books.last;
        books.replies.insert(number, answer);
        Some(number)
    }

    fn answer(&self, reply: ProposeReply) {
        let waits = self.books().replies.remove(&reply.number);
        if let Some(Err(_)) = waits.map(|answer| answer.send(reply)) {
            tracing::trace!("a reply came for a caller that has just given up");
        }
    }

    fn remove(&self, number: u64) {
        self.books().replies.remove(&number);
    }

    /// The first end counts.
    fn end(&self, status: Status) {
        let mut books = self.books();
        books.ended.get_or_insert(status);
        books.replies.clear();
    }

    fn ended(&self) -> Status {
        self.books().ended.clone().unwrap_or_else(|| Status::unavailable("the stream is ending"))
    }
}

/// One command's place among those that wait; given up when dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    reply: oneshot::Receiver<ProposeReply>,
    send: mpsc::Sender<ProposeRequest>,
    waiting: Arc<Waiting>,
}

impl Place {
    async fn ask(mut self, request: ProposeRequest) -> Result<ProposeReply, Unanswered> {
        let request = ProposeRequest { number: self.number, ..request };
        if self.send.send(request).await.is_err() {
            return Err(Unanswered::Unsent(self.waiting.ended()));
        }
        (&mut self.reply).await.map_err(|_| Unanswered::Lost(self.waiting.ended()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    type Replies = mpsc::UnboundedSender<Result<ProposeReply, Status>>;

    fn open() -> (Open, mpsc::Receiver<ProposeRequest>, Replies) {
        let (send, unsent) = mpsc::channel(UNSENT_MAX);
        let (replies, mut read) = mpsc::unbounded_channel();
        (Open::reading(stream::poll_fn(move |context| read.poll_recv(context)), send), unsent, replies)
    }

    fn request() -> ProposeRequest {
        ProposeRequest { kind: 1, request: bytes::Bytes::new(), wait_ms: 0, number: 0 }
    }

    fn reply(number: u64) -> Result<ProposeReply, Status> {
        Ok(ProposeReply { number, result: None })
    }

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("it never ended")
    }

    #[tokio::test]
    async fn replies_find_those_who_asked_in_any_order() {
        let (open, mut unsent, replies) = open();
        let asked = [open.enter().unwrap().ask(request()), open.enter().unwrap().ask(request())];
        let node = async {
            let (first, second) = (unsent.recv().await.unwrap(), unsent.recv().await.unwrap());
            assert_ne!(first.number, second.number);
            replies.send(reply(second.number)).unwrap();
            replies.send(reply(first.number)).unwrap();
            [first.number, second.number]
        };
        let (answers, numbers) = in_time(futures::future::join(futures::future::join_all(asked), node)).await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().number).collect();
        assert_eq!(answers, numbers);
    }

    #[tokio::test]
    async fn who_gives_up_is_forgotten_and_takes_nothing_from_the_others() {
        let (open, mut unsent, replies) = open();
        let mut given_up = Box::pin(open.enter().unwrap().ask(request()));
        assert!(given_up.as_mut().now_or_never().is_none());
        let asked = open.enter().unwrap().ask(request());
        drop(given_up);
        assert_eq!(open.waiting.books().replies.len(), 1);
        let node = async {
            let (first, second) = (unsent.recv().await.unwrap(), unsent.recv().await.unwrap());
            replies.send(reply(first.number)).unwrap();
            replies.send(reply(second.number)).unwrap();
        };
        let (answer, ()) = in_time(futures::future::join(asked, node)).await;
        assert!(answer.is_ok());
        assert!(open.waiting.books().replies.is_empty());
    }

    #[tokio::test]
    async fn the_end_is_told_to_all_and_nobody_enters_after_it() {
        let (open, mut unsent, replies) = open();
        let asked = open.enter().unwrap().ask(request());
        let node = async {
            unsent.recv().await.unwrap();
            replies.send(Err(Status::data_loss("cut"))).unwrap();
        };
        let (answer, ()) = in_time(futures::future::join(asked, node)).await;
        let Err(Unanswered::Lost(status)) = answer else { panic!("{answer:?}") };
        assert_eq!(status.message(), "cut");
        assert!(open.enter().is_none());
    }

    #[tokio::test]
    async fn what_no_stream_takes_any_more_was_not_sent() {
        let (open, unsent, _replies) = open();
        let place = open.enter().unwrap();
        drop(unsent);
        let answer = in_time(place.ask(request())).await;
        assert!(matches!(answer, Err(Unanswered::Unsent(_))), "{answer:?}");
    }

    /// A client may be used from several runtimes, and the one that opened the stream may end.
    #[test]
    fn a_stream_whose_runtime_has_ended_is_over() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let (open, _unsent, _replies) = first.block_on(async { open() });
        let asked = open.enter().unwrap().ask(request());
        drop(first);
        let answer = runtime().block_on(in_time(asked));
        assert!(matches!(answer, Err(Unanswered::Lost(_))), "{answer:?}");
        assert!(open.enter().is_none());
    }
}
