//! Commands about members.

mod remove;

use super::cluster::LocalityArgs;
use super::connection::{self, Connection, decide, named};
use super::exit::invalid;
use super::output::{self, Format, Report, table};
use super::plan::Seen;
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use cp_catalog::{Admission, Effect, Holdings, Join, MembershipCommand, Service, Verdict, Voting};
use cp_seam::{MemberId, MemberKind};
use cp_supervisor::api::messages::NodeStatus;
use cp_supervisor::token::Secret;
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Admit a member and print how it joins
    Add(Add),
    /// Give a caught-up member its vote now
    Promote(One),
    /// Take a member's vote; it goes on receiving the log
    Demote(One),
    /// Let a member take no new ranges, before it is removed
    Drain(Drain),
    /// End a drain
    Undrain(One),
    /// Remove a drained member that holds no ranges; by force one that is gone for good
    Remove(remove::Remove),
    /// Say where a member stands now: its failure domain and weight
    Locality(Locality),
    /// List the members
    List(List),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Votes, and may own and hold ranges
    Data,
    /// Votes, holds no ranges, leads only as a last resort
    Witness,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name, which is also its certificate's
    #[arg(value_name = "ID")]
    member: String,
    /// What it is for
    #[arg(long, value_enum, default_value_t = Kind::Data)]
    kind: Kind,
    #[command(flatten)]
    locality: LocalityArgs,
    /// Give it no vote before `member promote` does
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// Which member
    #[arg(value_name = "ID")]
    member: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    one: One,
    /// Change nothing; print who would take what the member has, what each step awaits, and
    /// what stands in the way
    #[arg(long, visible_alias = "explain")]
    dry_run: bool,
    /// Also hand over what it has, step by step, as far as what was observed allows
    #[arg(long, conflicts_with = "dry_run")]
    run: bool,
    #[command(flatten)]
    seen: Seen,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  cp-supervisor member locality n1 --failure-domain rack-2 --weight 200")]
pub(crate) struct Locality {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    locality: LocalityArgs,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

impl Member {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Add(add) => add.run(format).await,
            Self::List(list) => list.run(format).await,
            Self::Promote(one) => one.change(format, |member| MembershipCommand::SetVoting { member }).await,
            Self::Demote(one) => {
                one.change(format, |member| MembershipCommand::Demote { member, reachable: BTreeSet::new() }).await
            }
            Self::Drain(drain) => drain.run(format).await,
            Self::Undrain(one) => one.change(format, |member| MembershipCommand::Undrain { member }).await,
            Self::Locality(Locality { one, locality }) => {
                let locality = locality.check()?;
                one.change(format, |member| MembershipCommand::SetLocality { member, locality }).await
            }
            Self::Remove(remove) => remove.run(format).await,
        }
    }
}

#[derive(Debug, Serialize)]
struct Added {
    member: String,
    incarnation: String,
    /// None if it was a member already.
    token: Option<String>,
    join_command: Option<String>,
    /// In how many ranges it is the owner by an earlier life.
    owned: String,
    /// In how many it has another copy by an earlier life.
    held: String,
}

impl Report for Added {
    const KIND: &'static str = "member_added";

    fn render(&self) -> String {
        let Self { member, incarnation, join_command, owned, held, .. } = self;
        match join_command {
            Some(command) => {
                let back = match (owned.as_str(), held.as_str()) {
                    ("0", "0") => String::new(),
                    _ => format!(
                        "it still owns {owned} ranges and holds {held} other copies by an earlier life: if its data is lost, move those before it joins\n"
                    ),
                };
                format!("{member} admitted as #{incarnation}; with its certificate, run there:\n\n{command}\n{back}")
            }
            None => format!(
                "{member} is a member already, as #{incarnation}; its token was given when it was added (lost? remove it and add it again)"
            ),
        }
    }
}

impl Add {
    async fn run(self, format: Format) -> Result<()> {
        let member: MemberId = named("ID", &self.member)?;
        let locality = self.locality.check()?;
        let client = self.connection.client()?;
        let secret = Secret::new()?;
        let kind = match self.kind {
            Kind::Data => MemberKind::Data,
            Kind::Witness => MemberKind::Witness,
        };
        let admission = Admission { member, kind, token_hash: secret.hash(), locality, standby: self.hold };
        let decision = decide(&client, MembershipCommand::Admit(admission)).await?;
        let added = match decision.verdict {
            Verdict::Done(Effect::Admitted { member, incarnation }) => {
                let token = secret.for_life(incarnation).to_string();
                let via = client.addresses().join(",");
                // The token is told once: nothing that is only good to know may lose it.
                let holdings = client.holdings().await.map(|answer| answer.value).unwrap_or_default();
                let held = holdings.get(&member).copied().unwrap_or_default();
                Added {
                    owned: held.owned.to_string(),
                    held: (held.replicas + held.archives).to_string(),
                    join_command: Some(join_command(&member, &token, &via)),
                    member: member.to_string(),
                    incarnation: incarnation.0.to_string(),
                    token: Some(token),
                }
            }
            Verdict::Done(Effect::AlreadyMember { member, incarnation }) => Added {
                member: member.to_string(),
                incarnation: incarnation.0.to_string(),
                token: None,
                join_command: None,
                owned: "0".to_owned(),
                held: "0".to_owned(),
            },
            other => anyhow::bail!("the cluster answered what this release does not know: {other}"),
        };
        output::print(&added, format)
    }
}

/// The command that lets an admitted member in, but for its own addresses and files.
pub(crate) fn join_command(member: &MemberId, token: &str, via: &str) -> String {
    format!(
        "  cp-supervisor join --data-dir DIR --token {token} \\\n    --via {via} \\\n    --peer-address HOST:PORT --client-address HOST:PORT \\\n    --ca ca.pem --cert {member}.pem --key {member}.key"
    )
}

#[derive(Debug, Serialize)]
struct Changed {
    effect: String,
    position: String,
    /// Whether the engine's quorum follows already; until then the change is decided and not final.
    settled: bool,
}

impl Report for Changed {
    const KIND: &'static str = "member_changed";

    fn render(&self) -> String {
        let note = if self.settled { "" } else { "; the quorum has not followed yet, see `cp-supervisor status`" };
        format!("{}{note}", self.effect)
    }
}

impl Drain {
    async fn run(self, format: Format) -> Result<()> {
        if self.dry_run || self.run {
            let member: MemberId = named("ID", &self.one.member)?;
            return super::plan::drain(&self.one.connection, member, self.run, &self.seen, format).await;
        }
        if self.seen.is_given() {
            return Err(invalid("--observed", "it is for --dry-run or --run; give one of them"));
        }
        self.one.change(format, |member| MembershipCommand::Drain { member }).await
    }
}

impl One {
    async fn change(
        self,
        format: Format,
        command: impl FnOnce(cp_catalog::MemberLife) -> MembershipCommand,
    ) -> Result<()> {
        let client = self.connection.client()?;
        let member = connection::member(&client, &self.member).await?;
        let decision = decide(&client, command(member.life())).await?;
        let settled = decision.settled || client.settled(decision.position.index).await?;
        let changed =
            Changed { effect: decision.verdict.to_string(), position: decision.position.to_string(), settled };
        output::print(&changed, format)
    }
}

/// A member, as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct MemberRow {
    id: String,
    incarnation: String,
    kind: &'static str,
    voting: bool,
    standby: bool,
    service: &'static str,
    joined: bool,
    fenced: bool,
    expelled: bool,
    failure_domain: Option<String>,
    weight: u32,
    peer_address: String,
    client_address: String,
    http_address: String,
    role: Option<String>,
    term: Option<String>,
    matched: Option<String>,
    lag: Option<String>,
    last_ack_ms: Option<String>,
    release: Option<String>,
    down: Option<String>,
    /// In how many ranges it is the owner.
    owned: String,
    /// In how many it is a hot replica.
    replicas: String,
    /// In how many it is an archive replica.
    archives: String,
}

#[derive(Debug, Serialize)]
struct Members {
    applied: String,
    stale: bool,
    members: Vec<MemberRow>,
}

impl Report for Members {
    const KIND: &'static str = "members";

    fn render(&self) -> String {
        let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let row = |m: &MemberRow| {
            let state = match (m.joined, m.service, m.voting, m.standby) {
                (false, ..) if m.fenced => "fenced",
                (false, ..) if m.expelled => "expelled",
                (false, ..) => "awaited",
                (_, "draining", ..) => "draining",
                (_, _, true, _) => "voting",
                (_, _, _, true) => "standby",
                (..) => "catching up",
            };
            let role = if m.down.is_some() { "down".to_owned() } else { dash(&m.role) };
            [
                format!("{}#{}", m.id, m.incarnation),
                m.kind.to_owned(),
                state.to_owned(),
                role,
                dash(&m.term),
                dash(&m.matched),
                dash(&m.lag),
                m.last_ack_ms.as_ref().map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
                m.owned.clone(),
                format!("{}+{}", m.replicas, m.archives),
                dash(&m.failure_domain),
                m.client_address.clone(),
                dash(&m.release),
            ]
        };
        let header = [
            "MEMBER", "KIND", "STATE", "ROLE", "TERM", "MATCH", "LAG", "LAST ACK", "OWNS", "HOLDS", "DOMAIN",
            "CLIENTS", "RELEASE",
        ];
        output::labelled(table(header, self.members.iter().map(row)), self.stale, &self.applied)
    }
}

impl List {
    async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let members = client.members().await?;
        let holdings = client.holdings().await?.value;
        let nodes = super::status::nodes(&client, &members.value).await;
        let leader = nodes.iter().filter_map(|node| node.as_ref().ok()).find(|status| status.serving);
        let held = |member: &cp_catalog::Member| holdings.get(&member.id).copied().unwrap_or_default();
        let rows = members.value.iter().zip(&nodes);
        let rows = rows.map(|(member, node)| row(member, node, leader, held(member))).collect();
        output::print(&Members { applied: members.applied.to_string(), stale: members.stale, members: rows }, format)
    }
}

type Asked = Result<NodeStatus, String>;

fn row(member: &cp_catalog::Member, node: &Asked, leader: Option<&NodeStatus>, held: Holdings) -> MemberRow {
    let progress = leader.and_then(|l| l.progress.iter().find(|p| p.incarnation == member.incarnation.0));
    let status = node.as_ref().ok();
    MemberRow {
        id: member.id.to_string(),
        incarnation: member.incarnation.0.to_string(),
        kind: match member.kind {
            MemberKind::Data => "data",
            MemberKind::Witness => "witness",
        },
        voting: member.voting == Voting::Voting,
        standby: member.voting == Voting::Standby,
        service: match member.service {
            Service::Active => "active",
            Service::Draining => "draining",
        },
        joined: member.join == Join::Joined,
        fenced: member.join == Join::Fenced,
        expelled: member.join == Join::Expelled,
        failure_domain: member.locality.domain.as_ref().map(ToString::to_string),
        weight: member.locality.weight,
        peer_address: member.addresses.peer.clone(),
        client_address: member.addresses.client.clone(),
        http_address: member.addresses.http.clone(),
        role: status.map(|s| s.role.clone()),
        term: status.map(|s| s.term.to_string()),
        matched: progress.map(|p| p.matched.to_string()),
        lag: progress.zip(leader).map(|(p, l)| l.committed.saturating_sub(p.matched).to_string()),
        last_ack_ms: progress.and_then(|p| p.last_ack_ms).map(|ms| ms.to_string()),
        release: status.map(|s| s.version.clone()),
        down: node.as_ref().err().cloned(),
        owned: held.owned.to_string(),
        replicas: held.replicas.to_string(),
        archives: held.archives.to_string(),
    }
}
