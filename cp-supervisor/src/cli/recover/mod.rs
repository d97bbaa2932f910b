//! Forced recovery: what is left, whom to go on from, and the going on (CP-R2).

mod apply;
mod backup;
mod collect;
mod list;
mod plan;

pub(super) use apply::{Signed, Succeeded};

use anyhow::{Context, Result};
use clap::Subcommand;
use cp_recovery::Survivor;
use cp_store::DiskDirectory;
use std::path::Path;
use std::sync::Arc;

use super::output::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum Recover {
    /// Describe one directory whose node is not running; changes nothing
    Collect(collect::Collect),
    /// Choose the survivor to go on from, and say what that may cost; changes nothing
    Plan(plan::Plan),
    /// Save the state that one directory holds to a file, whoever may go on from it; changes
    /// nothing in the directory
    Backup(backup::Backup),
    /// Make one survivor the only voter of a new generation; on exactly one survivor
    Apply(Box<apply::Apply>),
    /// List the forced recoveries and restores that the cluster has been through
    List(list::List),
}

impl Recover {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Collect(collect) => collect.run(format),
            Self::Plan(plan) => plan.run(format),
            Self::Backup(backup) => backup.run(format),
            Self::Apply(apply) => apply.run(format),
            Self::List(list) => list.run(format).await,
        }
    }
}

/// The directory, to be looked at only: its file system may be read-only.
fn survivor(data_dir: &Path) -> Result<Survivor> {
    opened(DiskDirectory::read_only(data_dir), data_dir)
}

fn opened(directory: DiskDirectory, data_dir: &Path) -> Result<Survivor> {
    Survivor::open(Arc::new(directory)).with_context(|| data_dir.display().to_string())
}

/// Names of lives, for people.
fn names(lives: &[cp_catalog::MemberLife]) -> String {
    if lives.is_empty() {
        return "nobody".to_owned();
    }
    lives.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
