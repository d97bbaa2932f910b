//! Making one survivor the only voter of a new generation.

use super::backup::{keep, outside};
use super::{names, opened};
use crate::cli::connection::named;
use crate::cli::exit::invalid;
use crate::cli::output::{self, Format, Report};
use anyhow::{Context, Result};
use clap::Args;
use cp_catalog::Recovery;
use cp_recovery::Request;
use cp_seam::ClusterId;
use cp_store::{DiskDirectory, Identity};
use cp_supervisor::session::random;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Who goes into a new generation, and why.
#[derive(Debug, Args)]
pub(crate) struct Signed {
    /// Who does this; it is kept in the cluster's state
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// Why; it is kept in the cluster's state
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The cluster's id, typed; asked for on a terminal if left out
    #[arg(long, value_name = "CLUSTER_ID")]
    confirm: Option<String>,
}

impl Signed {
    /// The request, once the cluster's id was typed. `what` says what is about to happen.
    pub(crate) fn request(&self, what: &str, after_generation: u16, again: bool) -> Result<Request> {
        let typed = match &self.confirm {
            Some(typed) => typed.clone(),
            None => ask(what)?,
        };
        let at_unix_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).context("the clock is before 1970")?;
        Ok(Request {
            confirm: named::<ClusterId>("--confirm", typed.trim())?,
            operator: self.operator.clone(),
            reason: self.reason.clone(),
            at_unix_ms,
            generation_id: random()?,
            after_generation,
            again,
        })
    }
}

fn ask(what: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(invalid("--confirm", "not given; give the cluster's id, to show that it is this cluster you mean"));
    }
    let mut out = anstream::stderr().lock();
    write!(out, "{what}\nType the cluster's id to go on: ")?;
    out.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed)
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The survivor's directory; its node must not be running
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    signed: Signed,
    /// Where to keep the state as it was; beside the directory if left out
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// The highest generation that ever served, if somebody went on without this survivor
    /// before; the new one is above it
    #[arg(long, value_name = "N", default_value_t = 0)]
    after_generation: u16,
    /// Begin another generation although the member is the only voter already
    #[arg(long)]
    again: bool,
}

/// A new generation, and what was kept of the old one.
#[derive(Debug, Serialize)]
pub(crate) struct Succeeded {
    cause: String,
    cluster: String,
    generation: u16,
    member: String,
    incarnation: String,
    last: String,
    lost_voters: Vec<String>,
    fenced: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
    data_dir: String,
}

impl Succeeded {
    pub(crate) fn new(identity: &Identity, recovery: &Recovery, data_dir: &Path, backup: Option<&Path>) -> Self {
        Self {
            cause: recovery.cause.to_string(),
            cluster: identity.cluster.to_string(),
            generation: identity.generation.number,
            member: identity.member.to_string(),
            incarnation: identity.incarnation.0.to_string(),
            last: recovery.position.to_string(),
            lost_voters: recovery.lost_voters.iter().map(ToString::to_string).collect(),
            fenced: recovery.fenced.to_string(),
            backup: backup.map(|path| path.display().to_string()),
            data_dir: data_dir.display().to_string(),
        }
    }
}

impl Report for Succeeded {
    const KIND: &'static str = "new_generation";

    fn render(&self) -> String {
        let Self { cause, cluster, generation, member, incarnation, data_dir, .. } = self;
        let kept = self.backup.as_ref().map(|path| format!("the state as it was is kept in {path}\n"));
        format!(
            "{}{cause}: {member}#{incarnation} is the only voter of cluster {cluster}, generation {generation}, with all up to {}\n\
             {} other members are fenced; each comes back by `member add`, a wiped directory and `join`\n\
             start it: cp-supervisor serve --data-dir {data_dir} ...",
            kept.unwrap_or_default(),
            self.last,
            self.fenced,
        )
    }
}

impl Apply {
    pub(super) fn run(self, format: Format) -> Result<()> {
        let survivor = opened(DiskDirectory::new(&self.data_dir), &self.data_dir)?;
        let described = survivor.description();
        let what = format!(
            "{} of cluster {} is about to become its only voter, with all up to {}. Every other member is fenced for good: {}.",
            described.member,
            described.cluster,
            described.last,
            names(&described.voters.iter().filter(|life| **life != described.member).cloned().collect::<Vec<_>>()),
        );
        let request = self.signed.request(&what, self.after_generation, self.again)?;
        survivor.check(&request)?;
        let path = self.backup.clone().map_or_else(|| beside(&self.data_dir, &request, &described), Ok)?;
        outside("--backup", &path, &self.data_dir)?;
        keep(&survivor, &path)?;
        let (identity, recovery) = survivor.recover(&request)?;
        output::print(&Succeeded::new(&identity, &recovery, &self.data_dir, Some(&path)), format)
    }
}

/// A name of its own beside the directory.
fn beside(data_dir: &Path, request: &Request, described: &cp_recovery::Description) -> Result<PathBuf> {
    let full = std::path::absolute(data_dir)?;
    let mut name = full.file_name().context("--data-dir has no name")?.to_owned();
    name.push(format!(".generation-{}-{}.backup", described.generation.number, request.at_unix_ms));
    Ok(full.with_file_name(name))
}
