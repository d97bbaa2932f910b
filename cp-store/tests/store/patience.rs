//! A committed index alone waits a moment on a node that follows another, and on no other.

use crate::common::{create, instant, records};
use cp_seam::{ControlPlaneLogIndex as Index, Incarnation, LastVote, Term};
use cp_store::{Batch, Expected, MemoryDirectory, Store, Ticket};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A store whose node, incarnation 1, follows `leader` and has two records.
async fn following(leader: u64) -> Store {
    let dir = MemoryDirectory::new();
    create(&dir);
    let store = Store::open(Arc::new(dir), &Expected::default(), instant()).expect("opens");
    let vote = LastVote { term: Term(1), granted_to: None, following: Some(Incarnation(leader)) };
    let batch = Batch { vote: Some(vote), append: records(1, 1..=2), ..Batch::default() };
    store.submit(batch).expect("accepted").await.expect("durable");
    store
}

fn commit(store: &Store, index: u64) -> Ticket {
    store.submit(Batch { committed: Some(Index(index)), ..Batch::default() }).expect("accepted")
}

async fn taken(ticket: Ticket) -> Duration {
    let begun = Instant::now();
    ticket.await.expect("durable");
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_followers_commit_waits_for_company_and_not_for_long() {
    let store = following(2).await;
    assert_eq!(taken(commit(&store, 1)).await, Duration::from_millis(2), "nothing came");
    let alone = commit(&store, 2);
    let company = store.submit(Batch { append: records(1, 3..=3), ..Batch::default() }).expect("accepted");
    assert_eq!(taken(alone).await, Duration::ZERO, "records came, and do not wait for it");
    assert_eq!(taken(company).await, Duration::ZERO);
    assert_eq!(store.durable().borrow().committed, Index(2));
}

/// CP-D3: whoever leads reports a commit once it is durable, so it is waited for.
#[tokio::test(start_paused = true)]
async fn a_leaders_commit_does_not_wait() {
    let store = following(1).await;
    assert_eq!(taken(commit(&store, 1)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_before_the_store_is_closed() {
    let store = following(2).await;
    let waits = commit(&store, 2);
    store.close().await.expect("closes");
    assert_eq!(taken(waits).await, Duration::ZERO);
}
