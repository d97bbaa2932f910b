//! Letting another lead, and stopping.

use crate::engine::Engine;
use crate::freezer::of_node;
use crate::host::Host;
use crate::reconcile;
use cp_seam::{ControlPlaneLogIndex, Incarnation};
use cp_store::Failure;
use futures::future::{BoxFuture, FutureExt, Shared};
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// The end of a node, for as many as want to wait for it.
pub(crate) type Ending = Shared<BoxFuture<'static, Result<(), Failure>>>;

/// Hands leadership to `to`: proposals are refused meanwhile, for at most T. True if this
/// node leads no more.
pub(crate) async fn hand_over(host: &Host, engine: &dyn Engine, to: Incarnation) -> bool {
    let term = host.view().term;
    host.begin_transfer(to);
    let handed = async {
        if let Err(error) = engine.transfer(to).await {
            tracing::debug!(error = crate::chain(&error), %to, "leadership was not handed over");
            return false;
        }
        tokio::select! {
            () = host.until_halted() => false,
            () = host.until_not_leading(term) => true,
        }
    };
    let handed = timeout(host.settings().election_timeout, handed).await.unwrap_or(false);
    host.end_transfer();
    handed
}

/// Who is in touch with this leader, and how far.
pub(crate) fn in_touch(host: &Host, engine: &dyn Engine) -> Vec<(Incarnation, ControlPlaneLogIndex)> {
    let mut matched = engine.matched();
    let (window, now, books) = (host.quorum_window(), Instant::now(), host.books());
    let fresh = |at: Instant| now.saturating_duration_since(at) < window;
    matched.retain(|(who, _)| books.contacts.last_ack(*who).is_some_and(fresh));
    drop(books);
    matched
}

/// Begins to stop the node, whoever waits for it.
pub(crate) fn begin(host: Arc<Host>, engine: Arc<dyn Engine>) -> Ending {
    let ending = tokio::spawn(of_node(stop(host, engine)));
    let lost = |error| Failure { what: format!("stopping the node: {error}"), source: None };
    async move { ending.await.unwrap_or_else(|error| Err(lost(error))) }.boxed().shared()
}

async fn stop(host: Arc<Host>, engine: Arc<dyn Engine>) -> Result<(), Failure> {
    if host.refusal().is_none() {
        let newest = host.newest_configuration();
        let heir = reconcile::heir(&newest.1.voters, host.me(), &in_touch(&host, engine.as_ref()));
        if let Some(heir) = heir
            && !hand_over(&host, engine.as_ref(), heir).await
        {
            tracing::info!(%heir, "stopping without having handed leadership over");
        }
    }
    host.halt("it was shut down");
    host.parts.transport.detach();
    engine.stop().await;
    let closed = host.store().close().await;
    host.board.close();
    host.waiting.wake(ControlPlaneLogIndex(0), None, true);
    closed
}
