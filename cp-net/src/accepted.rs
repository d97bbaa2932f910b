//! One inbound connection: the service that tonic calls, and what it does with a
//! stream.
//!
//! A stream is worked from within its own response: while tonic polls for the
//! next answer, frames are read and delivered. So there is no task of ours to
//! end, and a connection that is gone takes its stream with it.

use crate::handshake::{Refusal, are_we_dialled, heard, judge, own_hello};
use crate::hub::{Hub, Ticket};
use crate::tls::PeerInfo;
use crate::wire::{Body, Hello, MESSAGE_BYTES_MAX, PATH, Packet};
use cp_seam::transport::FRAME_MAX_BYTES;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::codegen::http;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tracing::debug;

/// The gRPC service of peers.
#[derive(Debug, Clone)]
pub(crate) struct PeerService {
    hub: Arc<Hub>,
}

impl PeerService {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for PeerService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let hub = self.hub.clone();
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("this port is for peers; use the client port").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.streaming(Streams { hub }, request).await)
        })
    }
}

struct Streams {
    hub: Arc<Hub>,
}

impl tower::Service<Request<Streaming<Packet>>> for Streams {
    type Response = Response<BoxStream<'static, Result<Packet, Status>>>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Packet>>) -> Self::Future {
        let Some(info) = request.extensions().get::<PeerInfo>().cloned() else {
            return ready(Err(Status::unauthenticated("no certificate")));
        };
        let (hub, packets) = (self.hub.clone(), request.into_inner());
        let session = Session { changes: hub.changes(), hub, info, packets, stage: Stage::New };
        let answers = stream::unfold(session, |mut session| async move {
            let answer = session.answer().await?;
            Some((Ok(Packet::from(answer)), session))
        });
        ready(Ok(Response::new(answers.boxed())))
    }
}

struct Session {
    hub: Arc<Hub>,
    info: PeerInfo,
    packets: Streaming<Packet>,
    changes: watch::Receiver<u64>,
    stage: Stage,
}

enum Stage {
    New,
    Admitted(Ticket),
    Over,
}

impl Session {
    /// Reads until there is something to answer; none ends the stream.
    async fn answer(&mut self) -> Option<Body> {
        match self.stage {
            Stage::New => match self.welcome().await {
                Ok(hello) => Some(Body::Hello(hello)),
                Err(refusal) => {
                    self.stage = Stage::Over;
                    match refusal {
                        // Said by the dialler, once. Here it would be recorded and cleared in
                        // turn, and logged each time, while the same node is well connected.
                        Refusal::OtherLife { .. } => debug!(peer = %self.info.name, %refusal, "refused a connection"),
                        _ => self.record(&refusal.to_string()),
                    }
                    Some(Body::Refusal(refusal.to_wire()))
                }
            },
            Stage::Admitted(ticket) => {
                let answer = self.receive(ticket).await;
                if answer.is_none() {
                    self.stage = Stage::Over;
                    self.hub.leave(ticket);
                }
                answer
            }
            Stage::Over => None,
        }
    }

    /// Hears the hello and lets its sender in.
    async fn welcome(&mut self) -> Result<Hello, Refusal> {
        let within = self.hub.settings.connect_timeout;
        let first = timeout(within, self.packets.message()).await;
        let first = first.map_err(|_| Refusal::Malformed(format!("it did not come within {within:?}")))?;
        let first = first.map_err(|status| Refusal::Malformed(heard(status.message())))?;
        let Some(Packet { body: Some(Body::Hello(hello)) }) = first else {
            return Err(Refusal::Malformed("something else came first".to_owned()));
        };
        let receiver = self.hub.receiver().ok_or(Refusal::NotReady)?;
        let dialled = hello.dialled();
        let (theirs, lane) = hello.read().map_err(Refusal::Malformed)?;
        let ours = own_hello(&*receiver, self.hub.own.name())?;
        judge(&ours, &theirs, &self.info.name, &*receiver)?;
        are_we_dialled(&ours, dialled)?;
        self.changes.mark_unchanged();
        let ticket = self.hub.admit(&theirs, lane, &receiver)?;
        self.stage = Stage::Admitted(ticket);
        Ok(Hello::new(&ours, lane))
    }

    /// Delivers frames until something else comes.
    async fn receive(&mut self, ticket: Ticket) -> Option<Body> {
        loop {
            let packet = tokio::select! {
                biased;
                changed = self.changes.changed() => {
                    changed.ok()?;
                    self.hub.redeem(ticket)?;
                    continue;
                }
                packet = self.packets.message() => packet,
            };
            match packet {
                Ok(Some(Packet { body: Some(Body::Frame(frame)) })) if frame.len() <= FRAME_MAX_BYTES => {
                    self.accepted();
                    self.hub.redeem(ticket)?.receive(ticket.from, frame);
                }
                Ok(Some(Packet { body: Some(Body::Probe(probe)) })) => {
                    self.accepted();
                    return Some(Body::Probe(probe));
                }
                Ok(Some(Packet { body: Some(Body::Refusal(refusal)) })) => {
                    self.record(&format!("it refused this node: {}", heard(&refusal.sentence)));
                    return None;
                }
                Ok(Some(_)) => {
                    self.record("it broke the protocol: neither a frame nor a probe");
                    return None;
                }
                Ok(None) => return None,
                Err(status) => {
                    match status.code() {
                        Code::OutOfRange => self.record(&format!("it broke the protocol: {}", heard(status.message()))),
                        _ => debug!(peer = %self.info.name, %status, "an inbound connection ended"),
                    }
                    return None;
                }
            }
        }
    }

    /// The other end has accepted this one too: what it was refused for is past.
    fn accepted(&self) {
        self.hub.refusals.clear(&self.info.name.to_string());
    }

    fn record(&self, reason: &str) {
        self.hub.refusals.record(&self.info.name.to_string(), reason);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Stage::Admitted(ticket) = self.stage {
            self.hub.leave(ticket);
        }
    }
}
