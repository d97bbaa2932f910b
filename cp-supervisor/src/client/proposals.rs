//! The commands of one connection: all on one stream, answered in any order.
//!
//! A call of its own for each costs both ends more than the command does.

use crate::api::messages::{ProposeReply, ProposeRequest};
use crate::api::service::ControlPlaneCaller;
use futures::stream::{Stream, StreamExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

/// How many commands may wait to be sent.
const UNSENT_MAX: usize = 1024;
/// How long a stream that takes no more commands may take to say why.
const END_WAIT: Duration = Duration::from_secs(1);

/// The stream of one connection, opened when first needed and anew once it is over.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    open: Mutex<Option<Open>>,
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
    /// taken, if it has left this end, and takes nothing from the others.
    pub(super) async fn ask(
        &self,
        caller: &ControlPlaneCaller,
        request: ProposeRequest,
    ) -> Result<ProposeReply, Unanswered> {
        self.enter(caller).ask(request).await
    }

    fn enter(&self, caller: &ControlPlaneCaller) -> Place {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.as_ref().and_then(Open::enter) {
            return place;
        }
        let caller = caller.clone();
        open.insert(Open::begin(|unsent| async move { caller.propose(unsent).await })).place()
    }
}

/// Dropping it ends the stream.
#[derive(Debug)]
struct Open {
    send: mpsc::Sender<ProposeRequest>,
    waiting: Arc<Waiting>,
    _task: JoinSet<()>,
}

impl Open {
    /// Has `call` open the stream with what is sent; its replies are handed out until it ends.
    fn begin<C, F, R>(call: C) -> Self
    where
        C: FnOnce(Unsent) -> F,
        F: Future<Output = Result<R, Status>> + Send + 'static,
        R: Stream<Item = Result<ProposeReply, Status>> + Send + Unpin,
    {
        let (send, commands) = mpsc::channel(UNSENT_MAX);
        let waiting = Arc::new(Waiting::default());
        let opened = call(Unsent { commands, waiting: Arc::clone(&waiting) });
        let end = End(Arc::clone(&waiting));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let status = match opened.await {
                Ok(replies) => hand_out(replies, &end.0).await,
                Err(status) => status,
            };
            end.0.end(&status);
        });
        Self { send, waiting, _task: task }
    }

    /// A place for one more reply, unless the stream is over.
    fn enter(&self) -> Option<Place> {
        (!self.waiting.is_over()).then(|| self.place())
    }

    /// As [`enter`](Self::enter); if the stream is over, that is the answer.
    fn place(&self) -> Place {
        let (answer, reply) = oneshot::channel();
        let number = self.waiting.add(answer);
        Place { number, reply, send: self.send.clone(), waiting: Arc::clone(&self.waiting) }
    }
}

/// What is to be sent, without those that are waited for no more.
struct Unsent {
    commands: mpsc::Receiver<ProposeRequest>,
    waiting: Arc<Waiting>,
}

impl Stream for Unsent {
    type Item = ProposeRequest;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ProposeRequest>> {
        loop {
            match ready!(self.commands.poll_recv(cx)) {
                Some(command) if !self.waiting.leaves(command.number) => {}
                next => return Poll::Ready(next),
            }
        }
    }
}

/// Hands out the replies until the stream ends; says why it did.
async fn hand_out(mut replies: impl Stream<Item = Result<ProposeReply, Status>> + Unpin, waiting: &Waiting) -> Status {
    loop {
        match replies.next().await {
            Some(Ok(reply)) => waiting.answer(reply),
            Some(Err(status)) => return status,
            None => return Status::unavailable("the node ended the stream"),
        }
    }
}

/// Tells the end however it comes: a task that is dropped ends without a word.
struct End(Arc<Waiting>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(&Status::cancelled("nobody reads the replies any more"));
    }
}

type Answer = oneshot::Sender<Result<ProposeReply, Unanswered>>;

/// Who waits for a reply, and how the stream ended.
#[derive(Debug, Default)]
struct Waiting {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    last: u64,
    /// With each, whether its command has left this end.
    replies: HashMap<u64, (Answer, bool)>,
    ended: Option<Status>,
}

impl Waiting {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.books().ended.is_some()
    }

    fn add(&self, answer: Answer) -> u64 {
        let mut books = self.books();
        books.last += 1;
        let number = books.last;
        match books.ended.clone() {
            Some(status) => tell(answer, Err(Unanswered::Unsent(status))),
            None => drop(books.replies.insert(number, (answer, false))),
        }
        number
    }

    /// Notes that the command leaves this end; `false` if nobody waits for it any more.
    fn leaves(&self, number: u64) -> bool {
        self.books().replies.get_mut(&number).map(|(_, sent)| *sent = true).is_some()
    }

    fn answer(&self, reply: ProposeReply) {
        let waits = self.books().replies.remove(&reply.number);
        if let Some((answer, _)) = waits {
            tell(answer, Ok(reply));
        }
    }

    fn remove(&self, number: u64) {
        self.books().replies.remove(&number);
    }

    /// The first end counts.
    fn end(&self, status: &Status) {
        let mut books = self.books();
        books.ended.get_or_insert_with(|| status.clone());
        for (answer, sent) in std::mem::take(&mut books.replies).into_values() {
            let why = if sent { Unanswered::Lost(status.clone()) } else { Unanswered::Unsent(status.clone()) };
            tell(answer, Err(why));
        }
    }
}

fn tell(answer: Answer, word: Result<ProposeReply, Unanswered>) {
    if answer.send(word).is_err() {
        tracing::trace!("who waited for a reply has just given up");
    }
}

/// One command's place among those that wait; given up when dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    reply: oneshot::Receiver<Result<ProposeReply, Unanswered>>,
    send: mpsc::Sender<ProposeRequest>,
    waiting: Arc<Waiting>,
}

impl Place {
    async fn ask(mut self, request: ProposeRequest) -> Result<ProposeReply, Unanswered> {
        let request = ProposeRequest { number: self.number, ..request };
        let told = match self.send.send(request).await {
            Ok(()) => (&mut self.reply).await,
            Err(_) => match timeout(END_WAIT, &mut self.reply).await {
                Ok(told) => told,
                Err(_) => {
                    // Nothing can be sent on it, so that it is of no use, whatever still comes.
                    self.waiting.end(&Status::unavailable("the node takes no more on this stream"));
                    (&mut self.reply).await
                }
            },
        };
        // Only its end and its reply take an answer out of the books.
        told.unwrap_or_else(|_| Err(Unanswered::Lost(Status::unknown("the reply was lost"))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.remove(self.number);
    }
}

#[cfg(test)]
mod tests;
