//! Micro-benchmarks: what each piece costs by itself. They are criterion's, in `benches/` of the crates
//! that they measure; here they are built, run in turns, and read.

use crate::report::micro::MicroSeries;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;
use xtask_cluster::{Step, cargo};

/// Where, and which.
const BENCHES: [(&str, &str); 6] = [
    ("cp-seam", "call"),
    ("cp-openraft", "seam"),
    ("cp-raftrs", "seam"),
    ("cp-driver", "codec"),
    ("cp-store", "commit"),
    ("cp-catalog", "catalog"),
];

/// How much is measured, in criterion's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// How often all run; the median counts.
    rounds: usize,
    warm_up_s: &'static str,
    measured_s: &'static str,
    /// Which of a bench's benchmarks run; all, if there is nothing to match.
    of_catalog: &'static str,
}

impl Extent {
    pub(crate) fn whole() -> Self {
        Self { rounds: 3, warm_up_s: "0.2", measured_s: "0.5", of_catalog: "" }
    }

    pub(crate) fn quick() -> Self {
        // A million ranges take longest to make.
        Self { rounds: 1, warm_up_s: "0.1", measured_s: "0.2", of_catalog: "codec|catalog/.*/10{3,5}$" }
    }
}

/// Builds all, in the profile of the bench itself.
pub(crate) async fn build() -> Result<Vec<PathBuf>> {
    let mut arguments = vec!["--release"];
    for (package, bench) in BENCHES {
        arguments.extend(["--package", package, "--bench", bench]);
    }
    let build = move || cargo::targets(&arguments);
    let built = tokio::task::spawn_blocking(build).await.context("the build was interrupted")??;
    let find = |(package, bench)| {
        let found = built.iter().find(|target| target.package == package && target.name == bench);
        found.map(|target| target.executable.clone()).with_context(|| format!("cargo built no {bench} of {package}"))
    };
    BENCHES.into_iter().map(find).collect()
}

/// Runs what [`build`] gave.
pub(crate) async fn run(built: &[PathBuf], extent: Extent, step: &Step<'_>) -> Result<Vec<MicroSeries>> {
    let mut series: Vec<MicroSeries> = Vec::new();
    for round in 1..=extent.rounds {
        for ((package, bench), executable) in BENCHES.iter().zip(built) {
            step.progress(&format!("round {round} of {}: {bench} of {package}", extent.rounds));
            let kept = tempfile::tempdir()?;
            let filter = if *bench == "catalog" { extent.of_catalog } else { "" };
            measure(executable, extent, filter, kept.path()).await?;
            for (id, nanos) in read(kept.path())? {
                match series.iter_mut().find(|series| series.id == id) {
                    Some(known) => known.values_ns.push(nanos),
                    None => series.push(MicroSeries { id, values_ns: vec![nanos] }),
                }
            }
        }
    }
    Ok(series)
}

async fn measure(executable: &Path, extent: Extent, filter: &str, kept: &Path) -> Result<()> {
    let arguments = ["--bench", "--noplot", "--quiet", "--sample-size", "10", "--nresamples", "1001"];
    let times = ["--warm-up-time", extent.warm_up_s, "--measurement-time", extent.measured_s];
    let output = Command::new(executable)
        .args(arguments)
        .args(times)
        .args(Some(filter).filter(|filter| !filter.is_empty()))
        .env("CRITERION_HOME", kept)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{} could not be run", executable.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}: {}", executable.display(), output.status, said.trim());
    Ok(())
}

/// What a benchmark is called: `group/what/size`, as criterion has it.
#[derive(Debug, Deserialize)]
struct Benchmark {
    full_id: String,
}

#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Each benchmark's median in nanoseconds, from what criterion keeps: a directory each, two files in it.
fn read(kept: &Path) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    let mut dirs = vec![kept.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            }
        }
        if dir.ends_with("new") {
            let benchmark: Benchmark = json(&dir.join("benchmark.json"))?;
            let estimates: Estimates = json(&dir.join("estimates.json"))?;
            found.push((benchmark.full_id, estimates.median.point_estimate));
        }
    }
    ensure!(!found.is_empty(), "criterion kept nothing in {}", kept.display());
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what criterion keeps", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criterion_keeps_is_read() {
        let kept = tempfile::tempdir().expect("a directory");
        for (dir, id, median) in [("seam/b/64", "seam/b/64", 2.5), ("a/c", "a/c", 1e6)] {
            let dir = kept.path().join(dir).join("new");
            std::fs::create_dir_all(&dir).expect("made");
            let benchmark = serde_json::json!({"group_id": "x", "full_id": id, "throughput": null});
            let estimate = serde_json::json!({"point_estimate": median, "standard_error": 0.1});
            let estimates = serde_json::json!({"mean": estimate, "median": estimate, "slope": null});
            std::fs::write(dir.join("benchmark.json"), benchmark.to_string()).expect("written");
            std::fs::write(dir.join("estimates.json"), estimates.to_string()).expect("written");
        }
        let read = read(kept.path()).expect("read");
        assert_eq!(read, [("a/c".to_owned(), 1e6), ("seam/b/64".to_owned(), 2.5)]);
    }
}
