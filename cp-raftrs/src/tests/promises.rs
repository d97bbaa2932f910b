//! CP-D1, CP-D2: every frame of a run is held against what a power loss at that moment would leave.

use crate::testing::{Cluster, entry, genesis};
use std::time::Duration;

/// The engine calls the first appends of a reign safe to send at once. They are not, if the
/// reign began in the same round: a single voter that forgets its term would win it again.
#[tokio::test(start_paused = true)]
async fn a_single_voter_leads_in_a_durable_term() {
    let mut cluster = Cluster::start([1]).await;
    cluster.found(2, genesis([1]));
    cluster.boot(2).await;
    cluster.want("1;2").await;
    cluster.write(0..2).await;
    cluster.net.audit();
    for round in 1..9 {
        cluster.restart(1).await;
        cluster.write(round * 10..round * 10 + 2).await;
        cluster.agree().await;
    }
    assert!(cluster.net.audited() > 40, "{} frames", cluster.net.audited());
}

#[tokio::test(start_paused = true)]
async fn elections_and_appends_promise_what_is_durable() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.net.audit();
    for round in 0..6 {
        let leader = cluster.leader().await;
        let some: Vec<_> = (0..20).map(|n| entry(&format!("{round}.{n}"))).collect();
        let wait = Duration::from_secs(2);
        let seam = &cluster.node(leader).seam;
        let written = futures::future::join_all(some.iter().map(|e| seam.propose(e.clone()))).await;
        assert!(written.iter().any(Result::is_ok), "{written:?}");
        match round % 3 {
            0 => cluster.restart(leader).await,
            1 => {
                cluster.net.isolate(leader);
                cluster.until("another", |c| c.nodes.iter().any(|(id, n)| *id != leader && n.seam.is_leader())).await;
                cluster.net.heal();
            }
            _ => {
                let heir = cluster.nodes.keys().copied().find(|id| *id != leader).expect("three");
                let heir = crate::testing::quorum_member(heir).id;
                tokio::time::timeout(wait, seam.transfer_leadership(&heir))
                    .await
                    .expect("in time")
                    .expect("taken over");
            }
        }
        cluster.write(round * 10..round * 10 + 3).await;
        cluster.agree().await;
    }
    assert!(cluster.net.audited() > 200, "{} frames", cluster.net.audited());
}
