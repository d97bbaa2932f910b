//! Backups of the state: taken from a running cluster, looked at, restored (CP-R2).

use super::connection::{Connection, named};
use super::exit::invalid;
use super::node::AddressArgs;
use super::output::{self, Format, Report};
use super::recover::{Signed, Succeeded};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use cp_catalog::Catalog;
use cp_recovery::{Backup, Restored, Violations, backup, restore};
use cp_seam::MemberId;
use cp_store::DiskDirectory;
use cp_supervisor::daemon::Engine;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Save the state of a running cluster to a file; verified before it gets its name
    Save(Save),
    /// Verify a file, and say what is in it
    Status(Status),
    /// Make a directory from a file: the only member of a new generation
    Restore(Box<Restore>),
}

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The file to make; never overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory to make
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// The member that goes on; must have its certificate
    #[arg(long, env = "CP_MEMBER", value_name = "ID")]
    member: String,
    #[command(flatten)]
    addresses: AddressArgs,
    /// The consensus engine; the one that saved it if left out
    #[arg(long, env = "CP_ENGINE", value_name = "NAME")]
    engine: Option<String>,
    #[command(flatten)]
    signed: Signed,
    /// The highest generation that ever served, as `recover list` or `status` last said; the
    /// new one is above it, so that nothing that was issued since the backup is issued again
    #[arg(long, value_name = "N")]
    after_generation: u16,
}

impl Snapshot {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        match self {
            Self::Save(save) => save.run(format).await,
            Self::Status(status) => report(&status.file, &backup::load(&status.file)?, format),
            Self::Restore(restore) => restore.run(format),
        }
    }
}

impl Save {
    async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let mut pieces = client.snapshot().await?;
        let mut draft = backup::Draft::begin(&self.file, pieces.meta())?;
        while let Some(chunk) = pieces.next().await? {
            draft.push(&chunk)?;
        }
        report(&self.file, &draft.finish()?, format)
    }
}

/// Says what is in the backup at `file`; fails after that if nobody should go on from it.
pub(super) fn report(file: &Path, backup: &Backup, format: Format) -> Result<()> {
    let catalog = backup.state()?;
    let violations = Violations::of(&catalog);
    output::print(&Saved::new(file, backup, &catalog, violations.as_ref())?, format)?;
    violations.map_or(Ok(()), |violations| {
        bail!("{violations}; {} is what was kept, for whoever looks into that, and is not restored", file.display())
    })
}

/// What is in a backup.
#[derive(Debug, Serialize)]
struct Saved {
    file: String,
    cluster: String,
    generation: u16,
    member: String,
    engine: String,
    position: String,
    committed: String,
    digest: String,
    members: String,
    collections: String,
    ranges: String,
    recoveries: String,
    bytes: String,
    /// How many invariants the state breaks; only from 0 it is gone on.
    violations: String,
}

impl Saved {
    fn new(file: &Path, backup: &Backup, catalog: &Catalog, violations: Option<&Violations>) -> Result<Self> {
        let meta = &backup.meta;
        Ok(Self {
            file: file.display().to_string(),
            cluster: meta.cluster.to_string(),
            generation: meta.generation.number,
            member: meta.member.to_string(),
            engine: meta.engine.clone(),
            position: meta.position.to_string(),
            committed: meta.committed.to_string(),
            digest: meta.digest.to_string(),
            members: catalog.members().count().to_string(),
            collections: catalog.collections().count().to_string(),
            ranges: catalog.range_count().to_string(),
            recoveries: catalog.recoveries().len().to_string(),
            bytes: std::fs::metadata(file)?.len().to_string(),
            violations: violations.map_or(0, |violations| violations.count).to_string(),
        })
    }
}

impl Report for Saved {
    const KIND: &'static str = "backup";

    fn render(&self) -> String {
        let Self { file, cluster, generation, member, engine, position, digest, bytes, .. } = self;
        format!(
            "{file}: whole, {bytes} bytes; cluster {cluster}, generation {generation}, from {member} ({engine})\n\
             all up to {position}, digest {digest}\n\
             {} members, {} collections, {} ranges, {} recoveries",
            self.members, self.collections, self.ranges, self.recoveries
        )
    }
}

impl Restore {
    fn run(self, format: Format) -> Result<()> {
        let backup = backup::load(&self.file)?;
        backup.catalog()?;
        let member: MemberId = named("--member", &self.member)?;
        let engine = self.engine.as_deref().unwrap_or(&backup.meta.engine);
        let engine = Engine::pick(Some(engine), engine, true)?.name().to_owned();
        let what = format!(
            "{member} is about to become the only voter of cluster {}, with all up to {} of {}. Every member of before is fenced for good.",
            backup.meta.cluster,
            backup.meta.position,
            self.file.display(),
        );
        let request = self.signed.request(&what, self.after_generation, false)?;
        if request.confirm != backup.meta.cluster {
            return Err(invalid("--confirm", format!("the backup is of cluster {}", backup.meta.cluster)));
        }
        let dir = DiskDirectory::make(&self.data_dir)?;
        let restored = Restored { member, addresses: self.addresses.check()?, engine };
        let (identity, recovery) = restore(&dir, &backup, restored, &request)?;
        output::print(&Succeeded::new(&identity, &recovery, &self.data_dir, None), format)
    }
}
