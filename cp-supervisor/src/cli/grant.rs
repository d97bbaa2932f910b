//! `grant`: which client may do what.

use super::connection::{Connection, decide, named};
use super::exit::invalid;
use super::output::{self, Format, Report, table};
use anyhow::Result;
use clap::{Args, Subcommand};
use cp_catalog::{ClientName, MembershipCommand, Privileges};
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// Let a client do exactly this from now on; the first grant must let somebody operate
    Set(Set),
    /// Let a client do nothing any more
    Revoke(Revoke),
    /// List what clients may do
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The client, as its certificate calls it
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Let it read
    #[arg(long)]
    read: bool,
    /// Let it operate the cluster, which includes reading
    #[arg(long)]
    operate: bool,
    /// Let it force; no part of the others
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The client, as its certificate calls it
    #[arg(value_name = "CLIENT")]
    client: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Grants {
    applied: String,
    stale: bool,
    grants: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    client: String,
    read: bool,
    operate: bool,
    force: bool,
}

impl Report for Grants {
    const KIND: &'static str = "grants";

    fn render(&self) -> String {
        if self.grants.is_empty() {
            return "nothing is granted: every client of this cluster may read and operate, and none may force"
                .to_owned();
        }
        let yes = |has: bool| if has { "yes" } else { "no" }.to_owned();
        let row = |row: &Row| {
            [row.client.clone(), yes(row.read || row.operate || row.force), yes(row.operate), yes(row.force)]
        };
        let text = table(["CLIENT", "READ", "OPERATE", "FORCE"], self.grants.iter().map(row));
        output::labelled(text, self.stale, &self.applied)
    }
}

async fn change(connection: &Connection, format: Format, client: &str, privileges: Privileges) -> Result<()> {
    let client: ClientName = named("CLIENT", client)?;
    let decision = decide(&connection.client()?, MembershipCommand::Grant { client, privileges }).await?;
    output::print_done("granted", &decision, format)
}

impl Grant {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Set(Set { client, read, operate, force, connection }) => {
                let privileges = Privileges { read, operate, force };
                if privileges.is_empty() {
                    return Err(invalid(
                        "grant set",
                        "give --read, --operate or --force; `grant revoke` takes all away",
                    ));
                }
                change(&connection, format, &client, privileges).await
            }
            Self::Revoke(Revoke { client, connection }) => {
                change(&connection, format, &client, Privileges::default()).await
            }
            Self::List(List { connection }) => {
                let answer = connection.client()?.grants().await?;
                let row = |(client, granted): &(ClientName, Privileges)| Row {
                    client: client.to_string(),
                    read: granted.read,
                    operate: granted.operate,
                    force: granted.force,
                };
                let grants = answer.value.iter().map(row).collect();
                output::print(&Grants { applied: answer.applied.to_string(), stale: answer.stale, grants }, format)
            }
        }
    }
}
