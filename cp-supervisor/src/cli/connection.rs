//! How a command reaches the cluster.

use super::exit::invalid;
use anyhow::Result;
use clap::Args;
use cp_catalog::{Command, Member, Verdict};
use cp_net::tls::Credentials;
use cp_seam::MemberId;
use cp_supervisor::client::Client;
use cp_supervisor::cluster_file::check_address;
use cp_supervisor::supervisor::Decision;
use std::path::PathBuf;
use std::time::Duration;

/// The connection to a cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Client addresses of one or more nodes
    #[arg(
        long,
        env = "CP_ENDPOINTS",
        value_delimiter = ',',
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7402"
    )]
    endpoints: Vec<String>,
    #[command(flatten)]
    certificate: CertificateFiles,
    /// How long a request may take, retries and redirects included
    #[arg(long, env = "CP_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000)]
    timeout_ms: u64,
    /// Answer reads from any node as it is; the output says so
    #[arg(long)]
    stale: bool,
}

/// Who this command is to the cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct CertificateFiles {
    /// The cluster's certificate authority
    #[arg(long, env = "CP_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A client's or member's certificate
    #[arg(long, env = "CP_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, env = "CP_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
}

impl CertificateFiles {
    pub(crate) fn load(&self) -> Result<Credentials> {
        let given = |flag: &str, file: &Option<PathBuf>| {
            let missing =
                || invalid(flag, format!("not given; give it, or CP_{}", flag.trim_start_matches('-').to_uppercase()));
            file.clone().ok_or_else(missing)
        };
        Ok(Credentials::load(&given("--ca", &self.ca)?, &given("--cert", &self.cert)?, &given("--key", &self.key)?)?)
    }

    /// The certificate's file.
    pub(crate) fn cert(&self) -> String {
        self.cert.as_ref().map(|file| file.display().to_string()).unwrap_or_default()
    }
}

impl Connection {
    pub(crate) fn client(&self) -> Result<Client> {
        for endpoint in &self.endpoints {
            check_address(endpoint).map_err(|why| invalid("--endpoints", format!("{endpoint:?} {why}")))?;
        }
        Ok(Client::new(self.endpoints.clone(), self.certificate.load()?, self.within()).stale(self.stale))
    }

    pub(crate) fn stale(&self) -> bool {
        self.stale
    }

    pub(crate) fn within(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// A name given on the command line.
pub(crate) fn named<T: std::str::FromStr>(what: &str, name: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    name.parse().map_err(|bad| invalid(what, bad))
}

/// The member called `name`.
pub(crate) async fn member(client: &Client, name: &str) -> Result<Member> {
    let id: MemberId = named("member", name)?;
    let members = client.members().await?.value;
    let found = members.into_iter().find(|member| member.id == id);
    found.ok_or_else(|| invalid("member", format!("{id} is not a member; `cp-supervisor member list` lists them")))
}

/// Submits `command`; a refusal by the catalog is an error.
pub(crate) async fn decide(client: &Client, command: impl Into<Command>) -> Result<Decision> {
    let decision = client.submit(command).await?;
    match &decision.verdict {
        Verdict::Done(_) => Ok(decision),
        Verdict::Refused(refusal) => Err(refusal.clone().into()),
    }
}
