//! A member whose state cannot be trusted is made anew, by one command on its machine.
//!
//! Its old life is over: it has voted and acknowledged with what is in the directory, so
//! nothing of that directory may be used again, and no other may speak in its name. The
//! member is therefore given a next life, which the cluster admits (CP-M3); what it owns
//! and holds stays its own.

use super::connection::{self, CertificateFiles, decide};
use super::exit::invalid;
use super::output::{self, Format, Report};
use anyhow::{Context, Result, bail};
use clap::Args;
use cp_catalog::{Effect, MembershipCommand, Verdict};
use cp_seam::Incarnation;
use cp_store::{Directory, DiskDirectory, OpenError, Store};
use cp_supervisor::client::Client;
use cp_supervisor::daemon::found;
use cp_supervisor::token::Secret;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The stopped member's directory
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Client addresses of one or more other nodes of the cluster
    #[arg(long, required = true, value_delimiter = ',', value_name = "HOST:PORT")]
    via: Vec<String>,
    #[command(flatten)]
    certificate: CertificateFiles,
    /// How long each step may take
    #[arg(long, env = "CP_TIMEOUT_MS", value_name = "MS", default_value_t = 30_000)]
    timeout_ms: u64,
}

#[derive(Debug, Serialize)]
struct Rebuilt {
    member: String,
    incarnation: String,
    data_dir: String,
    /// Where the old directory is now.
    kept_at: Option<String>,
}

impl Report for Rebuilt {
    const KIND: &'static str = "member_rebuilt";

    fn render(&self) -> String {
        let Self { member, incarnation, data_dir, kept_at } = self;
        let kept = kept_at.as_ref().map(|at| format!("; the old directory is kept at {at}")).unwrap_or_default();
        format!(
            "{member} is #{incarnation} now{kept}; start it with `cp-supervisor serve --data-dir {data_dir}`, \
             it is given its vote when it has caught up"
        )
    }
}

impl Rebuild {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let credentials = self.certificate.load()?;
        let proved = credentials.name().as_member().cloned();
        let member = proved
            .with_context(|| format!("{} is a client's certificate; rebuild with the member's", credentials.name()))?;
        let held = hold(&self.data_dir)?;
        match Store::inspect(&DiskDirectory::new(&self.data_dir)) {
            Ok(found) if found.identity.member != member => {
                return Err(invalid(
                    "--data-dir",
                    format!("it holds {}, the certificate is for {member}", found.identity.member),
                ));
            }
            // Whatever else is wrong with it is why it is rebuilt.
            Ok(_) | Err(_) => {}
        }
        let within = Duration::from_millis(self.timeout_ms);
        let client = Client::new(self.via.clone(), credentials.clone(), within);
        let record = connection::member(&client, member.as_str()).await?;
        let secret = Secret::new()?;
        let (life, token_hash) = (record.life(), secret.hash());
        let replace = MembershipCommand::Replace { member: life.clone(), token_hash, reachable: BTreeSet::new() };
        let incarnation = match decide(&client, replace).await?.verdict {
            Verdict::Done(Effect::Admitted { incarnation, .. }) => incarnation,
            other => bail!("the cluster answered what this release does not know: {other}"),
        };
        let kept_at = held.is_some().then(|| set_aside(&self.data_dir, life.incarnation)).transpose()?;
        drop(held);
        let token = secret.for_life(incarnation);
        // A joiner's only request is its first: under the same session it would be the one above, again (CP-P5).
        let client = Client::new(self.via, credentials, within);
        let identity = found::join(&self.data_dir, &client, &member, &token, &record.addresses).await?;
        let rebuilt = Rebuilt {
            member: identity.member.to_string(),
            incarnation: identity.incarnation.0.to_string(),
            data_dir: self.data_dir.display().to_string(),
            kept_at: kept_at.map(|path| path.display().to_string()),
        };
        output::print(&rebuilt, format)
    }
}

/// Makes sure that no node runs on the directory, and none starts; `None` if there is no directory.
fn hold(data_dir: &Path) -> Result<Option<impl std::fmt::Debug>> {
    if !data_dir.exists() {
        return Ok(None);
    }
    match DiskDirectory::new(data_dir).lock() {
        Ok(guard) => Ok(Some(guard)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(OpenError::Busy { directory: data_dir.display().to_string() }.into())
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be locked", data_dir.display())),
    }
}

/// Renames the directory after the life that ended, to a name that is free.
fn set_aside(data_dir: &Path, life: Incarnation) -> Result<PathBuf> {
    let name = data_dir.file_name().with_context(|| format!("{} has no name", data_dir.display()))?;
    let taken = |path: &PathBuf| path.exists();
    let candidate = |number: u32| {
        let mut name = name.to_os_string();
        name.push(format!(".was-{}", life.0));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        data_dir.with_file_name(name)
    };
    let aside = (0..1000).map(candidate).find(|path| !taken(path)).context("too many directories are kept aside")?;
    std::fs::rename(data_dir, &aside).with_context(|| format!("{} cannot be renamed", data_dir.display()))?;
    Ok(aside)
}
