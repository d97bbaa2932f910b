//! `audit`: who tried what with authority, and what came of it.

use super::connection::Connection;
use super::output::{self, Format, Report, table};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use cp_catalog::AuditRecord;
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List what is kept, the oldest first; fails if it is no chain
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Records {
    applied: String,
    stale: bool,
    /// How many there have been, and how many of them are not kept any more.
    count: String,
    forgotten: String,
    /// The hash over all of them, to be noted elsewhere and compared later.
    head: String,
    records: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    sequence: String,
    index: String,
    at: Option<String>,
    principal: Option<String>,
    action: &'static str,
    target: String,
    reason: String,
    disposition: String,
    /// The number of the refusal; 0 if it took effect.
    refusal: u32,
}

impl From<&AuditRecord> for Row {
    fn from(record: &AuditRecord) -> Self {
        let at = record.origin.as_ref().map(|origin| {
            let at = i64::try_from(origin.at_unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            at.map_or_else(|| origin.at_unix_ms.to_string(), |at| at.to_string())
        });
        Self {
            sequence: record.sequence.to_string(),
            index: record.index.to_string(),
            at,
            principal: record.origin.as_ref().map(|origin| origin.principal.to_string()),
            action: record.action.name(),
            target: record.target.clone(),
            reason: record.reason.clone(),
            disposition: record.disposition.to_string(),
            refusal: record.refusal,
        }
    }
}

impl Report for Records {
    const KIND: &'static str = "audit";

    fn render(&self) -> String {
        let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        // What an attacker wrote must not move the cursor of whoever reads it.
        let shown = |text: &str| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
        let row = |row: &Row| {
            [
                row.sequence.clone(),
                dash(&row.at),
                dash(&row.principal),
                row.action.to_owned(),
                shown(&row.target),
                row.disposition.clone(),
                shown(&row.reason),
            ]
        };
        let header = ["SEQUENCE", "AT", "WHO", "ACTION", "TARGET", "DISPOSITION", "REASON"];
        let text = table(header, self.records.iter().map(row));
        let chain = format!("{} in all, {} not kept any more; chain head {}", self.count, self.forgotten, self.head);
        output::labelled(format!("{text}\n{chain}"), self.stale, &self.applied)
    }
}

impl Audit {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let Self::List(List { connection }) = self;
        let answer = connection.client()?.audit().await?;
        if !answer.value.is_whole() {
            bail!(
                "the audit is no chain: a record was changed or left out; compare it with another member's (--stale)"
            );
        }
        let chain = answer.value.chain;
        let records = Records {
            applied: answer.applied.to_string(),
            stale: answer.stale,
            count: chain.count.to_string(),
            forgotten: chain.forgotten.to_string(),
            head: chain.head.iter().map(|byte| format!("{byte:02x}")).collect(),
            records: answer.value.records.iter().map(Row::from).collect(),
        };
        output::print(&records, format)
    }
}
