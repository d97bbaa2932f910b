//! Certificates: an authority for those who have none, and what is wrong with one.

use super::connection::{CertificateFiles, named};
use super::exit::invalid;
use super::output::{self, Format, Report};
use anyhow::Result;
use clap::{Args, Subcommand};
use cp_net::issue::{self, IssueSettings, Issued};
use cp_net::tls::{PeerName, UnixTime, utc};
use cp_seam::{ClusterId, MemberId};
use cp_supervisor::session::random;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Make a certificate authority for one cluster
    InitCa(InitCa),
    /// Issue a certificate for a member or a client
    Issue(Issue),
    /// Check that a certificate would be accepted by the cluster's members
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct InitCa {
    /// The authority's directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The cluster, 32 hexadecimal digits; random if left out
    #[arg(long, env = "CP_CLUSTER_ID", value_name = "ID")]
    cluster_id: Option<String>,
    #[command(flatten)]
    validity: Validity,
}

#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The authority's directory; the certificate and its key are put there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    validity: Validity,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// For this member
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// For an operator or application of this name
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
}

#[derive(Debug, Args)]
struct Validity {
    /// For how many days it is valid
    #[arg(long, value_name = "COUNT", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// Replace what is there
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    files: CertificateFiles,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    name: String,
    cluster: String,
    certificate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    not_after: String,
}

impl Report for CertificateReport {
    const KIND: &'static str = "certificate";

    fn render(&self) -> String {
        let mut text = format!("{}: {}, valid until {}", self.certificate, self.name, self.not_after);
        if let Some(key) = &self.key {
            text.push_str(&format!("\n{key}: its key"));
        }
        text
    }
}

impl Cert {
    pub(crate) fn run(self, format: Format) -> Result<()> {
        let report = match self {
            Self::InitCa(init) => init.run()?,
            Self::Issue(issue) => issue.run()?,
            Self::Check(check) => check.run()?,
        };
        output::print(&report, format)
    }
}

impl Validity {
    fn settings(&self) -> Result<IssueSettings> {
        let now = jiff::Timestamp::now().as_second();
        let now = u64::try_from(now).map_err(|_| invalid("clock", "it is before 1970; set it"))?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        Ok(IssueSettings { now, days: self.days, overwrite: self.overwrite })
    }
}

fn report(name: String, cluster: ClusterId, issued: &Issued) -> CertificateReport {
    CertificateReport {
        name,
        cluster: cluster.to_string(),
        certificate: issued.certificate.display().to_string(),
        key: Some(issued.key.display().to_string()),
        not_after: utc(issued.not_after),
    }
}

impl InitCa {
    fn run(&self) -> Result<CertificateReport> {
        let cluster = match &self.cluster_id {
            Some(id) => named("--cluster-id", id)?,
            None => ClusterId(random()?),
        };
        let issued = issue::init_ca(&self.dir, cluster, &self.validity.settings()?)?;
        Ok(report(format!("the authority of cluster {cluster}"), cluster, &issued))
    }
}

impl Issue {
    fn run(&self) -> Result<CertificateReport> {
        let cluster = issue::ca_cluster(&self.dir)?;
        let name = match (&self.subject.member, &self.subject.client) {
            (Some(member), _) => PeerName::member(named::<MemberId>("--member", member)?, cluster),
            (None, Some(client)) => PeerName::client(client, cluster).map_err(|bad| invalid("--client", bad))?,
            (None, None) => return Err(invalid("--member", "not given; give it, or --client")),
        };
        let issued = issue::issue(&self.dir, &name, &self.validity.settings()?)?;
        Ok(report(name.to_string(), cluster, &issued))
    }
}

impl Check {
    fn run(&self) -> Result<CertificateReport> {
        let credentials = self.files.load()?;
        Ok(CertificateReport {
            name: credentials.name().to_string(),
            cluster: credentials.name().cluster().to_string(),
            certificate: self.files.cert(),
            key: None,
            not_after: utc(credentials.certificate().not_after),
        })
    }
}
