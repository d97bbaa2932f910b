//! What the state remembers of forced recoveries and restores.

use crate::cli::connection::Connection;
use crate::cli::output::{self, Format, Report, table};
use anyhow::Result;
use clap::Args;
use cp_catalog::{Cause, Recovery};
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Recoveries {
    applied: String,
    stale: bool,
    recoveries: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    generation: u32,
    cause: &'static str,
    at: String,
    operator: String,
    reason: String,
    survivor: String,
    last: String,
    committed: String,
    lost_voters: Vec<String>,
    fenced: String,
}

impl From<&Recovery> for Row {
    fn from(recovery: &Recovery) -> Self {
        let at = i64::try_from(recovery.at_unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        Self {
            generation: u32::from(recovery.generation),
            cause: match recovery.cause {
                Cause::Forced => "forced",
                Cause::Restored => "restored",
            },
            at: at.map_or_else(|| recovery.at_unix_ms.to_string(), |at| at.to_string()),
            operator: recovery.operator.clone(),
            reason: recovery.reason.clone(),
            survivor: recovery.survivor.to_string(),
            last: recovery.position.to_string(),
            committed: recovery.committed.to_string(),
            lost_voters: recovery.lost_voters.iter().map(ToString::to_string).collect(),
            fenced: recovery.fenced.to_string(),
        }
    }
}

impl Report for Recoveries {
    const KIND: &'static str = "recoveries";

    fn render(&self) -> String {
        if self.recoveries.is_empty() {
            return output::labelled("the cluster was never recovered".to_owned(), self.stale, &self.applied);
        }
        let row = |r: &Row| {
            [
                r.generation.to_string(),
                r.cause.to_owned(),
                r.at.clone(),
                r.operator.clone(),
                r.survivor.clone(),
                r.last.clone(),
                r.lost_voters.join(","),
                r.reason.clone(),
            ]
        };
        let header = ["GENERATION", "CAUSE", "AT", "OPERATOR", "SURVIVOR", "LAST", "LOST VOTERS", "REASON"];
        output::labelled(table(header, self.recoveries.iter().map(row)), self.stale, &self.applied)
    }
}

impl List {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let recoveries = self.connection.client()?.recoveries().await?;
        let rows = recoveries.value.iter().map(Row::from).collect();
        let (applied, stale) = (recoveries.applied.to_string(), recoveries.stale);
        output::print(&Recoveries { applied, stale, recoveries: rows }, format)
    }
}
