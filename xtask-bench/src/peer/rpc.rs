//! As much of etcd's API (version 3) as is called here.

use super::certificates::{CA, CERTIFICATE, KEY};
use anyhow::Result;
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

const PUT: &str = "/etcdserverpb.KV/Put";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";
const MOVE_LEADER: &str = "/etcdserverpb.Maintenance/MoveLeader";
const MEMBER_ADD: &str = "/etcdserverpb.Cluster/MemberAdd";
const MEMBER_PROMOTE: &str = "/etcdserverpb.Cluster/MemberPromote";
const MEMBER_REMOVE: &str = "/etcdserverpb.Cluster/MemberRemove";

/// Writes one key.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Headed {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// How a node is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeStatus {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(uint64, tag = "4")]
    pub(crate) leader: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) raft_index: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) raft_term: u64,
}

impl NodeStatus {
    pub(crate) fn member(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.member_id)
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader != 0 && self.leader == self.member()
    }
}

#[derive(Clone, PartialEq, Message)]
struct MoveLeader {
    #[prost(uint64, tag = "1")]
    target: u64,
}

#[derive(Clone, PartialEq, Message)]
struct MemberAdd {
    #[prost(string, repeated, tag = "1")]
    peer_urls: Vec<String>,
    #[prost(bool, tag = "2")]
    is_learner: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Member {
    #[prost(uint64, tag = "1")]
    id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct MemberAdded {
    #[prost(message, optional, tag = "2")]
    member: Option<Member>,
}

/// A connection to one node.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Channel);

impl Caller {
    /// Connects when first used, and again when that breaks.
    pub(crate) fn new(port: u16, certificates: &Path) -> Result<Self> {
        let read = |file: &str| std::fs::read(certificates.join(file));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(CA)?))
            .identity(Identity::from_pem(read(CERTIFICATE)?, read(KEY)?))
            .domain_name("127.0.0.1");
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}"))?
            .tls_config(tls)?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_millis(200));
        Ok(Self(endpoint.connect_lazy()))
    }

    async fn unary<Q, A>(&self, message: Q, path: &'static str) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let mut request = Request::new(message);
        // A node without a leader says so at once.
        request.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    pub(crate) async fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Status> {
        self.unary::<_, Headed>(PutRequest { key, value }, PUT).await.map(drop)
    }

    pub(crate) async fn status(&self) -> Result<NodeStatus, Status> {
        self.unary(Empty {}, STATUS).await
    }

    pub(crate) async fn move_leader(&self, target: u64) -> Result<(), Status> {
        self.unary::<_, Headed>(MoveLeader { target }, MOVE_LEADER).await.map(drop)
    }

    /// Answers the number of the new member, which has no vote yet.
    pub(crate) async fn add_learner(&self, peer_url: String) -> Result<u64, Status> {
        let message = MemberAdd { peer_urls: vec![peer_url], is_learner: true };
        let added = self.unary::<_, MemberAdded>(message, MEMBER_ADD).await?;
        added.member.map(|member| member.id).ok_or_else(|| Status::internal("no member came back"))
    }

    /// Refused while the member is too far behind.
    pub(crate) async fn promote(&self, member: u64) -> Result<(), Status> {
        self.unary::<_, Headed>(Member { id: member }, MEMBER_PROMOTE).await.map(drop)
    }

    pub(crate) async fn remove(&self, member: u64) -> Result<(), Status> {
        self.unary::<_, Headed>(Member { id: member }, MEMBER_REMOVE).await.map(drop)
    }
}
