//! What was decided and has not taken effect yet.

use super::super::connection::Connection;
use super::super::output::{self, Format, Report, table};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Awaiting {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Awaited {
    /// Until the leases of earlier leaders are over.
    settles_in_ms: String,
    ranges: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    range: String,
    owner: String,
    epoch: String,
    /// Who may still write.
    earlier: String,
    remaining_ms: String,
}

fn millis(time: Duration) -> String {
    time.as_nanos().div_ceil(1_000_000).to_string()
}

impl Awaiting {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let awaited = self.connection.client()?.awaiting().await?;
        let row = |one: &cp_lease::Awaiting| Row {
            range: one.range.to_string(),
            owner: one.owner.to_string(),
            epoch: one.epoch.to_string(),
            earlier: one.earlier.to_string(),
            remaining_ms: millis(one.remaining),
        };
        let ranges = awaited.ranges.iter().map(row).collect();
        output::print(&Awaited { settles_in_ms: millis(awaited.settles_in), ranges }, format)
    }
}

impl Report for Awaited {
    const KIND: &'static str = "awaiting";

    fn render(&self) -> String {
        let settling = match self.settles_in_ms.as_str() {
            "0" => String::new(),
            wait => format!("the leader is new: what moved without a closed gate waits for {wait} ms at least\n"),
        };
        if self.ranges.is_empty() {
            return format!("{settling}no range waits for an earlier owner");
        }
        let row = |r: &Row| [&r.range, &r.owner, &r.epoch, &r.earlier, &r.remaining_ms].map(Clone::clone);
        let header = ["RANGE", "OWNER", "EPOCH", "WAITS FOR", "MS"];
        format!("{settling}{}", table(header, self.ranges.iter().map(row)))
    }
}
