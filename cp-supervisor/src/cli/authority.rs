//! Commands about placement authorities: who decides where the ranges of a group are.

use super::connection::{Connection, decide, named};
use super::exit::invalid;
use super::output::{self, Format, Report, table};
use anyhow::Result;
use clap::{Args, Subcommand};
use cp_catalog::{GroupName, OwnershipCommand};
use cp_seam::MemberId;
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Authority {
    /// Name the placement authority of a group that has none
    Assign(Change),
    /// Move the placement authority of a group; planners that act by the old one are refused
    Reassign(Change),
    /// List who decides on which group
    List(List),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cp-supervisor authority assign shop --to n1
  cp-supervisor authority reassign shop --to n2")]
pub(crate) struct Change {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// The data member that decides from now on
    #[arg(long, value_name = "MEMBER")]
    to: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Authorities {
    applied: String,
    stale: bool,
    authorities: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    group: String,
    holder: String,
    epoch: String,
    epoch_raw: String,
    version: String,
}

impl Report for Authorities {
    const KIND: &'static str = "authorities";

    fn render(&self) -> String {
        let row = |row: &Row| [row.group.clone(), row.holder.clone(), row.epoch.clone(), row.version.clone()];
        let text = table(["GROUP", "HOLDER", "EPOCH", "VERSION"], self.authorities.iter().map(row));
        output::labelled(text, self.stale, &self.applied)
    }
}

impl Authority {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Assign(change) => change.assign(format).await,
            Self::Reassign(change) => change.reassign(format).await,
            Self::List(list) => list.run(format).await,
        }
    }
}

impl Change {
    fn names(&self) -> Result<(GroupName, MemberId)> {
        Ok((named("GROUP", &self.group)?, named("--to", &self.to)?))
    }

    async fn assign(self, format: Format) -> Result<()> {
        let (group, holder) = self.names()?;
        let client = self.connection.client()?;
        let decision = decide(&client, OwnershipCommand::AssignAuthority { group, holder }).await?;
        output::print_done("authority_held", &decision, format)
    }

    async fn reassign(self, format: Format) -> Result<()> {
        let (group, holder) = self.names()?;
        let client = self.connection.client()?;
        let known = client.authorities().await?.value;
        let Some(was) = known.into_iter().find(|authority| authority.group == group) else {
            let what = format!("group {group} has no placement authority; name one: `authority assign`");
            return Err(invalid("GROUP", what));
        };
        let command = OwnershipCommand::ReassignAuthority { group, fence: was.fence(), holder };
        output::print_done("authority_held", &decide(&client, command).await?, format)
    }
}

impl List {
    async fn run(self, format: Format) -> Result<()> {
        let answer = self.connection.client()?.authorities().await?;
        let row = |authority: &cp_catalog::Authority| Row {
            group: authority.group.to_string(),
            holder: authority.holder.to_string(),
            epoch: authority.epoch.to_string(),
            epoch_raw: authority.epoch.0.to_string(),
            version: authority.version.to_string(),
        };
        let authorities = answer.value.iter().map(row).collect();
        output::print(&Authorities { applied: answer.applied.to_string(), stale: answer.stale, authorities }, format)
    }
}
