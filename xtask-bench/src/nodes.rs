//! What is measured of single nodes of ours: on clusters of their own, which no load has gone over.

use crate::elections::During;
use crate::ours::{Ours, defaults, whole_log};
use crate::report::Source;
use crate::run::{Bench, ENGINES};
use crate::section::{Section, catch_up, memory, restart};
use crate::subject::Subject;
use anyhow::Result;
use xtask_cluster::{Binary, Step, port};

/// Measures what `sections` has of it.
pub(crate) async fn measure(bench: &mut Bench<'_>, sections: &[Section]) {
    let has = |section| sections.contains(&section);
    let mut fresh = Nodes::new("three members on each engine, at the defaults", defaults);
    let mut filled = false;
    if has(Section::Memory) {
        let ended = fresh.memory(bench).await;
        filled = ended.is_ok();
        fresh.ended(Section::Memory, ended, bench);
    }
    if has(Section::CatchUp) {
        let ended = fresh.catch_up_from_a_snapshot(bench, filled).await;
        fresh.ended(Section::CatchUp, ended, bench);
    }
    fresh.end(bench);
    let mut whole = Nodes::new("three members on each engine, which keep their whole log", whole_log);
    // First, since it counts the entries before the snapshot.
    if has(Section::Restart) {
        let ended = whole.restart(bench).await;
        whole.ended(Section::Restart, ended, bench);
    }
    if has(Section::CatchUp) {
        let ended = whole.catch_up_from_the_log(bench).await;
        whole.ended(Section::CatchUp, ended, bench);
    }
    whole.end(bench);
}

/// A cluster on each engine, founded when first needed, and anew after a failure.
struct Nodes {
    what: &'static str,
    flags: fn() -> Vec<String>,
    subjects: Vec<Ours>,
}

impl Nodes {
    fn new(what: &'static str, flags: fn() -> Vec<String>) -> Self {
        Self { what, flags, subjects: Vec::new() }
    }

    async fn ready(&mut self, bench: &Bench<'_>) -> Result<&mut [Ours]> {
        if self.subjects.is_empty() {
            let step = bench.steps.step(self.what);
            self.subjects = found(bench.binary, self.flags, &step).await?;
            step.done("");
        }
        for ours in &mut self.subjects {
            ours.look(During::Idle).await?;
        }
        Ok(&mut self.subjects)
    }

    async fn memory(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        let subjects = self.ready(bench).await?;
        let step = bench.steps.step(Section::Memory.title());
        memory::fill(subjects, &step).await?;
        bench.report.memory.extend(memory::look(subjects).await?);
        step.done("");
        Ok(())
    }

    async fn catch_up_from_a_snapshot(&mut self, bench: &mut Bench<'_>, filled: bool) -> Result<()> {
        let subjects = self.ready(bench).await?;
        let step = bench.steps.step("a follower catches up from a snapshot");
        catch_up::catch_ups(subjects, Source::Snapshot, bench.extent, &step, &mut bench.report.catch_ups).await?;
        step.done("");
        if filled {
            // By now the leader remembers what many more entries did.
            bench.report.memory.extend(memory::look(subjects).await?);
        }
        Ok(())
    }

    async fn catch_up_from_the_log(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        let subjects = self.ready(bench).await?;
        let step = bench.steps.step("a follower catches up from the log");
        catch_up::catch_ups(subjects, Source::Log, bench.extent, &step, &mut bench.report.catch_ups).await?;
        step.done("");
        Ok(())
    }

    async fn restart(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        let subjects = self.ready(bench).await?;
        let step = bench.steps.step(Section::Restart.title());
        restart::restarts(subjects, bench.extent, &step, &mut bench.report.restarts).await?;
        step.done("");
        Ok(())
    }

    /// After a failure the next section has nodes of its own.
    fn ended(&mut self, section: Section, ended: Result<()>, bench: &mut Bench<'_>) {
        if let Err(error) = ended {
            let kept: Vec<_> = self.subjects.iter_mut().map(Subject::keep_files).collect();
            bench.failed(section, &error, &kept);
            self.end(bench);
        }
    }

    fn end(&mut self, bench: &mut Bench<'_>) {
        for mut ours in self.subjects.drain(..) {
            let engine = ours.engine();
            ours.watch().tally(engine, &mut bench.report.elections);
        }
    }
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
