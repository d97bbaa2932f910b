//! One outgoing connection: dial, shake hands, then carry frames until it breaks.

use crate::handshake::{Refusal, RefusalKind, heard, is_whom_we_dialled, judge, own_hello};
use crate::hub::Hub;
use crate::link::Link;
use crate::queue::{Queue, Taker};
use crate::status::Report;
use crate::tls::{ChannelSettings, Closer, Expect, PeerName, PeerStream, dial_closable};
use crate::wire::{Body, Hello, MESSAGE_BYTES_MAX, PATH, Packet, WireRefusal};
use cp_seam::{Lane, PeerHello};
use futures::stream::{self, Stream};
use hyper_util::rt::TokioIo;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// How a connection ended, or was never made.
pub(crate) struct End {
    pub(crate) sentence: String,
    pub(crate) refusal: Option<RefusalKind>,
}

impl From<String> for End {
    fn from(sentence: String) -> Self {
        Self { sentence, refusal: None }
    }
}

/// Takes the connection down however its owner ends: hyper's tasks hold on to it.
struct CloseOnDrop(Closer);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Never returns while the connection is good.
pub(crate) async fn connect_and_carry(link: &Link, hub: &Hub, lane: Lane) -> End {
    let closer = CloseOnDrop(hub.closer.child());
    let within = hub.settings.connect_timeout;
    let deadline = Instant::now() + within;
    let io = match dial(link, hub, &closer.0).await {
        Ok(io) => io,
        Err(end) => return end,
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let shaken = timeout(left, Box::pin(shake_hands(link, hub, lane, io))).await;
    match shaken {
        Ok(Ok(session)) => session.carry(link, lane).await,
        Ok(Err(end)) => end,
        Err(_) => format!("{} did not finish the handshake within {within:?}", link.peer.address).into(),
    }
}

async fn dial(link: &Link, hub: &Hub, closer: &Closer) -> Result<PeerStream, End> {
    let name = PeerName::member(link.peer.id.clone(), hub.own.name().cluster());
    dial_closable(&hub.own, &link.peer.address, &Expect::Exactly(name), hub.settings.connect_timeout, closer)
        .await
        .map_err(|error| error.to_string().into())
}

/// A connection whose both ends have accepted each other.
struct Session {
    answers: Streaming<Packet>,
    queue: Arc<Queue>,
    taker: Taker,
    go: oneshot::Sender<Verdict>,
    /// Keeps the connection.
    _client: tonic::client::Grpc<Channel>,
}

/// What the dialler makes of the answer to its hello.
enum Verdict {
    Accepted(Taker),
    Refused(WireRefusal),
}

async fn shake_hands(link: &Link, hub: &Hub, lane: Lane, io: PeerStream) -> Result<Session, End> {
    let proved = io.info().name.clone();
    let not_ready = || End { sentence: Refusal::NotReady.to_string(), refusal: Some(RefusalKind::NotReady) };
    let receiver = hub.receiver().ok_or_else(not_ready)?;
    let ours = own_hello(&*receiver, hub.own.name()).map_err(|refusal| refused_by_us(link, &refusal))?;

    let broken = |status: &Status| End::from(format!("{} broke the connection: {}", link.peer.address, reason(status)));
    let settings = &hub.settings;
    let endpoint = ChannelSettings {
        connect_timeout: settings.connect_timeout,
        keepalive_interval: settings.keepalive_interval,
        keepalive_timeout: settings.keepalive_timeout,
    };
    let channel = endpoint.endpoint().connect_with_connector(Once(Some(io))).await;
    let channel = channel.map_err(|error| End::from(format!("{} broke the connection: {error}", link.peer.address)))?;
    let mut client = tonic::client::Grpc::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    client.ready().await.map_err(|error| End::from(format!("{} broke the connection: {error}", link.peer.address)))?;

    let (go, verdict) = oneshot::channel();
    let queue = link.queue(lane).clone();
    // Probes on the other lane would measure the bulk before them.
    let probes = (lane == Lane::Consensus).then(|| Probes::new(hub, link));
    let outgoing = Outgoing {
        hello: Some(Hello::new(&ours, lane).to(link.peer.incarnation)),
        verdict: Some(verdict),
        taker: None,
        queue: queue.clone(),
        probes,
    };
    let request = Request::new(outgoing.into_stream());
    let codec = ProstCodec::<Packet, Packet>::default();
    let answers = client.streaming(request, PathAndQuery::from_static(PATH), codec).await;
    let mut answers = answers.map_err(|status| broken(&status))?.into_inner();

    let theirs = match answers.message().await.map_err(|status| broken(&status))?.and_then(|packet| packet.body) {
        Some(Body::Hello(hello)) => hello,
        Some(Body::Refusal(refusal)) => return Err(refused_by_them(link, &refusal)),
        _ => return Err(format!("{} ended the handshake without a word", link.peer.address).into()),
    };
    let judged = theirs.read().map_err(Refusal::Malformed).and_then(|(theirs, _): (PeerHello, Lane)| {
        judge(&ours, &theirs, &proved, &*receiver)?;
        is_whom_we_dialled(&theirs, &link.peer)
    });
    drop(receiver);
    if let Err(refusal) = judged {
        let end = refused_by_us(link, &refusal);
        if go.send(Verdict::Refused(refusal.to_wire())).is_ok() {
            // The other end hangs up when it has heard; the deadline stands behind this.
            while let Ok(Some(_)) = answers.message().await {}
        }
        return Err(end);
    }
    let taker = queue.open();
    Ok(Session { answers, queue, taker, go, _client: client })
}

fn refused_by_us(link: &Link, refusal: &Refusal) -> End {
    let sentence = format!("did not accept {}: {refusal}", link.peer.address);
    End { sentence, refusal: Some(refusal.kind()) }
}

fn refused_by_them(link: &Link, refusal: &WireRefusal) -> End {
    let sentence = format!("{} refused this node: {}", link.peer.address, heard(&refusal.sentence));
    End { sentence, refusal: Some(RefusalKind::from_number(refusal.kind)) }
}

/// A status's own text, or the innermost reason under it.
fn reason(status: &Status) -> String {
    use std::error::Error;
    status.source().map_or_else(|| heard(status.message()), crate::tls::explain_chain)
}

impl Session {
    async fn carry(mut self, link: &Link, lane: Lane) -> End {
        let closing = CloseQueue { link, lane, queue: self.queue.clone(), taker: self.taker };
        if self.go.send(Verdict::Accepted(self.taker)).is_err() {
            return format!("{} broke the connection in the handshake", link.peer.address).into();
        }
        link.report.connected(&link.peer, lane);
        let end = loop {
            match self.answers.message().await {
                Ok(Some(Packet { body: Some(Body::Probe(probe)) })) => link.report.probe_answered(probe),
                Ok(Some(Packet { body: Some(Body::Refusal(refusal)) })) => break refused_by_them(link, &refusal),
                // What a later release may say besides.
                Ok(Some(_)) => {}
                Ok(None) => break format!("{} ended the connection", link.peer.address).into(),
                Err(status) => break format!("{} broke the connection: {}", link.peer.address, reason(&status)).into(),
            }
        };
        drop(closing);
        end
    }
}

/// However the session ends, nobody takes from the queue any more.
struct CloseQueue<'a> {
    link: &'a Link,
    lane: Lane,
    queue: Arc<Queue>,
    taker: Taker,
}

impl Drop for CloseQueue<'_> {
    fn drop(&mut self) {
        self.queue.close(self.taker);
        self.link.report.stopped(self.lane);
    }
}

/// What this end says: hello, the verdict, then frames as they come.
struct Outgoing {
    hello: Option<Hello>,
    verdict: Option<oneshot::Receiver<Verdict>>,
    taker: Option<Taker>,
    queue: Arc<Queue>,
    probes: Option<Probes>,
}

impl Outgoing {
    fn into_stream(self) -> impl Stream<Item = Packet> + Send + 'static {
        stream::unfold(self, |mut this| async move { this.next().await.map(|body| (Packet::from(body), this)) })
    }

    async fn next(&mut self) -> Option<Body> {
        if let Some(hello) = self.hello.take() {
            return Some(Body::Hello(hello));
        }
        if let Some(verdict) = self.verdict.take() {
            match verdict.await.ok()? {
                Verdict::Accepted(taker) => self.taker = Some(taker),
                Verdict::Refused(refusal) => return Some(Body::Refusal(refusal)),
            }
        }
        let frame = self.queue.pop(self.taker?);
        let Some(probes) = &mut self.probes else { return frame.await.map(Body::Frame) };
        tokio::select! {
            biased;
            frame = frame => frame.map(Body::Frame),
            probe = probes.next() => Some(Body::Probe(probe)),
        }
    }
}

/// Measures the round trip now and then.
struct Probes {
    ticks: Interval,
    last: u64,
    report: Arc<Report>,
}

impl Probes {
    fn new(hub: &Hub, link: &Link) -> Self {
        let mut ticks = interval(hub.settings.probe_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, last: 0, report: link.report.clone() }
    }

    async fn next(&mut self) -> u64 {
        self.ticks.tick().await;
        self.last += 1;
        self.report.probe_sent(self.last);
        self.last
    }
}

/// Gives tonic the one stream that was dialled.
struct Once(Option<PeerStream>);

impl tower::Service<Uri> for Once {
    type Response = TokioIo<PeerStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<PeerStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the connection is gone");
        ready(self.0.take().map(TokioIo::new).ok_or_else(gone))
    }
}
