//! Making a range.

use super::super::connection::{Connection, named};
use super::super::output::Format;
use super::{bound, change, key, mode};
use anyhow::Result;
use clap::Args;
use cp_catalog::{Bound, Bounds, Copies, NewRange, OwnershipCommand, Placement};
use cp_seam::MemberId;

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// Who may write
    #[arg(long, value_name = "MEMBER")]
    owner: String,
    /// Who follows and may take over
    #[arg(long, value_delimiter = ',', value_name = "MEMBER")]
    replicas: Vec<String>,
    /// Who keeps an archive
    #[arg(long, value_delimiter = ',', value_name = "MEMBER")]
    archives: Vec<String>,
    /// The first key, or the first slot; from the beginning if left out
    #[arg(long, value_name = "KEY")]
    from: Option<String>,
    /// The first key, or slot, that is out; to the end if left out
    #[arg(long, value_name = "KEY")]
    to: Option<String>,
    /// Copies wanted, the owner's included; as many as given if left out
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    replication_factor: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

impl Create {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let range = key(&self.range)?;
        let owner: MemberId = named("--owner", &self.owner)?;
        let copies = |what: &str, names: &[String]| -> Result<Copies> {
            names.iter().map(|name| named::<MemberId>(what, name)).collect()
        };
        let replicas = copies("--replicas", &self.replicas)?;
        let archives = copies("--archives", &self.archives)?;
        let client = self.connection.client()?;
        let mode = mode(&client, &range.collection).await?;
        let lower = self.from.as_deref().map_or(Ok(Bound::Min), |text| bound("--from", text, mode))?;
        let upper = self.to.as_deref().map_or(Ok(Bound::Max), |text| bound("--to", text, mode))?;
        let bounds = Bounds::new(lower, upper).map_err(|bad| super::invalid("--from, --to", bad))?;
        let given = u32::try_from(replicas.len() + 1).unwrap_or(u32::MAX);
        let replication_factor = self.replication_factor.unwrap_or(given);
        let placement = Placement { replication_factor, ..Placement::default() };
        let new = NewRange { range, mode, bounds, owner, replicas, archives, placement };
        change(&client, format, OwnershipCommand::CreateRange(new)).await
    }
}
