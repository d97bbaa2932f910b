//! How the cluster is: one verdict line, then a table.

use super::connection::Connection;
use super::exit::Unhealthy;
use super::output::{self, Format, Report, Tone, table};
use anyhow::Result;
use clap::Args;
use cp_catalog::{Join, Member, Voting};
use cp_seam::quorum_threshold;
use cp_supervisor::api::messages::{LeaseDesk, NodeStatus};
use cp_supervisor::client::Client;
use futures::future::join_all;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long one node is waited for.
const NODE_WITHIN: Duration = Duration::from_secs(2);

/// How long a leader may take to be found before its absence is reported.
const ELECTION_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    connection: Connection,
}

/// The judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// Every voter is up and a leader serves.
    Healthy,
    /// A leader serves, and something is missing.
    Degraded,
    /// No leader serves.
    NoQuorum,
}

#[derive(Debug, Serialize)]
struct ClusterStatus {
    health: Health,
    /// How many voters more may be lost.
    can_lose: u32,
    #[serde(skip)]
    majority_up: bool,
    reasons: Vec<String>,
    cluster: Option<String>,
    generation: Option<String>,
    engine: Option<String>,
    leader: Option<String>,
    /// The leader's leases.
    leases: Option<Leases>,
    /// What the cluster may use.
    feature_level: Option<u32>,
    nodes: Vec<Node>,
}

/// The leases that the leader grants.
#[derive(Debug, Serialize)]
struct Leases {
    length_ms: String,
    /// The longest that any leader of the cluster grants.
    longest_ms: String,
    /// How long until those of earlier leaders are over.
    settles_in_ms: String,
    /// How many ranges wait for an earlier owner besides.
    awaiting: String,
    granted: String,
}

impl Leases {
    fn new(desk: LeaseDesk) -> Self {
        let millis = |nanos: u64| nanos.div_ceil(1_000_000).to_string();
        Self {
            length_ms: millis(desk.length_ns),
            longest_ms: millis(desk.longest_ns),
            settles_in_ms: millis(desk.settles_in_ns),
            awaiting: desk.awaiting.to_string(),
            granted: desk.granted.to_string(),
        }
    }

    fn render(&self) -> String {
        let Self { length_ms, longest_ms, settles_in_ms, awaiting, granted } = self;
        let settled = match settles_in_ms.as_str() {
            "0" => "settled".to_owned(),
            wait => format!("settled in {wait} ms"),
        };
        format!(
            "\nleases of {length_ms} ms, {longest_ms} at most, {settled}; {granted} renewals granted, {awaiting} ranges await an earlier owner"
        )
    }
}

#[derive(Debug, Serialize)]
struct Node {
    member: String,
    incarnation: String,
    voting: bool,
    address: String,
    up: bool,
    error: Option<String>,
    role: Option<String>,
    term: Option<String>,
    committed: Option<String>,
    applied: Option<String>,
    digest: Option<String>,
    digest_at: Option<String>,
    release: Option<String>,
    supports_level: Option<u32>,
}

/// Asks every joined member how it is, all at once.
pub(crate) async fn nodes(client: &Client, members: &[Member]) -> Vec<Result<NodeStatus, String>> {
    let ask = |member: &Member| {
        let address = member.addresses.client.clone();
        let joined = member.join == Join::Joined;
        async move {
            if !joined {
                return Err("it has not joined yet".to_owned());
            }
            client.node(&address, NODE_WITHIN).await.map_err(|error| error.reason())
        }
    };
    join_all(members.iter().map(ask)).await
}

impl Status {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?.stale(true);
        // Any node's view will do: it is the nodes themselves that are judged.
        let members = client.members().await?.value;
        let deadline = tokio::time::Instant::now() + ELECTION_WITHIN;
        let report = loop {
            let report = judge(&members, &nodes(&client, &members).await);
            // A majority that is up and has no leader is most likely just electing one.
            let electing = report.health == Health::NoQuorum && report.majority_up;
            if !electing || tokio::time::Instant::now() >= deadline {
                break report;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        output::print(&report, format)?;
        if report.health == Health::NoQuorum { Err(Unhealthy.into()) } else { Ok(()) }
    }
}

fn judge(members: &[Member], nodes: &[Result<NodeStatus, String>]) -> ClusterStatus {
    let mut reasons = Vec::new();
    let (mut voters, mut up) = (0_usize, 0_usize);
    for (member, node) in members.iter().zip(nodes) {
        let counts = member.voting == Voting::Voting;
        voters += usize::from(counts);
        let fault = match node {
            Ok(status) => status.stopped.as_ref().map(|why| format!("{} has stopped: {why}", member.id)),
            _ if member.join == Join::Expelled => {
                let id = &member.id;
                Some(format!("{id} is expelled and not yet gone; finish it: `member remove {id} --force`"))
            }
            Err(_) if member.join == Join::Fenced => {
                Some(format!("{} was fenced by a recovery; `member add` it anew", member.id))
            }
            Err(_) if member.join != Join::Joined => Some(format!("{} has not joined yet", member.id)),
            Err(why) => Some(format!("{} is down ({why})", member.id)),
        };
        up += usize::from(counts && fault.is_none());
        reasons.extend(fault);
        if member.join == Join::Joined && member.voting == Voting::CatchingUp {
            reasons.push(format!("{} is catching up", member.id));
        }
    }
    let statuses: Vec<&NodeStatus> = nodes.iter().filter_map(|node| node.as_ref().ok()).collect();
    let leader = statuses.iter().filter(|s| s.serving).max_by_key(|s| s.term).copied();
    if leader.is_some_and(|leader| !leader.settled) {
        reasons.push("a membership change is in flight".to_owned());
    }
    for progress in leader.into_iter().flat_map(|leader| &leader.progress) {
        if let Some(index) = progress.diverged_at {
            let member = &progress.member;
            reasons.push(format!(
                "the state of {member} differs from a majority's at index {index}; on its machine: `cp-supervisor rebuild`"
            ));
        }
    }
    if let Some(index) = diverged(&statuses) {
        reasons.push(format!("members differ in their state at index {index}"));
    }
    let health = match leader {
        None => {
            reasons.insert(0, format!("{up} of {voters} voters are up and no leader serves"));
            Health::NoQuorum
        }
        Some(_) if reasons.is_empty() => Health::Healthy,
        Some(_) => Health::Degraded,
    };
    let any = leader.or_else(|| statuses.first().copied());
    ClusterStatus {
        health,
        can_lose: u32::try_from(up.saturating_sub(quorum_threshold(voters))).unwrap_or(u32::MAX),
        majority_up: up >= quorum_threshold(voters),
        reasons,
        cluster: any.map(|s| s.cluster.clone()),
        generation: any.map(|s| s.generation.to_string()),
        engine: any.map(|s| s.engine.clone()),
        leader: leader.map(|s| s.member.clone()),
        leases: leader.and_then(|s| s.leases).map(Leases::new),
        feature_level: any.map(|s| s.feature_level),
        nodes: members.iter().zip(nodes).map(|(member, node)| row(member, node)).collect(),
    }
}

/// The first index at which two nodes show different states.
fn diverged(statuses: &[&NodeStatus]) -> Option<u64> {
    let mut seen = BTreeSet::new();
    let mut indexes = BTreeSet::new();
    statuses.iter().find(|s| seen.insert((s.digest_at, &s.digest)) && !indexes.insert(s.digest_at)).map(|s| s.digest_at)
}

fn row(member: &Member, node: &Result<NodeStatus, String>) -> Node {
    let status = node.as_ref().ok();
    Node {
        member: member.id.to_string(),
        incarnation: member.incarnation.0.to_string(),
        voting: member.voting == Voting::Voting,
        address: member.addresses.client.clone(),
        up: status.is_some_and(|s| s.stopped.is_none()),
        error: node.as_ref().err().cloned().or_else(|| status.and_then(|s| s.stopped.clone())),
        role: status.map(|s| s.role.clone()),
        term: status.map(|s| s.term.to_string()),
        committed: status.map(|s| s.committed.to_string()),
        applied: status.map(|s| s.applied.to_string()),
        digest: status.map(|s| s.digest.clone()),
        digest_at: status.map(|s| s.digest_at.to_string()),
        release: status.map(|s| s.version.clone()),
        supports_level: status.map(|s| s.supports_level),
    }
}

impl Report for ClusterStatus {
    const KIND: &'static str = "status";

    fn render(&self) -> String {
        let verdict = match self.health {
            Health::Healthy => Tone::Good.paint("healthy") + &format!(" (can lose {} more)", self.can_lose),
            Health::Degraded => Tone::Warn.paint("degraded") + &format!(" (can lose {} more)", self.can_lose),
            Health::NoQuorum => Tone::Bad.paint("no quorum"),
        };
        let because = if self.reasons.is_empty() { String::new() } else { format!(": {}", self.reasons.join("; ")) };
        let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let row = |n: &Node| {
            let role = if n.up { dash(&n.role) } else { "down".to_owned() };
            [
                format!("{}#{}", n.member, n.incarnation),
                role,
                if n.voting { "yes" } else { "no" }.to_owned(),
                dash(&n.term),
                dash(&n.committed),
                dash(&n.applied),
                n.digest.as_ref().map_or_else(|| "-".to_owned(), |d| d.chars().take(12).collect()),
                n.address.clone(),
            ]
        };
        let header = ["MEMBER", "ROLE", "VOTES", "TERM", "COMMITTED", "APPLIED", "DIGEST", "CLIENTS"];
        let level = self.feature_level.map(|level| format!("\nfeature level {level}")).unwrap_or_default();
        let leases = self.leases.as_ref().map(Leases::render).unwrap_or_default();
        format!("{verdict}{because}{level}{leases}\n{}", table(header, self.nodes.iter().map(row)))
    }
}
