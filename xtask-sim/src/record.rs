//! What was ever run, accumulated in a file by seed range, so that a long run can
//! be made of many short ones.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Seeds `first` to `last` of one engine, none with a violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) engine: String,
    pub(crate) shape: String,
    pub(crate) storm_s: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) simulated_s: u64,
    pub(crate) acknowledged: u64,
    pub(crate) elections: u64,
    pub(crate) restarts: u64,
    /// Of what it was a run: the commit that was checked out.
    pub(crate) commit: String,
}

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) runs: Vec<Run>,
}

impl Record {
    /// What the file holds; nothing, if there is none yet.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not a record of runs; give another file to --record", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} could not be read", path.display())),
        }
    }

    /// The first seed that no run of this kind has had.
    pub(crate) fn next_seed(&self, engine: &str, shape: &str, storm_s: u64) -> u64 {
        let same = |run: &&Run| run.engine == engine && run.shape == shape && run.storm_s == storm_s;
        self.runs.iter().filter(same).map(|run| run.last.saturating_add(1)).max().unwrap_or(1)
    }

    /// Adds `run`; the file is replaced whole or not at all.
    pub(crate) fn add(&mut self, path: &Path, run: Run) -> Result<()> {
        self.runs.push(run);
        let mut lines: Vec<String> = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            lines.push(format!("    {}", serde_json::to_string(run)?));
        }
        let text = format!("{{\n  \"runs\": [\n{}\n  ]\n}}\n", lines.join(",\n"));
        let beside = path.with_extension("part");
        fs::write(&beside, text).with_context(|| format!("{} could not be written", beside.display()))?;
        fs::rename(&beside, path).with_context(|| format!("{} could not be replaced", path.display()))
    }

    /// How much of `engine` was ever simulated, in seconds.
    pub(crate) fn simulated_s(&self, engine: &str) -> u64 {
        self.runs.iter().filter(|run| run.engine == engine).map(|run| run.simulated_s).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_and_go_on_where_they_ended() {
        let path = std::env::temp_dir().join(format!("record-{}.json", std::process::id()));
        let run = |first, last| Run {
            engine: "raftrs".to_owned(),
            shape: "mixed".to_owned(),
            storm_s: 60,
            first,
            last,
            simulated_s: 100,
            acknowledged: 1,
            elections: 1,
            restarts: 1,
            commit: "abc".to_owned(),
        };
        let mut record = Record::read(&path).unwrap();
        assert_eq!(record.next_seed("raftrs", "mixed", 60), 1);
        record.add(&path, run(1, 10)).unwrap();
        record.add(&path, run(11, 30)).unwrap();
        let read = Record::read(&path).unwrap();
        assert_eq!(read, record);
        assert_eq!((read.next_seed("raftrs", "mixed", 60), read.next_seed("openraft", "mixed", 60)), (31, 1));
        assert_eq!(read.simulated_s("raftrs"), 200);
        fs::write(&path, "{").unwrap();
        assert!(Record::read(&path).is_err());
        fs::remove_file(&path).unwrap();
    }
}
