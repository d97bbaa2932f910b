//! Two lives of one member at one address: until a replacement is through, both
//! are served, and both are dialled where only the later one runs.

use crate::node::{LOCAL, Node, hello, quick};
use crate::support::{CLUSTER, Pki, eventually};
use bytes::Bytes;
use cp_net::RefusalKind;
use cp_seam::{Incarnation, Lane, PeerHello, PeerTransport};
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

const EARLIER: Incarnation = Incarnation(2);
const LATER: Incarnation = Incarnation(9);

/// The life of n2 that runs.
async fn later(pki: &Pki) -> Node {
    Node::start_with(pki.member("n2"), PeerHello { incarnation: LATER, ..hello(2) }, quick(), LOCAL).await
}

#[tokio::test]
async fn a_life_that_is_gone_does_not_break_the_connections_of_the_next() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (Node::start(&pki, 1).await, later(&pki).await);
    let mut gone = n2.member();
    gone.incarnation = EARLIER;
    n1.transport.serve(vec![gone, n2.member()]);
    n2.transport.serve(vec![n1.member()]);
    // By incarnation: the last is the later one.
    n1.connected().await;
    let connected = Instant::now();

    let tries = || n2.receiver.handshakes.load(Relaxed);
    let (before, mut sent) = (tries(), 0);
    eventually("more tries to reach the life that is gone", || {
        for (lane, name) in [(Lane::Consensus, "c"), (Lane::Bulk, "b")] {
            n1.send(&n2, lane, format!("{name}{sent:06}"));
        }
        sent += 1;
        (tries() > before + 100).then_some(())
    })
    .await;

    let (lasted, status) = (connected.elapsed(), n1.status().unwrap());
    assert_eq!(status.peer.incarnation, LATER);
    for lane in [&status.consensus, &status.bulk] {
        assert!(lane.connected && lane.lasted >= lasted, "broken within {lasted:?}: {lane:?}");
    }
    let frames = n2.received(2 * sent).await;
    assert!(frames.iter().all(|(from, _)| *from == n1.incarnation()));
    for lane in ["c", "b"] {
        let of_lane = frames.iter().map(|frame| &frame.1).filter(|frame| frame.starts_with(lane.as_bytes()));
        let expected = (0..sent).map(|number| Bytes::from(format!("{lane}{number:06}")));
        assert!(of_lane.eq(expected.collect::<Vec<_>>().iter()), "{lane}: not each once and in order");
    }
}

#[tokio::test]
async fn a_life_that_is_gone_is_refused_where_the_next_runs() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (Node::start(&pki, 1).await, later(&pki).await);
    let mut gone = n2.member();
    gone.incarnation = EARLIER;
    n1.transport.serve(vec![gone]);
    n2.transport.serve(vec![n1.member()]);
    n1.transport.send(EARLIER, Lane::Consensus, "for the life that is gone".into()).unwrap();
    let status = n1.disconnected().await.consensus;
    let sentence = status.error.unwrap();
    assert!(["n2 #2", "n2 #9", "refused this node"].iter().all(|part| sentence.contains(part)), "{sentence}");
    assert_eq!(status.refusal, Some(RefusalKind::OtherLife));
    // The other way about: who has dialled is no member.
    assert_eq!(n2.disconnected().await.consensus.refusal, Some(RefusalKind::NotAMember));
    let tries = || n2.receiver.handshakes.load(Relaxed);
    let before = tries();
    eventually("a few more tries", || (tries() > before + 12).then_some(())).await;
    assert!(n1.frames().is_empty() && n2.frames().is_empty());
    assert!(!n2.status().unwrap().inbound, "it was let in");
}

/// Life 0 goes unsaid, as all do with an earlier release at either end.
#[tokio::test]
async fn where_it_is_not_refused_the_dialler_finds_out() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (Node::start(&pki, 1).await, later(&pki).await);
    let mut gone = n2.member();
    gone.incarnation = Incarnation(0);
    n1.transport.serve(vec![gone]);
    n2.transport.serve(vec![n1.member()]);
    n1.transport.send(Incarnation(0), Lane::Consensus, "for the life that is gone".into()).unwrap();
    let status = n1.disconnected().await.consensus;
    assert!(status.error.as_ref().unwrap().contains("n2 #9 is not a member"), "{status:?}");
    assert_eq!(status.refusal, Some(RefusalKind::NotAMember));
    let sentence = n2.refused_inbound().await.1;
    assert!(sentence.contains("it refused this node: n2 #9"), "{sentence}");
    assert!(n1.frames().is_empty() && n2.frames().is_empty());
}

#[tokio::test]
async fn a_link_to_an_earlier_address_is_over() {
    let pki = Pki::new(CLUSTER);
    let (n1, n2) = (Node::start(&pki, 1).await, Node::start(&pki, 2).await);
    let moved = || {
        let mut moved = n2.member();
        moved.address = moved.address.replace("127.0.0.1", "127.1");
        assert_ne!(moved, n2.member());
        moved
    };
    n1.transport.serve(vec![n2.member()]);
    n2.transport.serve(vec![n1.member()]);
    n1.connected().await;
    n2.connected().await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for _ in 0..3 {
        n1.transport.serve(vec![moved()]);
        n1.transport.serve(vec![n2.member()]);
    }
    n1.connected().await;
    eventually("no more tasks than before", || (alive() <= before).then_some(())).await;
}
