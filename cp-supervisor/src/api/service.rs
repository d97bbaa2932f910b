//! The gRPC service by hand: what a generator would write, without a generator.

use super::messages::{
    CloseGateReply, CloseGateRequest, JoinChunk, JoinRequest, ProposeReply, ProposeRequest, ReadReply, ReadRequest,
    RenewLeaseReply, RenewLeaseRequest, SnapshotPiece, SnapshotRequest, TransferReply, TransferRequest, WatchEvent,
    WatchRequest,
};
use async_trait::async_trait;
use futures::stream::{BoxStream, Stream};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::client::Grpc as Caller;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc as Callee, NamedService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The longest message either side takes: a snapshot chunk and its framing.
const MESSAGE_MAX_BYTES: usize = 4 << 20;

const PROPOSE: &str = "/cp.v1.ControlPlane/Propose";
const READ: &str = "/cp.v1.ControlPlane/Read";
const TRANSFER: &str = "/cp.v1.ControlPlane/Transfer";
const WATCH: &str = "/cp.v1.ControlPlane/Watch";
const SNAPSHOT: &str = "/cp.v1.ControlPlane/Snapshot";
const JOIN: &str = "/cp.v1.ControlPlane/Join";
const RENEW_LEASE: &str = "/cp.v1.ControlPlane/RenewLease";
const CLOSE_GATE: &str = "/cp.v1.ControlPlane/CloseGate";

/// What a node answers to clients.
#[async_trait]
pub trait ControlPlaneApi: std::fmt::Debug + Send + Sync + 'static {
    /// Puts commands to the leader, each answered once its verdict is there, whatever becomes of
    /// the others. What is not answered when the stream ends may or may not take effect.
    async fn propose(
        self: Arc<Self>,
        requests: Request<Streaming<ProposeRequest>>,
    ) -> Result<BoxStream<'static, Result<ProposeReply, Status>>, Status>;
    /// Answers a question about the state.
    async fn read(&self, request: Request<ReadRequest>) -> Result<ReadReply, Status>;
    /// Hands leadership over.
    async fn transfer(&self, request: Request<TransferRequest>) -> Result<TransferReply, Status>;
    /// Renews the leases of the member that calls.
    async fn renew_lease(&self, request: Request<RenewLeaseRequest>) -> Result<RenewLeaseReply, Status>;
    /// Notes that the member that calls has closed a gate.
    async fn close_gate(&self, request: Request<CloseGateRequest>) -> Result<CloseGateReply, Status>;
    /// Streams committed changes.
    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>;
    /// Lets an admitted member in and gives it the state to start from.
    async fn join(
        &self,
        request: Request<JoinRequest>,
    ) -> Result<BoxStream<'static, Result<JoinChunk, Status>>, Status>;
    /// Gives a backup of the state.
    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<BoxStream<'static, Result<SnapshotPiece, Status>>, Status>;
}

/// Serves a [`ControlPlaneApi`].
#[derive(Debug)]
pub struct ControlPlaneServer<S> {
    api: Arc<S>,
}

impl<S> ControlPlaneServer<S> {
    /// Wraps what answers.
    pub fn new(api: Arc<S>) -> Self {
        Self { api }
    }
}

impl<S> Clone for ControlPlaneServer<S> {
    fn clone(&self) -> Self {
        Self { api: Arc::clone(&self.api) }
    }
}

impl<S> NamedService for ControlPlaneServer<S> {
    const NAME: &'static str = "cp.v1.ControlPlane";
}

/// A closure as the service that tonic wants.
struct Method<F>(F);

impl<F, Fut, Q, A> Service<Request<Q>> for Method<F>
where
    F: FnMut(Request<Q>) -> Fut,
    Fut: Future<Output = Result<Response<A>, Status>>,
{
    type Response = Response<A>;
    type Error = Status;
    type Future = Fut;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Fut {
        (self.0)(request)
    }
}

fn callee<A, Q>() -> Callee<ProstCodec<A, Q>>
where
    A: prost::Message + 'static,
    Q: prost::Message + Default + 'static,
{
    Callee::new(ProstCodec::default())
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES)
}

impl<S: ControlPlaneApi> Service<http::Request<Body>> for ControlPlaneServer<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let api = Arc::clone(&self.api);
        // What is called, and what of it and of its answer comes in parts.
        macro_rules! call {
            ($kind:ident, $method:ident) => {
                Box::pin(async move {
                    let method = Method(move |request| {
                        let api = Arc::clone(&api);
                        Box::pin(async move { api.$method(request).await.map(Response::new) }) as BoxFuture<_, Status>
                    });
                    Ok(callee().$kind(method, request).await)
                })
            };
        }
        match request.uri().path() {
            PROPOSE => call!(streaming, propose),
            READ => call!(unary, read),
            TRANSFER => call!(unary, transfer),
            RENEW_LEASE => call!(unary, renew_lease),
            CLOSE_GATE => call!(unary, close_gate),
            WATCH => call!(server_streaming, watch),
            JOIN => call!(server_streaming, join),
            SNAPSHOT => call!(server_streaming, snapshot),
            path => {
                let status = Status::unimplemented(format!("{path} is not known to this release; upgrade this node"));
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}

/// Calls a node.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlaneCaller {
    channel: Channel,
}

impl ControlPlaneCaller {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    async fn ready(&self) -> Result<Caller<Channel>, Status> {
        let mut caller = Caller::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES);
        caller.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(caller)
    }

    async fn unary<Q, A>(&self, request: Request<Q>, path: &'static str) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let reply = self.ready().await?.unary(request, PathAndQuery::from_static(path), codec).await?;
        Ok(reply.into_inner())
    }

    async fn stream<Q, A>(&self, request: Request<Q>, path: &'static str) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let reply = self.ready().await?.server_streaming(request, PathAndQuery::from_static(path), codec).await?;
        Ok(reply.into_inner())
    }

    pub(crate) async fn propose(
        &self,
        requests: impl Stream<Item = ProposeRequest> + Send + 'static,
    ) -> Result<Streaming<ProposeReply>, Status> {
        let codec: ProstCodec<ProposeRequest, ProposeReply> = ProstCodec::default();
        let path = PathAndQuery::from_static(PROPOSE);
        let replies = self.ready().await?.streaming(Request::new(requests), path, codec).await?;
        Ok(replies.into_inner())
    }

    pub(crate) async fn read(&self, request: Request<ReadRequest>) -> Result<ReadReply, Status> {
        self.unary(request, READ).await
    }

    pub(crate) async fn transfer(&self, request: Request<TransferRequest>) -> Result<TransferReply, Status> {
        self.unary(request, TRANSFER).await
    }

    pub(crate) async fn renew_lease(&self, request: Request<RenewLeaseRequest>) -> Result<RenewLeaseReply, Status> {
        self.unary(request, RENEW_LEASE).await
    }

    pub(crate) async fn close_gate(&self, request: Request<CloseGateRequest>) -> Result<CloseGateReply, Status> {
        self.unary(request, CLOSE_GATE).await
    }

    pub(crate) async fn watch(&self, request: Request<WatchRequest>) -> Result<Streaming<WatchEvent>, Status> {
        self.stream(request, WATCH).await
    }

    pub(crate) async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Streaming<SnapshotPiece>, Status> {
        self.stream(request, SNAPSHOT).await
    }

    pub(crate) async fn join(&self, request: Request<JoinRequest>) -> Result<Streaming<JoinChunk>, Status> {
        self.stream(request, JOIN).await
    }
}
