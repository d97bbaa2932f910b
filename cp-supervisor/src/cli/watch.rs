//! `watch`: committed changes, one line each.

use super::connection::Connection;
use super::output::{self, Format, Report};
use anyhow::{Result, bail};
use clap::Args;
use cp_catalog::{Change, Command};
use cp_seam::ControlPlaneLogIndex;
use cp_supervisor::client::Watched;
use cp_supervisor::describe::describe;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// From this index on; from what comes next if left out
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// End after this many changes
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Line {
    index: String,
    term: String,
    entry: &'static str,
    command: &'static str,
    subject: String,
    done: bool,
    verdict: String,
    /// Whether it was a retry, which changed nothing.
    repeated: bool,
    client: Option<String>,
    sequence: Option<String>,
}

impl Line {
    fn new(change: &Change) -> Self {
        let (entry, (command, subject)) = match change.request.as_ref().map(|request| &request.command) {
            Some(known @ Command::Membership(_)) => ("membership_change", describe(known)),
            Some(known @ Command::Ownership(_)) => ("ownership_transition", describe(known)),
            None => ("unknown", ("unknown", "-".to_owned())),
        };
        let id = change.request.as_ref().and_then(|request| request.id);
        Self {
            index: change.position.index.to_string(),
            term: change.position.term.to_string(),
            entry,
            command,
            subject,
            done: change.verdict.is_done(),
            verdict: change.verdict.to_string(),
            repeated: change.repeated,
            client: id.map(|id| id.client.to_string()),
            sequence: id.map(|id| id.sequence.to_string()),
        }
    }
}

impl Report for Line {
    const KIND: &'static str = "change";

    fn render(&self) -> String {
        let Self { index, term, command, subject, verdict, repeated, .. } = self;
        let again = if *repeated { " (a retry)" } else { "" };
        format!("{term}.{index}  {command} {subject}: {verdict}{again}")
    }
}

impl Watch {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?.stale(true);
        let from = match self.from {
            Some(from) => ControlPlaneLogIndex(from),
            None => client.members().await?.applied.next(),
        };
        let mut watch = client.watch(from);
        let mut left = self.count;
        while left != Some(0) {
            match watch.next().await? {
                Watched::Change(change) => output::print(&Line::new(&change), format)?,
                Watched::Compacted(compacted) => bail!(compacted),
                Watched::Reached(_) => continue,
            }
            left = left.map(|left| left.saturating_sub(1));
        }
        Ok(())
    }
}
