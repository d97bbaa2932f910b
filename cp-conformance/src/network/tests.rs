use super::*;
use cp_seam::transport::FRAME_MAX_BYTES;
use cp_seam::{ClusterId, Generation, Lane, LogPosition, MemberKind, PeerHello, QuorumMember, SendRefusal};

#[derive(Debug)]
struct Peer {
    member: &'static str,
    incarnation: u64,
    refuses: bool,
    got: Mutex<Vec<(Incarnation, Bytes)>>,
}

impl PeerReceiver for Peer {
    fn hello(&self) -> PeerHello {
        PeerHello {
            cluster: ClusterId([1; 16]),
            generation: Generation::default(),
            member: MemberId::new(self.member).unwrap(),
            incarnation: Incarnation(self.incarnation),
            engine: "test".to_owned(),
            wire_versions: cp_seam::WireVersions::only(1),
            boot: 1,
            tail: LogPosition::GENESIS,
            members: Bytes::new(),
        }
    }

    fn admit(&self, hello: &PeerHello) -> Result<(), PeerRefusal> {
        if self.refuses {
            return Err(PeerRefusal::NotAMember { member: hello.member.clone(), incarnation: hello.incarnation });
        }
        Ok(())
    }

    fn receive(&self, from: Incarnation, frame: Bytes) {
        locked(&self.got).push((from, frame));
    }
}

struct Two {
    network: Network,
    ports: [Arc<dyn PeerTransport>; 2],
    peers: [Arc<Peer>; 2],
    lives: [Arc<Life>; 2],
}

fn two(seed: u64, refuses: bool) -> Two {
    let network = Network::new(seed, Trace::new());
    tokio::spawn(network.clone().run());
    let quorum = |n: u64| QuorumMember {
        incarnation: Incarnation(n + 1),
        id: MemberId::new(&format!("n{n}")).unwrap(),
        kind: MemberKind::Data,
        address: String::new(),
    };
    let lives = [0, 1].map(|slot| Arc::new(Life::new(slot, 1)));
    let peers = [("n0", 1, false), ("n1", 2, refuses)]
        .map(|(member, incarnation, refuses)| Arc::new(Peer { member, incarnation, refuses, got: Mutex::default() }));
    let ports = [0, 1].map(|slot: usize| {
        let member = MemberId::new(peers[slot].member).unwrap();
        let port = network.endpoint(member, Incarnation(peers[slot].incarnation), Arc::clone(&lives[slot]));
        port.serve(vec![quorum(0), quorum(1)]);
        port.attach(Arc::clone(&peers[slot]) as Arc<dyn PeerReceiver>);
        port
    });
    Two { network, ports, peers, lives }
}

impl Two {
    fn send(&self, from: usize, byte: u8) -> Result<(), SendRefusal> {
        self.ports[from].send(Incarnation(2 - from as u64), Lane::Consensus, Bytes::from(vec![byte]))
    }

    async fn got(&self, slot: usize) -> Vec<u8> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        locked(&self.peers[slot].got).drain(..).map(|(_, frame)| frame[0]).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_in_order_on_a_quiet_day() {
    let two = two(1, false);
    (0..50).for_each(|byte| two.send(0, byte).unwrap());
    assert_eq!(two.got(1).await, (0..50).collect::<Vec<_>>());
    assert_eq!(two.network.traffic().delivered, 50);
}

#[tokio::test(start_paused = true)]
async fn a_rough_day_loses_repeats_and_reorders() {
    let two = two(2, false);
    two.network.conditions(Conditions { loss: 200, duplication: 200, reorder: 200, ..Conditions::default() });
    (0..200).for_each(|byte| two.send(0, byte).unwrap());
    let got = two.got(1).await;
    let traffic = two.network.traffic();
    assert!(traffic.lost > 10 && traffic.duplicated > 10 && traffic.reordered > 10);
    assert_eq!(got.len() as u64, 200 - traffic.lost + traffic.duplicated);
    assert!(!got.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn cuts_are_directed_and_heal() {
    let two = two(3, false);
    two.network.cut_one_way(&[0], &[1]);
    two.send(0, 1).unwrap();
    two.send(1, 2).unwrap();
    assert_eq!((two.got(1).await, two.got(0).await), (vec![], vec![2]));
    two.network.heal();
    two.send(0, 3).unwrap();
    assert_eq!(two.got(1).await, [3]);
    two.network.cut(&[0], &[1]);
    two.send(0, 4).unwrap();
    two.send(1, 5).unwrap();
    assert_eq!((two.got(1).await, two.got(0).await), (vec![], vec![]));
    assert_eq!(two.network.traffic().cut, 3);
}

#[tokio::test(start_paused = true)]
async fn a_clogged_way_delivers_all_at_once_in_order() {
    let two = two(7, false);
    two.send(0, 0).unwrap();
    two.network.clog_one_way(&[0], &[1]);
    (1..20).for_each(|byte| two.send(0, byte).unwrap());
    two.send(1, 99).unwrap();
    assert_eq!((two.got(1).await, two.got(0).await), (vec![], vec![99]), "one way only, what was under way too");
    let freed = Instant::now();
    two.network.unclog();
    while locked(&two.peers[1].got).len() < 20 {
        tokio::task::yield_now().await;
    }
    assert!(freed.elapsed() < Duration::from_millis(2));
    assert_eq!(two.got(1).await, (0..20).collect::<Vec<_>>());
    assert_eq!(two.network.traffic().clogged, 20);
}

#[tokio::test(start_paused = true)]
async fn frames_to_a_paused_node_wait_and_frames_from_it_do_not() {
    let two = two(8, false);
    two.send(0, 0).unwrap();
    assert_eq!(two.got(1).await, [0]);
    two.send(1, 1).unwrap();
    two.lives[1].freezer().freeze();
    (2..10).for_each(|byte| two.send(0, byte).unwrap());
    assert_eq!((two.got(1).await, two.got(0).await), (vec![], vec![1]));
    two.lives[1].freezer().thaw();
    two.network.release();
    assert_eq!(two.got(1).await, (2..10).collect::<Vec<_>>());
    assert_eq!(two.network.traffic().held, 8);
}

#[tokio::test(start_paused = true)]
async fn either_end_may_refuse_the_other() {
    let two = two(4, true);
    two.send(0, 1).unwrap();
    two.send(1, 2).unwrap();
    assert_eq!((two.got(1).await, two.got(0).await), (vec![], vec![]));
    assert!(two.network.refusals().iter().all(|(who, _)| who.as_str() == "n0"));
    assert!(!two.network.refusals().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_dead_send_and_hear_nothing_and_what_they_sent_may_arrive() {
    let two = two(5, false);
    two.send(0, 1).unwrap();
    assert_eq!(two.got(1).await, [1]);
    two.send(0, 2).unwrap();
    two.lives[0].finish();
    assert_eq!(two.send(0, 3), Err(SendRefusal::Closed));
    two.send(1, 4).unwrap();
    assert_eq!((two.got(1).await, two.got(0).await), (vec![2], vec![]));
}

#[tokio::test(start_paused = true)]
async fn only_members_that_are_served_are_reached() {
    let two = two(6, false);
    two.ports[1].serve(vec![]);
    two.send(0, 1).unwrap();
    assert_eq!(two.send(1, 2), Err(SendRefusal::UnknownPeer(Incarnation(1))));
    assert!(two.got(1).await.is_empty());
    let long = Bytes::from(vec![0; FRAME_MAX_BYTES + 1]);
    assert!(matches!(two.ports[0].send(Incarnation(2), Lane::Bulk, long), Err(SendRefusal::TooLong(_))));
}
