//! The state of one directory as a file, whoever may go on from it.

use super::survivor;
use crate::cli::exit::invalid;
use crate::cli::output::Format;
use crate::cli::snapshot;
use anyhow::{Context, Result};
use clap::Args;
use cp_recovery::Survivor;
use cp_recovery::backup::{self, Draft};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The node's directory; it may be read-only, and of a member that was removed or fenced
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// The file to make; never overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(self, format: Format) -> Result<()> {
        let survivor = survivor(&self.data_dir)?;
        outside("FILE", &self.file, &self.data_dir)?;
        snapshot::report(&self.file, &keep(&survivor, &self.file)?, format)
    }
}

/// Writes what `survivor` holds to the new file at `path`.
pub(super) fn keep(survivor: &Survivor, path: &Path) -> Result<backup::Backup> {
    let (meta, state) = survivor.to_backup()?;
    let mut draft = Draft::begin(path, &meta)?;
    state.chunks.iter().try_for_each(|chunk| draft.push(chunk))?;
    Ok(draft.finish()?)
}

/// What lies in the directory is the store's to remove.
pub(super) fn outside(argument: &str, backup: &Path, data_dir: &Path) -> Result<()> {
    let parent = backup.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let parent = parent.canonicalize().with_context(|| format!("{} cannot be reached", parent.display()))?;
    if parent.starts_with(data_dir.canonicalize()?) {
        return Err(invalid(argument, "it is in the node's directory, which is the node's alone; keep it elsewhere"));
    }
    Ok(())
}
