//! The asking half, with peers that say whatever a test wants.

use super::*;
use crate::texts::{Texts, quorum};
use cp_driver::{Parts, Settings, StartError};
use cp_seam::{ClusterId, Generation, Lane, MemberId, PeerReceiver, PeerTransport, QuorumMember, SendRefusal};
use cp_store::{
    Expected, Founding, Identity, MemoryDirectory, Pace, SnapshotMeta, Store, TermRuns, Writer, WriterWork,
};
use openraft::raft::AppendEntriesRequest;

const PEER: Incarnation = Incarnation(2);

/// Takes every frame and delivers none.
#[derive(Debug)]
struct Void;

impl PeerTransport for Void {
    fn attach(&self, _receiver: Arc<dyn PeerReceiver>) {}
    fn detach(&self) {}
    fn serve(&self, _peers: Vec<QuorumMember>) {}
    fn send(&self, _to: Incarnation, _lane: Lane, _frame: Bytes) -> Result<(), SendRefusal> {
        Ok(())
    }
}

#[derive(Debug)]
struct Quick;

impl Pace for Quick {
    fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

/// Member 1 of two, on a store of its own, without an engine.
async fn client() -> Client {
    let dir = MemoryDirectory::new();
    let identity = Identity {
        cluster: ClusterId([1; 16]),
        generation: Generation::default(),
        member: MemberId::new("m1").expect("legal"),
        incarnation: Incarnation(1),
        engine: crate::ENGINE.to_owned(),
    };
    let (image, digest) = Texts::founding("1,2;");
    let (position, configuration) = (LogPosition::GENESIS, quorum("1,2;").into());
    let meta = SnapshotMeta { position, configuration, configuration_at: position, terms: TermRuns::default(), digest };
    Store::create(&dir, &identity, Founding { meta, chunks: vec![image] }).expect("created");
    let store = Store::open(Arc::new(dir), &Expected::default(), Writer::Task(Arc::new(Quick))).expect("opened");
    let settings = Settings::default();
    let parts = Parts { store, state: Arc::new(Texts::default()), transport: Arc::new(Void), settings };
    let mut given = None;
    let no_engine = cp_driver::start(parts, crate::ENGINE, crate::WIRE_VERSION, |host| {
        given = Some(host);
        std::future::ready(Err(StartError::Setting { name: "engine", why: "there is none".to_owned() }))
    });
    assert!(no_engine.await.is_err());
    Client { exchange: Arc::new(Exchange::new(given.expect("built"))), target: PEER }
}

fn newest(exchange: &Exchange) -> u64 {
    *exchange.open().questions.last_key_value().expect("asked").0
}

/// What others remember of this node's earlier reign is no reign of this life.
#[tokio::test(start_paused = true)]
async fn a_vote_of_an_earlier_life_is_a_vote_and_no_more() {
    let client = client().await;
    let vote = |candidate| VoteMessage { term: 3, candidate, elected: true };
    assert_eq!(client.voted(vote(1)).expect("legal"), VoteMessage { elected: false, ..vote(1) });
    assert_eq!(client.voted(vote(2)).expect("legal"), vote(2));
}

/// openraft takes for granted that nobody misses the record before the first.
#[tokio::test(start_paused = true)]
async fn a_conflict_with_nothing_is_an_odd_answer() {
    let client = client().await;
    for (prev_log_id, taken) in [(None, false), (Some(translate::log_id(LogPosition::GENESIS)), true)] {
        let vote = Vote::new_committed(3, 1);
        let asked = client.append(AppendEntriesRequest { vote, prev_log_id, entries: Vec::new(), leader_commit: None });
        let conflict = Body::Appended(Appended { fate: Some(Fate::Conflict(true)) });
        client.exchange.answered(PEER, newest(&client.exchange), conflict);
        assert_eq!(asked.await.is_ok(), taken);
    }
}

/// Ids rise, so the oldest question is the first; it is forgotten once no answer to it counts.
#[tokio::test(start_paused = true)]
async fn stale_questions_are_forgotten() {
    let client = client().await;
    let exchange = &client.exchange;
    let stale = timing::answer_deadline(exchange.host.settings());
    let ask = || {
        drop(exchange.ask(PEER, Body::Transferred(Transferred::default()), None, stale / 2));
        newest(exchange)
    };
    let first = ask();
    sleep(stale).await;
    let second = ask();
    assert!(second > first);
    assert!(exchange.open().questions.contains_key(&first), "an answer still counts");
    sleep(Duration::from_millis(1)).await;
    ask();
    assert!(!exchange.open().questions.contains_key(&first));
    assert!(exchange.open().questions.contains_key(&second));
}

/// Who is asked to take over has longer than for an append, and an unanswered offer is over before the next election.
#[tokio::test(start_paused = true)]
async fn an_offer_of_leadership_is_over_in_time() {
    let client = client().await;
    let settings = client.exchange.host.settings();
    let asked = Instant::now();
    assert_eq!(client.exchange.transfer(PEER, Term(3), None).await, None);
    let waited = asked.elapsed();
    assert!(waited > timing::append_deadline(settings) && waited < timing::transfer_deadline(settings), "{waited:?}");
}

/// After the end nobody waits for an answer any more.
#[tokio::test(start_paused = true)]
async fn the_end_answers_everybody() {
    let client = client().await;
    let asked = client.exchange.ask(PEER, Body::Transferred(Transferred::default()), None, Duration::from_secs(1));
    let ended = Instant::now();
    client.exchange.close();
    assert_eq!(asked.await, None);
    assert_eq!(ended.elapsed(), Duration::ZERO);
}
