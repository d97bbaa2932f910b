//! The asking half, with peers that say whatever a test wants.

use super::*;
use crate::testing::{Gate, Void, host};
use openraft::raft::AppendEntriesRequest;

const PEER: Incarnation = Incarnation(2);

async fn client() -> Client {
    listened().await.0
}

async fn listened() -> (Client, Arc<Void>) {
    let (host, void) = host(Gate::open()).await;
    (Client { exchange: Arc::new(Exchange::new(host)), target: PEER }, void)
}

/// A request of the leader of term 3 that holds its peer to genesis and no more.
fn heartbeat() -> AppendEntriesRequest<Types> {
    let prev_log_id = Some(translate::log_id(LogPosition::GENESIS));
    AppendEntriesRequest { vote: Vote::new_committed(3, 1), prev_log_id, entries: Vec::new(), leader_commit: None }
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
        let asked = client.append(AppendEntriesRequest { prev_log_id, ..heartbeat() });
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

/// CP-L1: a heartbeat is sent again until it is answered, so one lost frame costs no lease,
/// and an answer to any of them will do.
#[tokio::test(start_paused = true)]
async fn an_unanswered_heartbeat_is_repeated() {
    let (client, void) = listened().await;
    let (asked, pause) = (client.append(heartbeat()), client.exchange.host.settings().heartbeat);
    let first = newest(&client.exchange);
    let late = async {
        sleep(pause * 2 + Duration::from_millis(1)).await;
        assert_eq!(void.sent(), 3);
        let durable = Body::Appended(Appended { fate: Some(Fate::Durable(true)) });
        client.exchange.answered(PEER, first, durable);
    };
    let (answer, ()) = futures::join!(asked, late);
    assert!(answer.expect("answered").is_success());
}

/// CP-L1: a leader that keeps still sends neither heartbeats nor records; its votes and answers go on.
#[tokio::test(start_paused = true)]
async fn a_still_leader_sends_no_append() {
    let (client, void) = listened().await;
    client.exchange.keep_still(true);
    assert!(client.append(heartbeat()).await.is_err(), "nobody was asked");
    assert_eq!(void.sent(), 0);
    client.exchange.send(PEER, 1, Body::Transferred(Transferred::default()));
    assert_eq!(void.sent(), 1);
    client.exchange.keep_still(false);
    drop(client.append(heartbeat()));
    assert_eq!(void.sent(), 2);
}
