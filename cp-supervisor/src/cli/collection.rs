//! Commands about collections.

use super::connection::{Connection, decide, named};
use super::output::{self, Format, Report, table};
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use cp_catalog::{CollectionName, GroupName, Mode, OwnershipCommand};
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Collection {
    /// Make a collection, without ranges
    Create(Create),
    /// List the collections
    List(List),
}

/// How keys map to ranges.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    /// Ranges cover slots of a hash of the key
    Hash,
    /// Ranges cover the keys themselves
    Ordered,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name
    #[arg(value_name = "COLLECTION")]
    collection: String,
    /// The group whose placement authority covers it
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// How its keys map to ranges
    #[arg(long, value_enum)]
    mode: ModeArg,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Collections {
    applied: String,
    stale: bool,
    collections: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    group: String,
    mode: String,
}

impl Report for Collections {
    const KIND: &'static str = "collections";

    fn render(&self) -> String {
        let rows = self.collections.iter().map(|c| [c.name.clone(), c.group.clone(), c.mode.clone()]);
        output::labelled(table(["COLLECTION", "GROUP", "MODE"], rows), self.stale, &self.applied)
    }
}

impl Collection {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Create(create) => create.run(format).await,
            Self::List(list) => list.run(format).await,
        }
    }
}

impl Create {
    async fn run(self, format: Format) -> Result<()> {
        let collection: CollectionName = named("COLLECTION", &self.collection)?;
        let group: GroupName = named("--group", &self.group)?;
        let mode = match self.mode {
            ModeArg::Hash => Mode::Hash,
            ModeArg::Ordered => Mode::Ordered,
        };
        let client = self.connection.client()?;
        let decision = decide(&client, OwnershipCommand::CreateCollection { collection, group, mode }).await?;
        output::print_done("collection_created", &decision, format)
    }
}

impl List {
    async fn run(self, format: Format) -> Result<()> {
        let answer = self.connection.client()?.collections().await?;
        let row = |spec: &cp_catalog::CollectionSpec| Row {
            name: spec.name.to_string(),
            group: spec.group.to_string(),
            mode: spec.mode.to_string(),
        };
        let report = Collections {
            applied: answer.applied.to_string(),
            stale: answer.stale,
            collections: answer.value.iter().map(row).collect(),
        };
        output::print(&report, format)
    }
}
