//! Frames between two transports, and everything that ends or prevents that.

use crate::node::{LOCAL, Node, hello, introduce, quick};
use crate::support::{CLUSTER, Pki, eventually, in_time, member};
use bytes::Bytes;
use cp_net::tls::{BindError, PeerName};
use cp_net::{RefusalKind, Settings, Transport};
use cp_seam::transport::FRAME_MAX_BYTES;
use cp_seam::{Incarnation, Lane, PeerHello, PeerTransport, SendRefusal, WireVersions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn text(prefix: &str, number: u32) -> Bytes {
    Bytes::from(format!("{prefix}{number:04}"))
}

#[tokio::test]
async fn frames_arrive_in_order_on_both_lanes_both_ways() {
    let pki = Pki::new(CLUSTER);
    let (a, b) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    introduce(&a, &b);
    a.connected().await;
    b.connected().await;
    for number in 0..60 {
        for (from, to) in [(&a, &b), (&b, &a)] {
            from.send(to, Lane::Consensus, text("c", number));
            from.send(to, Lane::Bulk, text("b", number));
        }
    }
    for (to, from) in [(&a, &b), (&b, &a)] {
        let frames = to.received(120).await;
        assert!(frames.iter().all(|(sender, _)| *sender == from.incarnation()));
        for lane in ["c", "b"] {
            let of_lane: Vec<_> = frames.iter().map(|f| &f.1).filter(|f| f.starts_with(lane.as_bytes())).collect();
            let expected: Vec<_> = (0..60).map(|number| text(lane, number)).collect();
            assert_eq!(of_lane, expected.iter().collect::<Vec<_>>());
        }
    }
    // Each end judged the other, at both of its ends, once per lane.
    assert_eq!(*a.receiver.admitted.lock().unwrap(), vec![hello(2); 4]);
    assert_eq!(*b.receiver.admitted.lock().unwrap(), vec![hello(1); 4]);
    let status = eventually("a round trip", || a.status().filter(|status| status.round_trip.is_some())).await;
    assert!(status.inbound && status.round_trip.unwrap() < Duration::from_secs(1));
    assert_eq!((a.transport.refusals().list(), b.transport.refusals().list()), (vec![], vec![]));
}

/// Releases can be replaced member by member: one version in common is enough.
#[tokio::test]
async fn a_newer_release_talks_to_an_older_one() {
    let pki = Pki::new(CLUSTER);
    let old = Node::start(&pki, 1).await;
    let newer = PeerHello { wire_versions: WireVersions { oldest: 1, newest: 2 }, ..hello(2) };
    let new = Node::start_with(pki.member("n2"), newer, quick(), LOCAL).await;
    introduce(&old, &new);
    old.send(&new, Lane::Consensus, "from the old");
    new.send(&old, Lane::Consensus, "from the new");
    new.received(1).await;
    old.received(1).await;
}

#[tokio::test]
async fn frames_of_any_length_up_to_the_limit() {
    let pki = Pki::new(CLUSTER);
    let (a, b) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    introduce(&a, &b);
    for (lane, length) in [(Lane::Consensus, 0), (Lane::Bulk, FRAME_MAX_BYTES), (Lane::Consensus, FRAME_MAX_BYTES)] {
        let seen = b.frames().len();
        a.send(&b, lane, vec![0x5a; length]);
        let frames = b.received(seen + 1).await;
        assert_eq!(frames[seen], (a.incarnation(), Bytes::from(vec![0x5a; length])));
    }
    let long = Bytes::from(vec![0; FRAME_MAX_BYTES + 1]);
    assert_eq!(a.transport.send(b.incarnation(), Lane::Bulk, long), Err(SendRefusal::TooLong(FRAME_MAX_BYTES + 1)));
}

#[tokio::test]
async fn a_full_queue_refuses_and_an_unserved_peer_is_unknown() {
    let pki = Pki::new(CLUSTER);
    let settings = Settings { consensus_frames_max: 3, bulk_bytes_max: 10, ..quick() };
    let a = Node::start_with(pki.member("n1"), hello(1), settings, LOCAL).await;
    // Bound, and nobody accepts.
    let silent = TcpListener::bind(LOCAL).await.unwrap();
    let peer = Incarnation(2);
    let send = |lane, length| a.transport.send(peer, lane, Bytes::from(vec![0; length]));
    assert_eq!(send(Lane::Bulk, 1), Err(SendRefusal::UnknownPeer(peer)));
    let mut other = a.member_at(silent.local_addr().unwrap());
    (other.incarnation, other.id) = (peer, hello(2).member);
    a.transport.serve(vec![other, a.member()]);
    assert_eq!(a.transport.status().len(), 1, "a node does not serve itself");
    for _ in 0..3 {
        send(Lane::Consensus, 1).unwrap();
    }
    assert_eq!(send(Lane::Consensus, 1), Err(SendRefusal::Full(peer)));
    send(Lane::Bulk, 10).unwrap();
    assert_eq!(send(Lane::Bulk, 1), Err(SendRefusal::Full(peer)));
    a.transport.serve(vec![]);
    assert_eq!(send(Lane::Bulk, 1), Err(SendRefusal::UnknownPeer(peer)));
    a.transport.detach();
    assert_eq!(send(Lane::Bulk, 1), Err(SendRefusal::Closed));
}

#[tokio::test]
async fn a_restarted_peer_is_reached_again_and_gets_nothing_old() {
    let pki = Pki::new(CLUSTER);
    let settings = Settings { unsent_age_max: Duration::ZERO, ..quick() };
    let a = Node::start_with(pki.member("n1"), hello(1), settings, LOCAL).await;
    let b = Node::start(&pki, 2).await;
    introduce(&a, &b);
    a.connected().await;
    a.send(&b, Lane::Consensus, "first");
    b.received(1).await;

    let address = b.transport.local_addr();
    b.transport.detach();
    in_time(b.transport.closed()).await;
    let status = a.disconnected().await;
    assert!(!status.consensus.connected);
    a.send(&b, Lane::Consensus, "stale");

    let b = Node::start_with(pki.member("n2"), hello(2), quick(), address).await;
    b.transport.serve(vec![a.member()]);
    let status = a.connected().await;
    assert_eq!(status.consensus.error, None);
    a.send(&b, Lane::Consensus, "fresh");
    assert_eq!(b.received(1).await, [(a.incarnation(), Bytes::from("fresh"))]);
}

#[tokio::test]
async fn a_pause_is_cut_short_when_the_peer_connects() {
    let pki = Pki::new(CLUSTER);
    let (a, patient) = (Node::start(&pki, 1).await, Settings { backoff_first: Duration::from_secs(3600), ..quick() });
    let patient = Settings { backoff_max: Duration::from_secs(3600), ..patient };
    let b = Node::start_with(pki.member("n2"), hello(2), patient, LOCAL).await;
    b.transport.serve(vec![a.member()]);
    assert_eq!(b.disconnected().await.consensus.refusal, Some(RefusalKind::NotAMember));
    a.transport.serve(vec![b.member()]);
    a.connected().await;
    b.connected().await;
}

#[tokio::test]
async fn a_pause_is_cut_short_by_serve() {
    let pki = Pki::new(CLUSTER);
    let (a, hour) = (Node::start(&pki, 1).await, Duration::from_secs(3600));
    let patient = Settings { backoff_first: hour, backoff_max: hour, ..quick() };
    let b = Node::start_with(pki.member("n2"), hello(2), patient, LOCAL).await;
    *a.receiver.refusal.lock().unwrap() = Some(not_a_member(2));
    introduce(&b, &a);
    let refused = |peer: &cp_net::PeerStatus| peer.consensus.error.is_some() && peer.bulk.error.is_some();
    eventually("both lanes refused", || b.status().filter(refused)).await;
    *a.receiver.refusal.lock().unwrap() = None;
    a.transport.serve(vec![]);
    a.transport.serve(vec![{
        // Nobody there: `a` cannot wake `b` by connecting.
        let mut unreachable = b.member();
        unreachable.address = "127.0.0.1:1".to_owned();
        unreachable
    }]);
    b.transport.serve(vec![a.member()]);
    b.connected().await;
}

fn not_a_member(number: u64) -> cp_seam::PeerRefusal {
    let hello = hello(number);
    cp_seam::PeerRefusal::NotAMember { member: hello.member, incarnation: hello.incarnation }
}

#[tokio::test]
async fn a_peer_that_is_no_longer_served_is_cut_off() {
    let pki = Pki::new(CLUSTER);
    let (a, b) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    introduce(&a, &b);
    a.connected().await;
    b.connected().await;
    b.send(&a, Lane::Consensus, "one");
    a.received(1).await;
    a.transport.serve(vec![]);
    b.send(&a, Lane::Consensus, "two");
    let status = eventually("refused", || b.status().filter(|peer| peer.consensus.refusal.is_some())).await;
    assert_eq!(status.consensus.refusal, Some(RefusalKind::NotAMember));
    assert!(status.consensus.error.unwrap().contains("n2 #2 is not a member"));
    assert_eq!(a.frames().len(), 1);
    assert!(a.status().is_none());
    // And taken back.
    a.transport.serve(vec![b.member()]);
    b.connected().await;
    b.send(&a, Lane::Bulk, "three");
    eventually("three", || a.frames().iter().any(|frame| frame.1 == "three").then_some(())).await;
}

#[tokio::test]
async fn a_new_receiver_judges_anew() {
    let pki = Pki::new(CLUSTER);
    let (a, b) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    introduce(&a, &b);
    a.connected().await;
    b.connected().await;
    let anew = Node::start(&pki, 1).await.receiver;
    *anew.refusal.lock().unwrap() = Some(not_a_member(2));
    a.transport.attach(anew.clone());
    eventually("refused", || b.status().filter(|peer| peer.consensus.refusal.is_some())).await;
    b.send(&a, Lane::Consensus, "x");
    *anew.refusal.lock().unwrap() = None;
    eventually("the frame", || anew.frames.lock().unwrap().pop()).await;
    assert_eq!(a.frames(), [], "the earlier receiver got nothing");
    assert_eq!(Arc::strong_count(&a.receiver), 1);
}

#[tokio::test]
async fn detaching_stops_everything() {
    let pki = Pki::new(CLUSTER);
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let (a, b) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    introduce(&a, &b);
    a.connected().await;
    b.connected().await;
    // A third party that never says anything.
    let _mute = TcpStream::connect(a.transport.local_addr()).await.unwrap();
    a.transport.detach();
    assert_eq!(Arc::strong_count(&a.receiver), 1, "the receiver is let go at once");
    in_time(a.transport.closed()).await;
    assert!(TcpStream::connect(a.transport.local_addr()).await.is_err());
    assert!(a.transport.status().is_empty());
    a.transport.attach(a.receiver.clone());
    a.transport.serve(vec![b.member()]);
    assert!(a.transport.status().is_empty(), "closed for good");
    let b_receiver = b.receiver.clone();
    drop(b);
    assert_eq!(Arc::strong_count(&b_receiver), 1, "dropping detaches");
    eventually("no task left", || (alive() == before).then_some(())).await;
}

#[tokio::test]
async fn a_clients_certificate_makes_no_member() {
    let pki = Pki::new(CLUSTER);
    let alice = pki.issue(&PeerName::client("alice", CLUSTER).unwrap());
    let error = Transport::bind(LOCAL, alice, quick()).await.unwrap_err();
    assert!(matches!(&error, BindError::NotAMember { name } if name.starts_with("alice.client.")), "{error}");
    let n1 = pki.issue(&member("n1", CLUSTER));
    let taken = Transport::bind(LOCAL, n1.clone(), quick()).await.unwrap();
    let error = Transport::bind(taken.local_addr(), n1, quick()).await.unwrap_err();
    assert!(error.to_string().contains(&taken.local_addr().to_string()), "{error}");
}

/// Forwards to `to` until told to stall; then it holds everything and closes nothing.
async fn stalling_proxy(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let (address, stall) = (listener.local_addr().unwrap(), watch::Sender::new(false));
    let stalled = stall.subscribe();
    tokio::spawn(async move {
        loop {
            let (mut inner, _) = listener.accept().await.unwrap();
            let mut stalled = stalled.clone();
            tokio::spawn(async move {
                let mut outer = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    () = async { drop(stalled.wait_for(|stalled| *stalled).await) } => std::future::pending().await,
                    _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                }
            });
        }
    });
    (address, stall)
}

#[tokio::test]
async fn a_peer_that_goes_silent_is_noticed_at_both_ends() {
    let pki = Pki::new(CLUSTER);
    let soon = Duration::from_millis(100);
    let alert = Settings { keepalive_interval: soon, keepalive_timeout: soon, ..quick() };
    let a = Node::start_with(pki.member("n1"), hello(1), alert.clone(), LOCAL).await;
    let b = Node::start_with(pki.member("n2"), hello(2), alert, LOCAL).await;
    let (address, stall) = stalling_proxy(b.transport.local_addr()).await;
    a.transport.serve(vec![b.member_at(address)]);
    let mut unreachable = a.member();
    unreachable.address = "127.0.0.1:1".to_owned();
    b.transport.serve(vec![unreachable]);
    a.connected().await;
    eventually("inbound", || b.status().filter(|peer| peer.inbound)).await;
    stall.send_replace(true);
    let status = a.disconnected().await;
    assert!(!status.consensus.connected, "{status:?}");
    eventually("the other end noticed", || b.status().filter(|peer| !peer.inbound)).await;
}
