//! The answering half: one task takes the peers' requests in the order in which
//! they came, hands each to openraft in that order, and answers when openraft does.

use crate::core::{Ear, Raft};
use crate::network::{Exchange, vote_message, vote_of};
use crate::translate;
use crate::types::Vote;
use crate::wire::{
    Append, Appended, Body, Campaign, Fate, Judged, Records, Transfer, Transferred, VoteMessage, led, position,
};
use cp_driver::wire::BadFrame;
use cp_seam::{Incarnation, LogPosition};
use cp_store::Store;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many requests may wait to be taken; a frame beyond that is lost, as frames may be.
pub(crate) const QUEUE_MAX: usize = 4096;
/// How many may be with openraft at once.
const RUNNING_MAX: usize = 1024;

/// A request of a peer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) from: Incarnation,
    pub(crate) id: u64,
    pub(crate) body: Body,
}

/// Answers requests until the queue is closed.
pub(crate) async fn serve(
    raft: Raft,
    store: Store,
    exchange: Arc<Exchange>,
    ear: Arc<Ear>,
    mut queue: mpsc::Receiver<Request>,
) {
    // First polls happen in the order of pushing, and the first poll of a request is what hands it to openraft.
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            request = queue.recv(), if running.len() < RUNNING_MAX => match request {
                Some(request) => running.push(answer(&raft, &store, &exchange, &ear, request)),
                None => return,
            },
            Some(()) = running.next() => {}
        }
    }
}

async fn answer(raft: &Raft, store: &Store, exchange: &Exchange, ear: &Ear, request: Request) {
    let Request { from, id, body } = request;
    let answer = match body {
        Body::Append(append) => appended(raft, store, from, append).await.map(|a| a.map(Body::Appended)),
        Body::Campaign(campaign) => judged(raft, from, campaign).await.map(|j| j.map(Body::Judged)),
        Body::Transfer(transfer) => transferred(raft, from, transfer).await.map(|t| t.map(Body::Transferred)),
        Body::Appended(_) | Body::Judged(_) | Body::Transferred(_) => return,
    };
    match answer {
        Ok(Some(body)) => {
            if supports(&body) {
                ear.heard();
            }
            exchange.send(from, id, body);
        }
        Ok(None) => tracing::debug!(%from, "openraft has stopped; a request stays unanswered"),
        Err(error) => tracing::warn!(%from, %error, "a message was dropped"),
    }
}

/// Whether `answer` follows a leader or helps to elect one.
fn supports(answer: &Body) -> bool {
    match answer {
        Body::Appended(appended) => !matches!(appended.fate, None | Some(Fate::Outvoted(_))),
        Body::Judged(judged) => judged.granted,
        Body::Transferred(_) | Body::Append(_) | Body::Campaign(_) | Body::Transfer(_) => false,
    }
}

/// Whether `at` names another record than the one that is committed in its slot
/// here. openraft takes for granted that no leader does that.
fn contradicts(store: &Store, at: LogPosition) -> bool {
    at.index <= store.committed() && store.term_at(at.index).is_some_and(|term| term != at.term)
}

async fn appended(raft: &Raft, store: &Store, from: Incarnation, append: Append) -> Result<Option<Appended>, BadFrame> {
    let records = Records::try_from(append)?;
    let claims = records.after.into_iter().chain(records.records.iter().map(|record| record.position));
    if let Some(at) = claims.chain(records.committed).find(|at| contradicts(store, *at)) {
        return Err(BadFrame(format!("it contradicts what is committed here at {}", at.index)));
    }
    let request = AppendEntriesRequest {
        vote: Vote::new_committed(records.term.0, from.0),
        prev_log_id: records.after.map(translate::log_id),
        entries: records.records.into_iter().map(translate::entry).collect(),
        leader_commit: records.committed.map(translate::log_id),
    };
    Ok(raft.append_entries(request).await.ok().and_then(|response| {
        let fate = match response {
            AppendEntriesResponse::Success => Fate::Durable(true),
            AppendEntriesResponse::Conflict => Fate::Conflict(true),
            AppendEntriesResponse::HigherVote(vote) => Fate::Outvoted(vote_message(&vote)),
            // openraft only says so to streams, which are not used.
            AppendEntriesResponse::PartialSuccess(_) => return None,
        };
        Some(Appended { fate: Some(fate) })
    }))
}

async fn judged(raft: &Raft, from: Incarnation, campaign: Campaign) -> Result<Option<Judged>, BadFrame> {
    let term = led(campaign.term)?;
    let vote = vote_of(VoteMessage { term: term.0, candidate: from.0, elected: false });
    let last = campaign.last.map(position).transpose()?;
    if last.is_some_and(|last| last.term > term) {
        return Err(BadFrame(format!("a candidate for term {term} with a record of a later one")));
    }
    let request =
        VoteRequest { leadership_transfer: campaign.transfer, ..VoteRequest::new(vote, last.map(translate::log_id)) };
    let response = if campaign.pre { raft.pre_vote(request).await } else { raft.vote(request).await };
    Ok(response.ok().map(|response| Judged {
        vote: Some(vote_message(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(|last| translate::position(last).into()),
    }))
}

async fn transferred(raft: &Raft, from: Incarnation, transfer: Transfer) -> Result<Option<Transferred>, BadFrame> {
    let term = led(transfer.term)?;
    let vote = Vote::new_committed(term.0, from.0);
    let last = transfer.last.map(position).transpose()?.map(translate::log_id);
    let response = raft.handle_transfer_leader(TransferLeaderRequest::new(vote, *raft.node_id(), last)).await;
    Ok(response.ok().map(|response| Transferred { refusal: response.err().map(|e| e.to_string()).unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A witness waits for those whom it follows or helped, and for nobody else (CP-M2, CP-L1).
    #[test]
    fn only_what_serves_a_leader_or_candidate_counts_as_heard() {
        let vote = VoteMessage { term: 3, candidate: 2, elected: true };
        let appended = |fate| Body::Appended(Appended { fate });
        let judged = |granted| Body::Judged(Judged { vote: Some(vote), granted, last: None });
        assert!(supports(&appended(Some(Fate::Durable(true)))));
        assert!(supports(&appended(Some(Fate::Conflict(true)))), "the leader asks from further back");
        assert!(!supports(&appended(Some(Fate::Outvoted(vote)))));
        assert!(supports(&judged(true)));
        assert!(!supports(&judged(false)));
    }
}
