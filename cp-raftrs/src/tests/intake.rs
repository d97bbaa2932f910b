//! One node, and peers that say whatever they like.

use crate::testing::{Cluster, configuration, entry};
use crate::{translate, wire};
use cp_seam::{ControlPlaneLogIndex, ControlPlaneRole, Incarnation, LastVote, LogPosition, Term};
use cp_store::{LogRecord, RecordBody};
use proptest::prelude::*;
use raft::eraftpb::{Message, MessageType};
use std::time::Duration;

const ME: Incarnation = Incarnation(1);

fn message(from: u64, kind: MessageType, term: u64) -> Message {
    let mut message = Message { from, to: ME.0, term, ..Message::default() };
    message.set_msg_type(kind);
    message
}

fn append(from: u64, term: u64, after: (u64, u64), records: Vec<(u64, RecordBody)>) -> Message {
    let mut append = message(from, MessageType::MsgAppend, term);
    (append.log_term, append.index) = after;
    let record = |((term, body), n)| {
        translate::entry(&LogRecord { position: LogPosition::new(Term(term), ControlPlaneLogIndex(after.1 + n)), body })
    };
    append.set_entries(records.into_iter().zip(1..).map(record).collect::<Vec<_>>().into());
    append
}

fn ballot(from: u64, term: u64, last: (u64, u64)) -> Message {
    let mut ballot = message(from, MessageType::MsgRequestVote, term);
    (ballot.log_term, ballot.index) = last;
    ballot
}

fn deliver(cluster: &Cluster, message: Message) {
    let from = Incarnation(message.from);
    for frame in wire::encode(message, 1 << 20).expect("encodes").unwrap_or_default() {
        cluster.node(ME.0).engine.receive(from, frame);
    }
}

async fn alone() -> Cluster {
    let mut cluster = Cluster::prepared([1, 2, 3]);
    cluster.boot(ME.0).await;
    cluster.net.audit();
    cluster
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// CP-D1: a vote that is granted in a term already known is written like any other.
#[tokio::test(start_paused = true)]
async fn a_grant_in_a_known_term_is_durable() {
    let cluster = alone().await;
    deliver(&cluster, append(2, 3, (0, 0), vec![(3, RecordBody::Blank)]));
    tokio::time::sleep(cluster.settings.election_timeout * 2).await;
    deliver(&cluster, ballot(2, 5, (0, 0)));
    pause().await;
    let vote = cluster.node(1).store.vote();
    assert_eq!((vote.term, vote.granted_to), (Term(5), None), "its log is too short");
    deliver(&cluster, ballot(3, 5, (3, 1)));
    pause().await;
    let vote = cluster.node(1).store.durable().borrow().vote;
    assert_eq!((vote.term, vote.granted_to), (Term(5), Some(Incarnation(3))));
    assert!(cluster.net.sent(MessageType::MsgRequestVoteResponse) >= 2);
}

/// CP-S3: a leader that was followed without a grant has none after a restart either.
#[tokio::test(start_paused = true)]
async fn a_restart_makes_no_grant_of_a_leader() {
    let mut cluster = alone().await;
    deliver(&cluster, append(2, 3, (0, 0), vec![(3, RecordBody::Blank)]));
    pause().await;
    let followed = LastVote { term: Term(3), granted_to: None, following: Some(Incarnation(2)) };
    assert_eq!(cluster.node(1).store.vote(), followed);
    cluster.restart(1).await;
    deliver(&cluster, append(2, 3, (3, 1), vec![(3, RecordBody::Blank)]));
    pause().await;
    assert_eq!(cluster.node(1).store.vote(), followed);
    assert_eq!(cluster.node(1).store.last().index, ControlPlaneLogIndex(2), "it was taken");
}

/// CP-S3: of two grants in one round, in two terms, only the one that is written leaves.
#[tokio::test(start_paused = true)]
async fn a_grant_that_was_overtaken_does_not_leave() {
    let cluster = alone().await;
    pause().await;
    cluster.node(1).stall(true);
    deliver(&cluster, ballot(2, 4, (0, 0)));
    pause().await;
    deliver(&cluster, ballot(2, 5, (9, 9)));
    deliver(&cluster, ballot(3, 6, (9, 9)));
    cluster.node(1).stall(false);
    pause().await;
    let vote = cluster.node(1).store.durable().borrow().vote;
    assert_eq!((vote.term, vote.granted_to), (Term(6), Some(Incarnation(3))));
    assert_eq!(cluster.net.sent(MessageType::MsgRequestVoteResponse), 2, "for terms 4 and 6");
}

/// A second leader in one term is not believed, and does not stop the node.
#[tokio::test(start_paused = true)]
async fn a_second_leader_is_not_believed() {
    let cluster = alone().await;
    deliver(&cluster, append(2, 3, (0, 0), vec![(3, RecordBody::Blank)]));
    pause().await;
    deliver(&cluster, append(3, 3, (0, 0), vec![(2, RecordBody::Blank)]));
    pause().await;
    assert_eq!(cluster.node(1).seam.leader().map(|l| l.to_string()), Some("m2".to_owned()));
    assert_eq!(cluster.node(1).stopped(), None);
}

/// The engine asserts that a new leader's log is on disk; records and the call to stand may come in one round.
#[tokio::test(start_paused = true)]
async fn a_node_does_not_win_on_records_in_memory() {
    let cluster = Cluster::start([1]).await;
    let last = cluster.node(1).store.last();
    deliver(&cluster, append(2, 8, (last.term.0, last.index.0), vec![(8, RecordBody::Entry(entry("theirs")))]));
    deliver(&cluster, message(2, MessageType::MsgTimeoutNow, 8));
    cluster.until("it leads again", |c| c.node(1).seam.term() == Term(9) || c.node(1).stopped().is_some()).await;
    assert_eq!(cluster.node(1).stopped(), None);
}

/// CP-P3: a position in a term that a power loss forgets could be handed out twice.
#[tokio::test(start_paused = true)]
async fn a_position_is_not_handed_out_before_its_term_is_durable() {
    let cluster = Cluster::start([1]).await;
    let node = cluster.node(1);
    node.stall(true);
    deliver(&cluster, message(2, MessageType::MsgTimeoutNow, 8));
    let mut asked = node.engine.append(entry("early"));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut asked).await;
    assert!(early.is_err(), "{early:?}");
    node.stall(false);
    let position = asked.await.expect("placed");
    assert_eq!(position.term, Term(9));
}

fn bodies() -> impl Strategy<Value = RecordBody> {
    prop_oneof![
        3 => Just(RecordBody::Blank),
        3 => Just(RecordBody::Entry(entry("x"))),
        1 => Just(RecordBody::Configuration(configuration([1, 2, 3], [], [4]))),
    ]
}

fn messages() -> impl Strategy<Value = Message> {
    let append = (2_u64..4, 1_u64..6, (0_u64..4, 0_u64..8), proptest::collection::vec(bodies(), 0..4), 0_u64..9);
    let append = append.prop_map(|(from, term, (log_term, index), bodies, commit)| {
        // Genesis is the one position that all share.
        let after = if index == 0 { (0, 0) } else { (log_term.min(term), index) };
        let mut append = append_of(from, term, after, bodies);
        append.commit = commit;
        append
    });
    let numbers = (2_u64..4, 1_u64..6, 0_u64..6, 0_u64..9, 0_u64..9, any::<bool>(), 0_usize..8);
    let other = numbers.prop_map(|(from, term, log_term, index, commit, reject, kind)| {
        use MessageType as T;
        let kinds = [
            T::MsgAppendResponse,
            T::MsgRequestVote,
            T::MsgRequestVoteResponse,
            T::MsgRequestPreVote,
            T::MsgRequestPreVoteResponse,
            T::MsgHeartbeat,
            T::MsgHeartbeatResponse,
            T::MsgTimeoutNow,
        ];
        let mut message = message(from, kinds[kind], term);
        (message.log_term, message.index, message.commit, message.commit_term) = (log_term, index, commit, log_term);
        (message.reject, message.reject_hint) = (reject, commit);
        message.priority = -i64::from(reject);
        message
    });
    prop_oneof![append, other]
}

fn append_of(from: u64, term: u64, after: (u64, u64), bodies: Vec<RecordBody>) -> Message {
    append(from, term, after, bodies.into_iter().map(|body| (term, body)).collect())
}

/// CP-D1: a refusal needs no write of its own, and does not outrun that of the term in it.
#[tokio::test(start_paused = true)]
async fn a_fresh_node_refuses_nobody_before_its_term_is_durable() {
    let cluster = alone().await;
    let mut asks = message(2, MessageType::MsgRequestVote, 1);
    (asks.reject, asks.priority) = (true, -1);
    deliver(&cluster, asks);
    pause().await;
    assert_eq!(cluster.node(1).stopped(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// CP-S3, CP-D1, CP-D2: lies may keep a node from its work; they do not bring the engine
    /// down, nor anything out of the node that is not on its disk.
    #[test]
    fn nothing_that_peers_say_brings_a_node_down(
        said in proptest::collection::vec((messages(), 0_u64..60), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("builds");
        runtime.block_on(async {
            let cluster = alone().await;
            for (message, wait_ms) in said {
                deliver(&cluster, message);
                if cluster.node(1).seam.role() == ControlPlaneRole::Leader {
                    drop(cluster.node(1).engine.append(entry("mine")).await);
                }
                if wait_ms > 20 {
                    tokio::time::sleep(Duration::from_millis(wait_ms * 4)).await;
                }
            }
            pause().await;
            assert_eq!(cluster.node(1).stopped(), None);
        });
    }
}
