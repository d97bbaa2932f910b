//! Commands about the cluster as a whole.

use super::connection::{Connection, decide, named};
use super::exit::invalid;
use super::node::{AddressArgs, Founded};
use super::output::{self, Format, Report};
use anyhow::Result;
use clap::{Args, Subcommand};
use cp_catalog::{FEATURE_LEVEL, FailureDomain, Locality, LongestLease, MembershipCommand};
use cp_net::tls::Credentials;
use cp_seam::{ClusterId, MemberId};
use cp_supervisor::daemon::found::{self, First};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Make the directory of a new cluster's first member; once
    Init(Box<Init>),
    /// Let the cluster use what every member's release supports now; it never goes back
    Upgrade(Upgrade),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The node's directory, to be made
    #[arg(long, env = "CP_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// The first member; the certificate says it if left out
    #[arg(long, env = "CP_MEMBER", value_name = "ID")]
    member: Option<String>,
    /// The cluster, 32 hexadecimal digits; the certificate says it, else it is random
    #[arg(long, env = "CP_CLUSTER_ID", value_name = "ID")]
    cluster_id: Option<String>,
    /// The cluster's certificate authority
    #[arg(long, env = "CP_CA", value_name = "FILE", requires = "cert", requires = "key")]
    ca: Option<PathBuf>,
    /// The member's certificate
    #[arg(long, env = "CP_CERT", value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, env = "CP_KEY", value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
    #[command(flatten)]
    addresses: AddressArgs,
    #[command(flatten)]
    locality: LocalityArgs,
    /// The longest lease that any leader grants, for as long as there is the cluster; up to a day.
    /// After a failover, what moves waits for as long
    #[arg(long, env = "CP_LEASE_LONGEST_MS", value_name = "MS", default_value_t = 10_000)]
    lease_longest_ms: u64,
    /// The consensus engine: openraft or raftrs
    #[arg(long, env = "CP_ENGINE", value_name = "NAME")]
    engine: Option<String>,
}

/// Where a member stands.
#[derive(Debug, Clone, Args)]
pub(crate) struct LocalityArgs {
    /// What it may fail together with: a rack, a zone, a site
    #[arg(long, value_name = "NAME")]
    failure_domain: Option<String>,
    /// Its share of the load, in relation to the others'
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    weight: u32,
}

impl LocalityArgs {
    pub(crate) fn check(&self) -> Result<Locality> {
        let domain = self.failure_domain.as_deref().map(|name| named::<FailureDomain>("--failure-domain", name));
        Ok(Locality { domain: domain.transpose()?, weight: self.weight })
    }
}

impl Init {
    fn first(&self) -> Result<First> {
        let credentials = match (&self.ca, &self.cert, &self.key) {
            (Some(ca), Some(cert), Some(key)) => Some(Credentials::load(ca, cert, key)?),
            _ => None,
        };
        let proved = credentials.as_ref().map(Credentials::name);
        let asked = self.member.as_deref().map(|name| named::<MemberId>("--member", name)).transpose()?;
        let member = match (asked, proved) {
            (Some(asked), Some(proved)) if proved.as_member() != Some(&asked) => {
                return Err(invalid("--member", format!("the certificate is for {proved}, not {asked}")));
            }
            (Some(asked), _) => asked,
            (None, Some(proved)) => match proved.as_member() {
                Some(member) => member.clone(),
                None => return Err(invalid("--cert", format!("{proved} is a client; give the member's certificate"))),
            },
            (None, None) => return Err(invalid("--member", "not given; give it, or --ca, --cert and --key")),
        };
        let asked = self.cluster_id.as_deref().map(|id| named::<ClusterId>("--cluster-id", id)).transpose()?;
        let cluster = match (asked, proved.map(cp_net::tls::PeerName::cluster)) {
            (Some(asked), Some(proved)) if asked != proved => {
                return Err(invalid("--cluster-id", format!("the certificate is for cluster {proved}, not {asked}")));
            }
            (asked, proved) => asked.or(proved),
        };
        Ok(First {
            member,
            cluster,
            addresses: self.addresses.clone().check()?,
            locality: self.locality.check()?,
            longest_lease: LongestLease::new(Duration::from_millis(self.lease_longest_ms))
                .map_err(|bad| invalid("--lease-longest-ms", bad))?,
            engine: self.engine.clone(),
        })
    }
}

impl Cluster {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let init = match self {
            Self::Init(init) => init,
            Self::Upgrade(upgrade) => return upgrade.run(format).await,
        };
        let identity = found::init(&init.data_dir, init.first()?)?;
        output::print(&Founded::new(&identity, &init.data_dir, "founded"), format)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The feature level; what this release supports if left out
    #[arg(long, value_name = "LEVEL", default_value_t = FEATURE_LEVEL)]
    to: u32,
    #[command(flatten)]
    connection: Connection,
}

impl Upgrade {
    async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let decision = decide(&client, MembershipCommand::RaiseFeatureLevel { to: self.to }).await?;
        output::print_done("feature_level", &decision, format)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Leader {
    /// Hand leadership to another voter; no command of the log, so no record of the audit
    Transfer(Transfer),
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// To this member; to the voter that is furthest if left out
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Transferred {
    leader: String,
}

impl Report for Transferred {
    const KIND: &'static str = "leader";

    fn render(&self) -> String {
        format!("{} leads now", self.leader)
    }
}

impl Leader {
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let Self::Transfer(transfer) = self;
        if let Some(to) = &transfer.to {
            let _checked: MemberId = named("--to", to)?;
        }
        let client = transfer.connection.client()?;
        client.transfer(transfer.to.as_deref()).await?;
        // The old leader knows that it was succeeded; the new one says when it serves.
        let leader = client.leader().await?.member;
        output::print(&Transferred { leader }, format)
    }
}
