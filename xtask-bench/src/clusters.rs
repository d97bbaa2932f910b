//! The clusters that are measured next to each other: founded when a section first needs them, and
//! anew after one that failed.

use crate::elections::During;
use crate::ours::{Ours, defaults};
use crate::peer::{self, Etcd};
use crate::report::{Report, SubjectReport};
use crate::run::ENGINES;
use crate::subject::Subject;
use anyhow::Result;
use cp_driver::Settings;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xtask_cluster::{Binary, Steps, port};

/// All of them.
pub(crate) struct Clusters<'a> {
    binary: &'a Binary,
    steps: &'a Steps,
    /// Where their cluster files go.
    files: &'a Path,
    with_etcd: bool,
    subjects: Vec<Box<dyn Subject>>,
}

impl<'a> Clusters<'a> {
    pub(crate) fn new(binary: &'a Binary, steps: &'a Steps, files: &'a Path, with_etcd: bool) -> Self {
        Self { binary, steps, files, with_etcd, subjects: Vec::new() }
    }

    /// Ours, and etcd's at its defaults if it is wanted and installed. What happened while others were
    /// measured is looked at first.
    pub(crate) async fn ready(&mut self, report: &mut Report) -> Result<&mut [Box<dyn Subject>]> {
        if self.subjects.is_empty() {
            self.found(report).await?;
        }
        for subject in &mut self.subjects {
            subject.look(During::Idle).await?;
        }
        Ok(&mut self.subjects)
    }

    /// As [`ready`](Self::ready), and etcd's with timeouts like ours: of use only where leaders fail.
    pub(crate) async fn ready_to_fail(&mut self, report: &mut Report) -> Result<&mut [Box<dyn Subject>]> {
        self.ready(report).await?;
        let installed = if self.with_etcd { peer::installed().await? } else { None };
        if let Some(version) = installed {
            let step = self.steps.step("three nodes of etcd twice more, with timeouts like ours");
            let Settings { election_timeout, heartbeat, .. } = Settings::default();
            // etcd stands between T and 2T after it last heard its leader, ours between T/2 and T.
            for (name, election) in
                [(peer::EQUAL_SETTING, election_timeout), (peer::EQUAL_WINDOW, election_timeout / 2)]
            {
                let flags = [("--election-timeout", election), ("--heartbeat-interval", heartbeat)];
                let flags = flags.map(|(flag, time): (_, Duration)| format!("{flag}={}", time.as_millis()));
                let etcd = Etcd::start(name, &version, report.entry_len, flags.into()).await?;
                self.add(Box::new(etcd), report);
            }
            step.done("");
        }
        Ok(&mut self.subjects)
    }

    async fn found(&mut self, report: &mut Report) -> Result<()> {
        for engine in ENGINES {
            let step = self.steps.step(&format!("three members on {engine}"));
            let file = self.files.join(format!("{engine}.toml"));
            std::fs::write(&file, port::three_members()?)?;
            let mut ours = Ours::found(engine, self.binary.clone(), &file, defaults(), &step).await?;
            report.entry_len = ours.entry_len().await?;
            step.done(&format!("entries of {} bytes", report.entry_len));
            self.add(Box::new(ours), report);
        }
        if self.with_etcd {
            let step = self.steps.step("three nodes of etcd");
            match peer::installed().await? {
                Some(version) => {
                    let etcd = Etcd::start(peer::NAME, &version, report.entry_len, Vec::new()).await?;
                    self.add(Box::new(etcd), report);
                    step.done("the same lengths, mutual TLS, the same disk");
                }
                None => {
                    let missing = "etcd is not installed: the package etcd-server has it";
                    report.missing = Some(missing.to_owned());
                    step.done(missing);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, subject: Box<dyn Subject>, report: &mut Report) {
        let of = SubjectReport::of(subject.as_ref());
        if !report.subjects.contains(&of) {
            report.subjects.push(of);
        }
        self.subjects.push(subject);
    }

    /// Keeps their files, and says where.
    pub(crate) fn keep_files(&mut self) -> Vec<PathBuf> {
        self.subjects.iter_mut().map(|subject| subject.keep_files()).collect()
    }

    /// Ends them all.
    pub(crate) fn end(&mut self, report: &mut Report) {
        for mut subject in self.subjects.drain(..) {
            let name = subject.name().to_owned();
            subject.watch().tally(&name, &mut report.elections);
        }
    }
}
