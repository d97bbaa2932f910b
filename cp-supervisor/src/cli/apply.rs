//! `apply`: brings the cluster to what a file says.

use super::connection::Connection;
use super::exit::invalid;
use super::member::join_command;
use super::output::{self, Format, Report, count};
use anyhow::Result;
use clap::Args;
use cp_supervisor::apply::{ApplyError, apply};
use cp_supervisor::cluster_file::ClusterFile;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The cluster file (TOML)
    #[arg(long, short = 'f', value_name = "FILE")]
    file: PathBuf,
    /// Check the file and change nothing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Applied {
    admitted: Vec<Admitted>,
    awaited: Vec<String>,
    collections_created: usize,
    ranges_created: usize,
    ranges_kept: usize,
}

#[derive(Debug, Serialize)]
struct Admitted {
    member: String,
    token: String,
    join_command: String,
}

impl Report for Applied {
    const KIND: &'static str = "applied";

    fn render(&self) -> String {
        let mut text = format!(
            "{} and {} created, {} left alone",
            count(self.collections_created, "collection"),
            count(self.ranges_created, "range"),
            count(self.ranges_kept, "range")
        );
        for Admitted { member, join_command, .. } in &self.admitted {
            text.push_str(&format!("\n\n{member} admitted; with its certificate, run there:\n\n{join_command}"));
        }
        if !self.awaited.is_empty() {
            let awaited = self.awaited.join(", ");
            text.push_str(&format!("\n\nwaiting for {awaited} to join; then apply the file again for its ranges"));
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct Checked {
    members: usize,
    collections: usize,
    ranges: usize,
}

impl Report for Checked {
    const KIND: &'static str = "checked";

    fn render(&self) -> String {
        let members = count(self.members, "member");
        let (collections, ranges) = (count(self.collections, "collection"), count(self.ranges, "range"));
        format!("{members}, {collections}, {ranges}: the file is good")
    }
}

impl Apply {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let file = ClusterFile::read(&self.file)?;
        if self.check {
            let ranges = file.collections.iter().map(|c| c.bounds.len()).sum();
            let checked = Checked { members: file.members.len(), collections: file.collections.len(), ranges };
            return output::print(&checked, format);
        }
        let client = self.connection.client()?;
        let applied = match apply(&client, &file).await {
            Err(ApplyError::Conflict { what }) => {
                return Err(invalid(&self.file.display().to_string(), ApplyError::Conflict { what }));
            }
            other => other?,
        };
        let via = client.addresses().join(",");
        let admitted = applied.admitted.iter().map(|(member, token)| Admitted {
            member: member.to_string(),
            token: token.to_string(),
            join_command: join_command(member, &token.to_string(), &via),
        });
        let report = Applied {
            admitted: admitted.collect(),
            awaited: applied.awaited.iter().map(ToString::to_string).collect(),
            collections_created: applied.collections_created,
            ranges_created: applied.ranges_created,
            ranges_kept: applied.ranges_kept,
        };
        output::print(&report, format)
    }
}
