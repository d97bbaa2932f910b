//! Who is not talked to: each refusal is known at both ends, says which and why,
//! and nothing was delivered.

use crate::node::{LOCAL, Node, hello, introduce, quick};
use crate::support::{CLUSTER, DAY, NOW, OTHER_CLUSTER, Pki, eventually, in_time, member};
use cp_net::RefusalKind;
use cp_net::tls::{ChannelSettings, Credentials, Expect, channel};
use cp_seam::{
    ControlPlaneLogIndex, Generation, Incarnation, Lane, LogPosition, MemberId, PeerHello, PeerRefusal, PeerTransport,
    Term, WireVersions,
};
use std::time::Duration;

/// Starts n1 as it should be and n2 as given, both serving each other; `says`
/// must be in what each end knows.
async fn refused(pki: &Pki, own: Credentials, theirs: PeerHello, kind: Option<RefusalKind>, says: &[&str]) {
    let good = Node::start(pki, 1).await;
    let bad = Node::start_with(own, theirs, quick(), LOCAL).await;
    introduce(&good, &bad);
    both_know(&good, &bad, kind, says).await;
}

async fn both_know(good: &Node, bad: &Node, kind: Option<RefusalKind>, says: &[&str]) {
    for node in [good, bad] {
        let status = node.disconnected().await;
        let (party, inbound) = node.refused_inbound().await;
        let outbound = status.consensus.error.unwrap();
        for part in says {
            assert!(outbound.contains(part), "{part:?} is not in {outbound:?}");
            assert!(inbound.contains(part), "{part:?} is not in {inbound:?} (of {party})");
        }
        assert_eq!(status.consensus.refusal, kind, "{outbound}");
        assert!(!status.consensus.connected && !status.bulk.connected);
    }
    // What is queued goes nowhere, however often they try.
    for (from, to) in [(good, bad), (bad, good)] {
        from.transport.send(to.incarnation(), Lane::Consensus, "x".into()).ok();
    }
    let seen = bad.status().unwrap().consensus.lasted;
    eventually("a few more tries", || {
        (bad.status()?.consensus.lasted > seen + Duration::from_millis(60)).then_some(())
    })
    .await;
    assert!(good.frames().is_empty() && bad.frames().is_empty());
    assert!(!good.status().unwrap().consensus.connected && !bad.status().unwrap().consensus.connected);
}

#[tokio::test]
async fn other_engine() {
    let pki = Pki::new(CLUSTER);
    let theirs = PeerHello { engine: "raftrs".to_owned(), ..hello(2) };
    let says = ["runs engine", "openraft", "raftrs", "--engine"];
    refused(&pki, pki.member("n2"), theirs, Some(RefusalKind::Engine), &says).await;
}

#[tokio::test]
async fn other_wire_version() {
    let pki = Pki::new(CLUSTER);
    let theirs = PeerHello { wire_versions: WireVersions { oldest: 2, newest: 3 }, ..hello(2) };
    refused(&pki, pki.member("n2"), theirs, Some(RefusalKind::WireVersion), &["wire version", "2 to 3", "upgrade"])
        .await;
}

#[tokio::test]
async fn other_generation() {
    let pki = Pki::new(CLUSTER);
    let theirs = PeerHello { generation: Generation { number: 1, id: [6; 8] }, ..hello(2) };
    refused(&pki, pki.member("n2"), theirs, Some(RefusalKind::Generation), &["generation"]).await;
}

#[tokio::test]
async fn wrong_ca() {
    let (ours, theirs) = (Pki::new(CLUSTER), Pki::new(CLUSTER));
    refused(&ours, theirs.member("n2"), hello(2), None, &["wrong CA", "CA c1c1"]).await;
}

#[tokio::test]
async fn other_cluster() {
    let (ours, theirs) = (Pki::new(CLUSTER), Pki::new(OTHER_CLUSTER));
    let hello = PeerHello { cluster: OTHER_CLUSTER, ..hello(2) };
    refused(&ours, theirs.member("n2"), hello, None, &["other cluster", "c1c1", "c2c2"]).await;
}

#[tokio::test]
async fn wrong_name() {
    let pki = Pki::new(CLUSTER);
    // n2's address is answered by n3.
    let (good, bad) = (Node::start(&pki, 1).await, Node::start(&pki, 3).await);
    let mut mistaken = bad.member();
    (mistaken.id, mistaken.incarnation) = (hello(2).member, Incarnation(2));
    good.transport.serve(vec![mistaken]);
    let outbound = good.disconnected().await.consensus.error.unwrap();
    let (_, inbound) = bad.refused_inbound().await;
    for sentence in [outbound, inbound] {
        assert!(["wrong name", "n2.c1c1", "n3.c1c1"].iter().all(|part| sentence.contains(part)), "{sentence}");
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else() {
    let pki = Pki::new(CLUSTER);
    let bad = Node::start_with(pki.member("n3"), hello(2), quick(), LOCAL).await;
    let good = Node::start(&pki, 1).await;
    bad.transport.serve(vec![good.member()]);
    good.transport.serve(vec![bad.member()]);
    let status = bad.disconnected().await.consensus;
    assert_eq!(status.refusal, Some(RefusalKind::Name));
    let sentence = status.error.unwrap();
    assert!(
        ["this node is n2.c1c1", "n3.c1c1", "its own certificate"].iter().all(|part| sentence.contains(part)),
        "{sentence}"
    );
    assert!(bad.receiver.admitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn expired() {
    let pki = Pki::new(CLUSTER);
    let old = pki.issue_outdated(&member("n2", CLUSTER), NOW - 40 * DAY);
    refused(&pki, old, hello(2), None, &["expired", "n2.c1c1"]).await;
}

#[tokio::test]
async fn not_a_member() {
    let pki = Pki::new(CLUSTER);
    let (good, bad) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    let refusal = PeerRefusal::NotAMember { member: MemberId::new("n2").unwrap(), incarnation: Incarnation(2) };
    *good.receiver.refusal.lock().unwrap() = Some(refusal);
    introduce(&good, &bad);
    both_know(&good, &bad, Some(RefusalKind::NotAMember), &["n2 #2 is not a member", "member add"]).await;
}

#[tokio::test]
async fn amnesia() {
    let pki = Pki::new(CLUSTER);
    let (good, bad) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    let position = |index| LogPosition::new(Term(3), ControlPlaneLogIndex(index));
    let (tail, acknowledged) = (position(40), position(41));
    let refusal = PeerRefusal::Amnesia { member: MemberId::new("n2").unwrap(), tail, acknowledged };
    *good.receiver.refusal.lock().unwrap() = Some(refusal);
    introduce(&good, &bad);
    both_know(&good, &bad, Some(RefusalKind::Amnesia), &["log up to 3.40", "up to 3.41", "wipe"]).await;
}

/// What a member could say that does not follow the protocol.
mod raw {
    use super::*;
    use bytes::Bytes;
    use futures::stream;
    use tonic::codegen::http::uri::PathAndQuery;
    use tonic::transport::Channel;
    use tonic::{Code, Request, Status, Streaming};
    use tonic_prost::ProstCodec;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Packet {
        #[prost(message, optional, tag = "1")]
        hello: Option<Hello>,
        #[prost(bytes = "bytes", optional, tag = "2")]
        frame: Option<Bytes>,
        #[prost(uint64, optional, tag = "3")]
        probe: Option<u64>,
        #[prost(message, optional, tag = "4")]
        refusal: Option<Refusal>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Refusal {
        #[prost(uint32, tag = "1")]
        kind: u32,
        #[prost(string, tag = "2")]
        sentence: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Hello {
        #[prost(bytes = "vec", tag = "1")]
        cluster: Vec<u8>,
        #[prost(uint32, tag = "2")]
        generation_number: u32,
        #[prost(bytes = "vec", tag = "3")]
        generation_id: Vec<u8>,
        #[prost(string, tag = "4")]
        member: String,
        #[prost(uint64, tag = "5")]
        incarnation: u64,
        #[prost(string, tag = "6")]
        engine: String,
        #[prost(uint32, tag = "7")]
        wire_newest: u32,
        #[prost(uint32, tag = "11")]
        lane: u32,
        #[prost(uint32, tag = "12")]
        wire_oldest: u32,
        #[prost(uint64, tag = "20")]
        dialled: u64,
    }

    fn packet(change: impl FnOnce(&mut Hello)) -> Packet {
        let hello = hello(2);
        let mut hello = Hello {
            cluster: hello.cluster.0.to_vec(),
            generation_number: hello.generation.number.into(),
            generation_id: hello.generation.id.to_vec(),
            member: hello.member.to_string(),
            incarnation: hello.incarnation.0,
            engine: hello.engine,
            wire_newest: hello.wire_versions.newest,
            lane: 1,
            wire_oldest: hello.wire_versions.oldest,
            dialled: 0,
        };
        change(&mut hello);
        Packet { hello: Some(hello), ..Packet::default() }
    }

    struct Raw {
        good: Node,
        client: tonic::client::Grpc<Channel>,
    }

    impl Raw {
        /// n1, which serves n2, and a connection to it with n2's certificate.
        async fn new() -> Self {
            let pki = Pki::new(CLUSTER);
            let good = Node::start(&pki, 1).await;
            let mut n2 = good.member_at("127.0.0.1:1".parse().unwrap());
            (n2.id, n2.incarnation) = (hello(2).member, Incarnation(2));
            good.transport.serve(vec![n2]);
            let address = good.transport.local_addr().to_string();
            let settings = ChannelSettings::default();
            let channel = channel(&pki.member("n2"), &address, Expect::AnyMember, &settings).await.unwrap();
            Self { good, client: tonic::client::Grpc::new(channel) }
        }

        async fn open(&mut self, packets: Vec<Packet>) -> Result<Streaming<Packet>, Status> {
            self.client.ready().await.unwrap();
            let (sender, receiver) = tokio::sync::mpsc::channel(8);
            for packet in packets {
                sender.send(packet).await.unwrap();
            }
            // Kept open: the stream's end is not what is tested.
            let open = stream::unfold((sender, receiver), |(sender, mut receiver)| async move {
                let packet = receiver.recv().await?;
                Some((packet, (sender, receiver)))
            });
            let path = PathAndQuery::from_static("/cp.peer.v1.Peer/Frames");
            let codec = ProstCodec::<Packet, Packet>::default();
            self.client.streaming(Request::new(open), path, codec).await.map(tonic::Response::into_inner)
        }

        /// What it is told, and that it is hung up on.
        async fn refusal(&mut self, packets: Vec<Packet>) -> String {
            let mut answers = self.open(packets).await.unwrap();
            let refusal = in_time(answers.message()).await.unwrap().unwrap().refusal.unwrap();
            assert!(in_time(answers.message()).await.unwrap().is_none());
            assert_eq!(self.good.refused_inbound().await.1, refusal.sentence);
            assert!(self.good.frames().is_empty());
            refusal.sentence
        }
    }

    fn frame(text: &'static str) -> Packet {
        Packet { frame: Some(Bytes::from_static(text.as_bytes())), ..Packet::default() }
    }

    #[tokio::test]
    async fn no_frame_before_a_hello_that_was_accepted() {
        let mut raw = Raw::new().await;
        let sentence = raw.refusal(vec![frame("early"), packet(|_| {})]).await;
        assert!(sentence.contains("hello is malformed"), "{sentence}");
        let sentence = raw.refusal(vec![Packet::default()]).await;
        assert!(sentence.contains("hello is malformed"), "{sentence}");
        let sentence = raw.refusal(vec![packet(|hello| hello.engine = "x".into()), frame("anyway")]).await;
        assert!(sentence.contains("engine x"), "{sentence}");
    }

    #[tokio::test]
    async fn a_member_speaks_for_itself_alone() {
        let mut raw = Raw::new().await;
        let sentence = raw.refusal(vec![packet(|hello| hello.member = "n1".into()), frame("x")]).await;
        assert!(sentence.contains("wrong name") && sentence.contains("n2.c1c1"), "{sentence}");
        let sentence = raw.refusal(vec![packet(|hello| hello.cluster = vec![0xc2; 16]), frame("x")]).await;
        assert!(sentence.contains("belongs to cluster c2c2"), "{sentence}");
        let sentence = raw.refusal(vec![packet(|hello| hello.incarnation = 1), frame("x")]).await;
        assert!(sentence.contains("n2 #1 is not a member"), "{sentence}");
        assert!(raw.good.receiver.admitted.lock().unwrap().len() <= 1, "judged before the receiver is asked");
    }

    #[tokio::test]
    async fn malformed_hellos_and_unknown_methods() {
        let mut raw = Raw::new().await;
        let sentence = raw.refusal(vec![packet(|hello| hello.cluster.clear())]).await;
        assert!(sentence.contains("cluster has 0 bytes"), "{sentence}");
        let sentence = raw.refusal(vec![packet(|hello| hello.lane = 7)]).await;
        assert!(sentence.contains("lane 7"), "{sentence}");
        raw.client.ready().await.unwrap();
        let path = PathAndQuery::from_static("/cp.client.v1.Client/Status");
        let codec = ProstCodec::<Packet, Packet>::default();
        let status = raw.client.unary(Request::new(Packet::default()), path, codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }

    #[tokio::test]
    async fn a_newer_connection_of_the_same_peer_replaces_the_older() {
        let mut raw = Raw::new().await;
        let mut older = raw.open(vec![packet(|_| {}), frame("one")]).await.unwrap();
        assert!(in_time(older.message()).await.unwrap().unwrap().hello.is_some());
        raw.good.received(1).await;
        let mut newer = raw.open(vec![packet(|_| {}), frame("two")]).await.unwrap();
        assert!(in_time(newer.message()).await.unwrap().unwrap().hello.is_some());
        assert!(in_time(older.message()).await.unwrap().is_none());
        raw.good.received(2).await;
        assert!(raw.good.status().unwrap().inbound, "the older one's end is not the newer one's");
    }

    /// The number is on the wire, and an earlier release does not say whom it dials.
    #[tokio::test]
    async fn only_who_dials_another_life_is_refused_for_it() {
        let mut raw = Raw::new().await;
        for (dialled, count) in [(0, 1), (1, 2)] {
            let mut answers = raw.open(vec![packet(|hello| hello.dialled = dialled), frame("x")]).await.unwrap();
            assert!(in_time(answers.message()).await.unwrap().unwrap().hello.is_some());
            raw.good.received(count).await;
        }
        let mut answers = raw.open(vec![packet(|hello| hello.dialled = 7), frame("x")]).await.unwrap();
        let refusal = in_time(answers.message()).await.unwrap().unwrap().refusal.unwrap();
        assert!(refusal.kind == 10 && refusal.sentence.contains("n1 #7 was dialled, but n1 #1 runs"), "{refusal:?}");
        assert!(in_time(answers.message()).await.unwrap().is_none());
        assert_eq!(raw.good.frames().len(), 2);
        // Judged all the same: what its hello says counts.
        assert_eq!(raw.good.receiver.admitted.lock().unwrap().len(), 3);
        // A reason that the dialler is told, and no complaint about it here.
        assert_eq!(raw.good.transport.refusals().list(), []);
    }

    #[tokio::test]
    async fn too_long_a_message_ends_the_connection() {
        let mut raw = Raw::new().await;
        raw.client = raw.client.clone().max_encoding_message_size(usize::MAX);
        let long = Packet { frame: Some(vec![0; 5 << 20].into()), ..Packet::default() };
        let mut answers = raw.open(vec![packet(|_| {}), long]).await.unwrap();
        assert!(in_time(answers.message()).await.unwrap().unwrap().hello.is_some());
        assert!(!matches!(in_time(answers.message()).await, Ok(Some(_))));
        assert!(raw.good.refused_inbound().await.1.contains("broke the protocol"));
        assert!(raw.good.frames().is_empty());
    }
}
