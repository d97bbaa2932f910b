//! Splitting, merging, and the copies of a range.

use super::super::connection::{Connection, named};
use super::super::output::Format;
use super::{change, cut, mode, read};
use anyhow::Result;
use clap::{Args, ValueEnum};
use cp_catalog::{CopyEdit, OwnershipCommand, RangeId, RangeKey};
use cp_seam::MemberId;

#[derive(Debug, Args)]
pub(crate) struct Split {
    /// Which range, as collection/id; it keeps the lower part
    #[arg(value_name = "RANGE")]
    range: String,
    /// The first key, or slot, of the upper part
    #[arg(long, value_name = "KEY")]
    at: String,
    /// The number of the upper part; one more than the highest if left out
    #[arg(long, value_name = "ID")]
    new_id: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

impl Split {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let (key, range) = read(&client, &self.range).await?;
        let at = cut("--at", &self.at, mode(&client, &key.collection).await?)?;
        let new_id = match self.new_id {
            Some(id) => RangeId(id),
            None => {
                let ranges = client.ranges(Some(&key.collection)).await?.value;
                let highest = ranges.iter().map(|(key, _)| key.id.0).max().unwrap_or_default();
                RangeId(highest.saturating_add(1))
            }
        };
        change(&client, format, OwnershipCommand::Split { range: key, fence: range.fence(), at, new_id }).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The range that stays, as collection/id
    #[arg(value_name = "RANGE")]
    survivor: String,
    /// The number of the neighbour that goes
    #[arg(value_name = "RETIRED-ID")]
    retired: u64,
    #[command(flatten)]
    connection: Connection,
}

impl Merge {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let (survivor, range) = read(&client, &self.survivor).await?;
        let retired = RangeKey::new(survivor.collection.clone(), RangeId(self.retired));
        let (retired, going) = read(&client, &retired.to_string()).await?;
        let command = OwnershipCommand::Merge {
            survivor,
            fence: range.fence(),
            retired: retired.id,
            retired_fence: going.fence(),
        };
        change(&client, format, command).await
    }
}

/// What to do with a copy.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Edit {
    /// Add it
    Add,
    /// Drop it
    Drop,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// Add or drop
    #[arg(value_enum)]
    edit: Edit,
    /// Which range, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// Whose copy
    #[arg(value_name = "MEMBER")]
    member: String,
    /// An archive rather than a replica
    #[arg(long)]
    archive: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Copy {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let member: MemberId = named("MEMBER", &self.member)?;
        let client = self.connection.client()?;
        let (key, range) = read(&client, &self.range).await?;
        let edit = CopyEdit { range: key, fence: range.fence(), member };
        let command = match (self.edit, self.archive) {
            (Edit::Add, false) => OwnershipCommand::AddReplica(edit),
            (Edit::Add, true) => OwnershipCommand::AddArchive(edit),
            (Edit::Drop, false) => OwnershipCommand::RemoveReplica(edit),
            (Edit::Drop, true) => OwnershipCommand::RemoveArchive(edit),
        };
        change(&client, format, command).await
    }
}
