//! Health and metrics over plain HTTP.
//!
//! `/livez` says that the process should not be restarted, from local facts
//! alone; `/readyz` that requests can be sent here, which takes a linearizable
//! read. `?verbose` lists the checks.

use super::metrics::Metrics;
use crate::client::Client;
use crate::supervisor::Supervisor;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cp_catalog::Voting;
use cp_net::Transport;
use cp_net::tls::Credentials;
use cp_seam::ReadError;
use cp_store::{Identity, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the linearizable read of a readiness check may take.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// What the pages are made from.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) store: Store,
    pub(super) identity: Identity,
    pub(super) credentials: Credentials,
    pub(super) metrics: Metrics,
    pub(super) transport: Arc<Transport>,
    pub(super) data_dir: PathBuf,
}

type Parameters = Query<BTreeMap<String, String>>;

pub(super) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(pages))
}

/// A check's name, and what is wrong if something is.
type Check = (&'static str, Result<(), String>);

async fn livez(State(pages): State<Arc<Pages>>, Query(asked): Parameters) -> Response {
    report("livez", &[pages.alive()], asked.contains_key("verbose"))
}

async fn readyz(State(pages): State<Arc<Pages>>, Query(asked): Parameters) -> Response {
    let checks = [pages.running(), pages.disk(), pages.voter(), pages.read().await];
    report("readyz", &checks, asked.contains_key("verbose"))
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    pages.metrics.sample_peers(&pages.transport.status());
    pages.metrics.sample_store(pages.store_bytes(), pages.store.absorbing_since().map(|since| since.elapsed()));
    match pages.metrics.page(&pages.supervisor, pages.identity.incarnation) {
        Ok(page) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn report(name: &str, checks: &[Check], verbose: bool) -> Response {
    let failed = checks.iter().any(|(_, result)| result.is_err());
    let mut page = String::new();
    for (check, result) in checks {
        match result {
            Ok(()) if verbose => page.push_str(&format!("[+]{check} ok\n")),
            Ok(()) => {}
            Err(why) => page.push_str(&format!("[-]{check} failed: {why}\n")),
        }
    }
    page.push_str(&match failed {
        true => format!("{name} check failed\n"),
        false if verbose => format!("{name} check passed\n"),
        false => "ok\n".to_owned(),
    });
    let code = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, page).into_response()
}

impl Pages {
    fn running(&self) -> Check {
        let stopped = self.supervisor.consensus().watch().current().stopped;
        ("running", stopped.map_or(Ok(()), |why| Err(format!("the node has stopped: {why}"))))
    }

    /// As [`running`](Self::running), but that a node which differs from the others would
    /// differ again after a restart, and must not be hidden by one.
    fn alive(&self) -> Check {
        match self.supervisor.status().diverged_at {
            Some(_) => ("running", Ok(())),
            None => self.running(),
        }
    }

    fn disk(&self) -> Check {
        let age = self.store.oldest_unfinished().map(|since| since.elapsed());
        let stalled = age.filter(|age| *age > self.supervisor.patience() / 2);
        let why = |age: Duration| format!("a write has not finished for {} ms", age.as_millis());
        ("disk", stalled.map_or(Ok(()), |age| Err(why(age))))
    }

    fn voter(&self) -> Check {
        let catalog = self.supervisor.read_stale().catalog;
        let result = match catalog.member(&self.identity.member) {
            Some(member) if member.incarnation != self.identity.incarnation => {
                Err(format!("{} is {} now; wipe this directory and join anew", member.id, member.incarnation))
            }
            Some(member) if member.voting != Voting::Voting => Err("it has no vote yet".to_owned()),
            Some(_) => Ok(()),
            None => Err(format!("{} is no member any more", self.identity.member)),
        };
        ("voter", result)
    }

    /// A linearizable read, at the leader wherever that is.
    async fn read(&self) -> Check {
        let read = async {
            match self.supervisor.read().await {
                Ok(_) => Ok(()),
                Err(ReadError::NotLeader { leader: Some(leader) }) => {
                    let catalog = self.supervisor.read_stale().catalog;
                    let address = catalog.member(&leader).map(|m| m.addresses.client.clone()).unwrap_or_default();
                    let client = Client::new(vec![address], self.credentials.clone(), READ_WITHIN);
                    client.members().await.map(|_| ()).map_err(|error| cp_driver::chain(&error))
                }
                Err(error) => Err(error.to_string()),
            }
        };
        let late = || Err(format!("no answer within {} ms", READ_WITHIN.as_millis()));
        ("read", timeout(READ_WITHIN, read).await.unwrap_or_else(|_| late()))
    }

    fn store_bytes(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.data_dir) else { return 0 };
        entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum()
    }
}
