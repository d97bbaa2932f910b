//! How many copies a range wants, and where.

use super::super::connection::Connection;
use super::super::exit::invalid;
use super::super::output::Format;
use super::{change, read};
use anyhow::Result;
use clap::Args;
use cp_catalog::OwnershipCommand;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cp-supervisor range placement orders/1 --replication-factor 3
  cp-supervisor range placement orders/1 --attribute disk=ssd --attribute region=eu
What is not given stays; planners act on it later, see `rebalance --dry-run`.")]
pub(crate) struct Placement {
    /// Which range, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// Copies wanted, the owner's included
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    replication_factor: Option<u32>,
    /// What planners match members against; all that there were go
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Leave no attributes
    #[arg(long, conflicts_with = "attributes")]
    no_attributes: bool,
    #[command(flatten)]
    connection: Connection,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no attribute; write name=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Placement {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        if self.replication_factor.is_none() && self.attributes.is_empty() && !self.no_attributes {
            let what = "nothing to change; give --replication-factor, --attribute or --no-attributes";
            return Err(invalid("range placement", what));
        }
        let client = self.connection.client()?;
        let (range, found) = read(&client, &self.range).await?;
        let fence = found.fence();
        let mut placement = found.placement.as_ref().clone();
        if let Some(count) = self.replication_factor {
            placement.replication_factor = count;
        }
        if self.no_attributes || !self.attributes.is_empty() {
            placement.attributes = self.attributes.into_iter().collect();
        }
        placement.check().map_err(|bad| invalid("range placement", bad))?;
        change(&client, format, OwnershipCommand::SetPlacement { range, fence, placement }).await
    }
}
