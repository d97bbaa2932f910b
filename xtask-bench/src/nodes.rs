//! What is measured of single nodes of ours: on clusters of their own, which no load has gone over.

use crate::ours::{Ours, defaults, whole_log};
use crate::report::{Report, Source};
use crate::run::ENGINES;
use crate::section::{Extent, Section, catch_up, memory, restart};
use anyhow::Result;
use xtask_cluster::{Binary, Step, Steps, port};

/// Measures what `sections` has of it, into `report`.
pub(crate) async fn measure(
    report: &mut Report,
    binary: &Binary,
    sections: &[Section],
    extent: &Extent,
    steps: &Steps,
) -> Result<()> {
    let has = |section| sections.contains(&section);
    if has(Section::Memory) || has(Section::CatchUp) {
        let step = steps.step("three members on each engine, at the defaults");
        let mut fresh = found(binary, defaults, &step).await?;
        step.done("");
        if has(Section::Memory) {
            let step = steps.step("memory of idle nodes");
            memory::fill(&mut fresh, &step).await?;
            report.memory = memory::look(&mut fresh).await?;
            step.done("");
        }
        if has(Section::CatchUp) {
            let step = steps.step("a follower catches up from a snapshot");
            report.catch_ups.extend(catch_up::catch_ups(&mut fresh, Source::Snapshot, extent, &step).await?);
            step.done("");
            if has(Section::Memory) {
                // By now the leader remembers what many more entries did.
                report.memory.extend(memory::look(&mut fresh).await?);
            }
        }
    }
    if has(Section::Restart) || has(Section::CatchUp) {
        let step = steps.step("three members on each engine, which keep their whole log");
        let mut whole = found(binary, whole_log, &step).await?;
        step.done("");
        if has(Section::CatchUp) {
            let step = steps.step("a follower catches up from the log");
            report.catch_ups.extend(catch_up::catch_ups(&mut whole, Source::Log, extent, &step).await?);
            step.done("");
        }
        if has(Section::Restart) {
            let step = steps.step("a follower is killed and started");
            report.restarts = restart::restarts(&mut whole, extent, &step).await?;
            step.done("");
        }
    }
    Ok(())
}

/// One on each engine, founded at the same time: most of that is waiting.
async fn found(binary: &Binary, flags: fn() -> Vec<String>, step: &Step<'_>) -> Result<Vec<Ours>> {
    let files = tempfile::Builder::new().prefix("cp-bench-").tempdir()?;
    let [one, other] = ENGINES.map(|engine| {
        let file = files.path().join(format!("{engine}.toml"));
        Box::pin(async move {
            std::fs::write(&file, port::three_members()?)?;
            Ours::found(engine, binary.clone(), &file, flags(), step).await
        })
    });
    let (one, other) = tokio::try_join!(one, other)?;
    Ok(vec![one, other])
}
