//! A member says what its release can do, after the release was changed.

use crate::client::Client;
use crate::supervisor::Supervisor;
use cp_catalog::{FEATURE_LEVEL, Features, Join, Member, MembershipCommand, Verdict};
use cp_net::tls::Credentials;
use cp_store::Identity;
use std::sync::Arc;
use std::time::Duration;

/// How often the state is looked at until it says so.
const EVERY: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Sees to it that the state names the feature level that this release supports.
pub(super) async fn run(supervisor: Arc<Supervisor>, identity: Identity, credentials: Credentials) {
    let mut watch = supervisor.consensus().watch();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while watch.current().stopped.is_none() {
        ticks.tick().await;
        let catalog = supervisor.read_stale().catalog;
        let me = |member: &&Member| member.incarnation == identity.incarnation && member.join == Join::Joined;
        let Some(member) = catalog.member(&identity.member).filter(me) else { continue };
        if member.features.level == FEATURE_LEVEL {
            return;
        }
        let endpoints = catalog.members().map(|member| member.addresses.client.clone());
        let endpoints = endpoints.filter(|address| !address.is_empty()).collect();
        let features = Features { level: FEATURE_LEVEL, ..member.features.clone() };
        let command = MembershipCommand::SetFeatures { member: member.life(), features };
        match Client::new(endpoints, credentials.clone(), WITHIN).submit(command).await {
            Ok(decision) => match decision.verdict {
                Verdict::Done(_) => tracing::info!(level = FEATURE_LEVEL, "announced the feature level"),
                Verdict::Refused(refusal) => tracing::warn!(%refusal, "the feature level was not announced"),
            },
            Err(error) => tracing::debug!(error = cp_driver::chain(&error), "the feature level is not announced yet"),
        }
    }
}
