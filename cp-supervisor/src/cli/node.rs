//! Commands about one node: run it, let it join, check its settings.

use super::connection::{CertificateFiles, named};
use super::exit::invalid;
use super::output::{self, Format, Report, table};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use cp_catalog::Addresses;
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use cp_supervisor::cluster_file::check_address;
use cp_supervisor::daemon::{Daemon, Effective, Layer, Settings, found};
use cp_supervisor::token::Token;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Where the settings are.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// A settings file (TOML); flags and CP_* variables go before it
    #[arg(long, env = "CP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Layer,
}

impl SettingsArgs {
    fn resolve(self) -> Result<Settings> {
        let environment = Layer::from_env(|name| std::env::var(name).ok())?;
        let file = self.config.as_deref().map(Layer::from_file).transpose()?.unwrap_or_default();
        Ok(Settings::resolve(self.flags, environment, file)?)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the settings in force and where each comes from; start nothing
    Check(Box<ConfigCheck>),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigCheck {
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Config {
    pub(crate) fn run(self, format: Format) -> Result<()> {
        let Self::Check(check) = self;
        let settings = check.settings.resolve()?;
        output::print(&EffectiveSettings::new(&settings.effective), format)
    }
}

#[derive(Debug, Serialize)]
struct EffectiveSettings {
    settings: Vec<EffectiveSetting>,
}

#[derive(Debug, Serialize)]
struct EffectiveSetting {
    name: &'static str,
    value: String,
    origin: String,
}

impl EffectiveSettings {
    fn new(effective: &[Effective]) -> Self {
        let row =
            |e: &Effective| EffectiveSetting { name: e.name, value: e.value.clone(), origin: e.origin.to_string() };
        Self { settings: effective.iter().map(row).collect() }
    }
}

impl Report for EffectiveSettings {
    const KIND: &'static str = "settings";

    fn render(&self) -> String {
        let row = |s: &EffectiveSetting| [s.name.to_owned(), s.value.clone(), s.origin.clone()];
        table(["SETTING", "VALUE", "FROM"], self.settings.iter().map(row))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        let settings = self.settings.resolve()?;
        let filter = tracing_subscriber::EnvFilter::try_new(&settings.log).map_err(|bad| invalid("log", bad))?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
        let runtime = settings.runtime()?;
        runtime.block_on(Box::pin(serve(settings)))
    }
}

async fn serve(settings: Settings) -> Result<()> {
    for Effective { name, value, origin } in &settings.effective {
        tracing::info!(%origin, "setting {name} = {value}");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let daemon = Daemon::start(&settings).await?;
    let identity = daemon.identity();
    output::write(&format!(
        "{} serves cluster {} with {}: peers {}, clients {}, http {}\n",
        identity.member,
        identity.cluster,
        daemon.engine(),
        daemon.peer_address(),
        daemon.client_address(),
        daemon.http_address()
    ))?;
    let stopped = tokio::select! {
        reason = daemon.stopped() => Some(reason),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    if let Some((reason, index)) = stopped.as_deref().zip(daemon.supervisor().status().diverged_at) {
        // A restart would hide it: it stays where its operator, and what scrapes it, can see it.
        tracing::error!(%reason, %index, "stopped; status, health and metrics are served until a signal ends it");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    tracing::info!(reason = stopped.as_deref().unwrap_or("a signal"), "stopping");
    let closed = daemon.shutdown().await;
    match stopped {
        // The node stopped because it could not go on; how its store closed adds nothing.
        Some(reason) => Err(anyhow::anyhow!("the node has stopped: {reason}")),
        None => Ok(closed?),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The node's directory, to be made
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// The member to join as; the certificate says it if left out
    #[arg(long, env = "CP_MEMBER", value_name = "ID")]
    member: Option<String>,
    /// The one-time token that `member add` printed
    #[arg(long, env = "CP_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: String,
    /// Client addresses of one or more nodes of the cluster
    #[arg(long, required = true, value_delimiter = ',', value_name = "HOST:PORT")]
    via: Vec<String>,
    #[command(flatten)]
    addresses: AddressArgs,
    #[command(flatten)]
    certificate: CertificateFiles,
    /// How long it may take
    #[arg(long, env = "CP_TIMEOUT_MS", value_name = "MS", default_value_t = 30_000)]
    timeout_ms: u64,
}

/// Where a node will be reached by others.
#[derive(Debug, Clone, Args)]
pub(crate) struct AddressArgs {
    /// Where its peers will reach it
    #[arg(long, value_name = "HOST:PORT")]
    peer_address: String,
    /// Where clients will reach it
    #[arg(long, value_name = "HOST:PORT")]
    client_address: String,
    /// Where health and metrics will be reached
    #[arg(long, value_name = "HOST:PORT")]
    http_address: Option<String>,
}

impl AddressArgs {
    pub(crate) fn check(self) -> Result<Addresses> {
        let http = self.http_address.unwrap_or_default();
        for (flag, address) in [
            ("--peer-address", &self.peer_address),
            ("--client-address", &self.client_address),
            ("--http-address", &http),
        ] {
            if flag != "--http-address" || !address.is_empty() {
                check_address(address).map_err(|why| invalid(flag, format!("{address:?} {why}")))?;
            }
        }
        Ok(Addresses { peer: self.peer_address, client: self.client_address, http })
    }
}

impl Join {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let token: Token = named("--token", &self.token)?;
        let addresses = self.addresses.check()?;
        let credentials = self.certificate.load()?;
        let proved = credentials.name().as_member().cloned();
        let proved = proved
            .with_context(|| format!("{} is a client's certificate; join with the member's", credentials.name()))?;
        let member: MemberId = match &self.member {
            Some(name) => named("--member", name)?,
            None => proved.clone(),
        };
        if member != proved {
            return Err(invalid("--member", format!("the certificate is for {proved}, not {member}")));
        }
        let client = Client::new(self.via, credentials, Duration::from_millis(self.timeout_ms));
        let identity = found::join(&self.data_dir, &client, &member, &token, &addresses).await?;
        output::print(&Founded::new(&identity, &self.data_dir, "joined"), format)
    }
}

/// A directory that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Founded {
    cluster: String,
    generation: String,
    member: String,
    incarnation: String,
    engine: String,
    data_dir: String,
    #[serde(skip)]
    how: &'static str,
}

impl Founded {
    pub(crate) fn new(identity: &cp_store::Identity, data_dir: &std::path::Path, how: &'static str) -> Self {
        Self {
            cluster: identity.cluster.to_string(),
            generation: identity.generation.number.to_string(),
            member: identity.member.to_string(),
            incarnation: identity.incarnation.0.to_string(),
            engine: identity.engine.clone(),
            data_dir: data_dir.display().to_string(),
            how,
        }
    }
}

impl Report for Founded {
    const KIND: &'static str = "node";

    fn render(&self) -> String {
        let Self { cluster, member, incarnation, engine, data_dir, how, .. } = self;
        format!(
            "{member}#{incarnation} {how} cluster {cluster} ({engine}); start it with `cp-supervisor serve --data-dir {data_dir}`"
        )
    }
}
