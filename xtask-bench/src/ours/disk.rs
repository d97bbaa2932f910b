//! What a node's directory says.

use anyhow::{Context, Result};
use cp_store::{DiskDirectory, Store};
use std::path::Path;

/// How long a stopped node's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLen {
    /// Retained, up to the snapshot.
    pub(crate) before: u64,
    /// Committed, after it.
    pub(crate) after: u64,
}

/// Reads it all; the node must not run.
pub(crate) fn log_len(dir: &Path) -> Result<LogLen> {
    let image = Store::inspect(&DiskDirectory::new(dir))?;
    let snapshot = image.snapshot.position.index;
    let first = image.log.first().map_or(snapshot.next(), |record| record.position.index);
    let before = snapshot.next().0.saturating_sub(first.0);
    Ok(LogLen { before, after: image.committed.0.saturating_sub(snapshot.0) })
}

/// The file of the current snapshot, and how many bytes it has; `None` while one takes the other's place.
pub(crate) fn snapshot(dir: &Path) -> Result<Option<(String, u64)>> {
    let mut found = None;
    for entry in std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("snapshot-") {
            continue;
        }
        // One that was there a moment ago may be gone.
        let Ok(file) = entry.metadata() else { return Ok(None) };
        if found.replace((name, file.len())).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}
