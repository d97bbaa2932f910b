use super::*;
use futures::{FutureExt, stream};

type Replies = mpsc::UnboundedSender<Result<ProposeReply, Status>>;

/// A stream, what it sends, and what it is answered.
fn open() -> (Open, Unsent, Replies) {
    let (replies, mut read) = mpsc::unbounded_channel();
    let mut sent = None;
    let open = Open::begin(|unsent| {
        sent = Some(unsent);
        std::future::ready(Ok(stream::poll_fn(move |context| read.poll_recv(context))))
    });
    (open, sent.unwrap(), replies)
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
    let asked = [open.place().ask(request()), open.place().ask(request())];
    let node = async {
        let (first, second) = (unsent.next().await.unwrap(), unsent.next().await.unwrap());
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
    let mut given_up = Box::pin(open.place().ask(request()));
    assert!(given_up.as_mut().now_or_never().is_none());
    let first = unsent.next().await.unwrap();
    let mut never_sent = Box::pin(open.place().ask(request()));
    assert!(never_sent.as_mut().now_or_never().is_none());
    let asked = open.place().ask(request());
    drop((given_up, never_sent));
    assert_eq!(open.waiting.books().replies.len(), 1);
    let node = async {
        let last = unsent.next().await.unwrap();
        assert_eq!(last.number, first.number + 2, "nobody waits for the one between");
        replies.send(reply(first.number)).unwrap();
        replies.send(reply(last.number)).unwrap();
    };
    let (answer, ()) = in_time(futures::future::join(asked, node)).await;
    assert!(answer.is_ok());
    assert!(open.waiting.books().replies.is_empty());
}

/// CP-P3: what has left this end may have been taken, and nothing else.
#[tokio::test]
async fn the_end_is_told_to_all_and_nobody_enters_after_it() {
    let (open, mut unsent, replies) = open();
    let mut left = Box::pin(open.place().ask(request()));
    assert!(left.as_mut().now_or_never().is_none());
    unsent.next().await.unwrap();
    let mut waits = Box::pin(open.place().ask(request()));
    assert!(waits.as_mut().now_or_never().is_none());
    replies.send(Err(Status::data_loss("cut"))).unwrap();
    let Err(Unanswered::Lost(status)) = in_time(left).await else { panic!("it has left") };
    assert_eq!(status.message(), "cut");
    assert!(matches!(in_time(waits).await, Err(Unanswered::Unsent(_))));
    assert!(open.enter().is_none());
    assert!(matches!(in_time(open.place().ask(request())).await, Err(Unanswered::Unsent(_))));
}

#[tokio::test]
async fn a_stream_that_is_not_opened_has_sent_nothing() {
    let open = Open::begin(|_| std::future::ready(Err::<stream::Empty<_>, _>(Status::unavailable("nobody there"))));
    let answer = in_time(open.place().ask(request())).await;
    let Err(Unanswered::Unsent(status)) = answer else { panic!("{answer:?}") };
    assert_eq!(status.message(), "nobody there");
}

#[tokio::test(start_paused = true)]
async fn what_no_stream_takes_any_more_was_not_sent() {
    let (open, unsent, _replies) = open();
    let place = open.place();
    drop(unsent);
    let answer = in_time(place.ask(request())).await;
    assert!(matches!(answer, Err(Unanswered::Unsent(_))), "{answer:?}");
    assert!(open.enter().is_none());
}

/// A client may be used from several runtimes, and the one that opened the stream may end.
#[test]
fn a_stream_whose_runtime_has_ended_is_over() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (open, mut unsent, _replies) = first.block_on(async { open() });
    let mut asked = Box::pin(open.place().ask(request()));
    assert!(asked.as_mut().now_or_never().is_none());
    assert!(unsent.next().now_or_never().is_some());
    drop(first);
    let answer = runtime().block_on(in_time(asked));
    assert!(matches!(answer, Err(Unanswered::Lost(_))), "{answer:?}");
    assert!(open.enter().is_none());
}
