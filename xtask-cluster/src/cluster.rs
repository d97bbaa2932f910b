//! A cluster: directories, certificates, processes, and what an operator would do to
//! them, through the same commands.

mod membership;
mod watch;

use crate::process::{Binary, Node};
use crate::steps::Steps;
use anyhow::{Context, Result, ensure};
use cp_catalog::{CollectionSpec, OwnershipCommand, Range, RangeKey};
use cp_net::tls::Credentials;
use cp_seam::ControlPlaneLogIndex;
use cp_supervisor::api::messages::NodeStatus;
use cp_supervisor::client::Client;
use cp_supervisor::cluster_file::ClusterFile;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// How long any step may take before it has failed, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the cluster is asked while something is waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// What the cluster file came to.
#[derive(Debug)]
pub struct Applied {
    /// How many collections there are.
    pub collections: usize,
    /// The ranges as they stand.
    pub ranges: BTreeMap<RangeKey, Range>,
}

/// The nodes and what is needed to talk to them.
#[derive(Debug)]
pub struct Cluster {
    binary: Binary,
    /// What runs as a node, if not `binary`.
    serves: Option<Binary>,
    engine: &'static str,
    file: PathBuf,
    nodes: Vec<Node>,
    /// Failure domain and weight of each node, as flags.
    localities: BTreeMap<String, Vec<String>>,
    credentials: Option<Credentials>,
    /// More flags for each node's `serve`.
    flags: Vec<String>,
    patience: Duration,
    root: TempDir,
}

impl Cluster {
    /// A cluster of the members of `file`, in a temporary directory; nothing runs yet.
    pub fn prepare(binary: Binary, file: &ClusterFile, path: PathBuf, engine: &'static str) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("cp-demo-").tempdir().context("no temporary directory")?;
        let mut nodes = Vec::new();
        let mut localities = BTreeMap::new();
        for member in &file.members {
            nodes.push(Node::new(root.path(), member.id.as_str(), &member.addresses.peer, &member.addresses.client)?);
            let mut flags = vec!["--weight".to_owned(), member.locality.weight.to_string()];
            if let Some(domain) = &member.locality.domain {
                flags.extend(["--failure-domain".to_owned(), domain.to_string()]);
            }
            if member.kind == cp_seam::MemberKind::Witness {
                flags.extend(["--kind".to_owned(), "witness".to_owned()]);
            }
            localities.insert(member.id.to_string(), flags);
        }
        // The proof reads every node's log from where the writers began: a restart must not find it in a snapshot.
        let flags = vec!["--snapshot-every".to_owned(), "1000000".to_owned()];
        Ok(Self {
            binary,
            serves: None,
            engine,
            file: path,
            nodes,
            localities,
            credentials: None,
            flags,
            patience: PATIENCE,
            root,
        })
    }

    /// Starts nodes with these flags, and not with those that keep the whole log.
    #[must_use]
    pub fn with_flags(self, flags: Vec<String>) -> Self {
        Self { flags, ..self }
    }

    /// As [`with_flags`](Self::with_flags), for nodes that are started from now on; answers those of before.
    pub fn set_flags(&mut self, flags: Vec<String>) -> Vec<String> {
        std::mem::replace(&mut self.flags, flags)
    }

    /// Gives a step so long before it has failed.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Runs nodes by another program, which takes `serve` and its flags as the product does.
    #[must_use]
    pub fn served_by(self, program: Binary) -> Self {
        Self { serves: Some(program), ..self }
    }

    fn certificates(&self) -> PathBuf {
        self.root.path().join("certificates")
    }

    /// Where clients reach each node, in the order of the file.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }

    /// Each member and where clients reach it.
    pub fn addresses(&self) -> Vec<(String, String)> {
        self.nodes.iter().map(|node| (node.member.clone(), node.client.clone())).collect()
    }

    /// The operator's certificate.
    pub fn credentials(&self) -> Result<Credentials> {
        self.credentials.clone().context("no certificate was issued yet")
    }

    /// A client with the operator's certificate.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(self.endpoints(), self.credentials()?, PATIENCE))
    }

    /// The node of this member.
    pub fn node(&mut self, member: &str) -> Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.member == member).with_context(|| format!("no node {member}"))
    }

    /// Runs a command of the operator's against the cluster.
    async fn operate(&self, arguments: &[&str]) -> Result<String> {
        let (ca, cert, key) = self.operator_files();
        let endpoints = self.endpoints().join(",");
        let mut all = arguments.to_vec();
        all.extend(["--ca", &ca, "--cert", &cert, "--key", &key, "--endpoints", &endpoints]);
        self.binary.call(&all).await
    }

    fn operator_files(&self) -> (String, String, String) {
        let of = |file: &str| self.certificates().join(file).display().to_string();
        (of("ca.pem"), of("operator.client.pem"), of("operator.client.key"))
    }

    /// Makes an authority, a certificate for each member, and one for the operator.
    pub async fn certify(&mut self) -> Result<usize> {
        let dir = self.certificates().display().to_string();
        self.binary.call(&["cert", "init-ca", "--dir", &dir]).await?;
        for node in &self.nodes {
            self.certify_member(&node.member).await?;
        }
        self.binary.call(&["cert", "issue", "--dir", &dir, "--client", "operator"]).await?;
        let (ca, cert, key) = self.operator_files();
        self.credentials = Some(Credentials::load(ca.as_ref(), cert.as_ref(), key.as_ref())?);
        Ok(self.nodes.len() + 1)
    }

    async fn certify_member(&self, member: &str) -> Result<()> {
        let dir = self.certificates().display().to_string();
        self.binary.call(&["cert", "issue", "--dir", &dir, "--member", member]).await.map(drop)
    }

    fn member_files(&self, member: &str) -> [String; 3] {
        let of = |file: String| self.certificates().join(file).display().to_string();
        [of("ca.pem".to_owned()), of(format!("{member}.pem")), of(format!("{member}.key"))]
    }

    /// Writes genesis on the first node and starts it.
    pub async fn found(&mut self) -> Result<()> {
        let first = self.nodes.first().context("the cluster file has no member")?;
        let dir = first.dir.display().to_string();
        let [ca, cert, key] = self.member_files(&first.member);
        let http = first.http.to_string();
        let mut arguments = vec!["cluster", "init", "--data-dir", &dir, "--engine", self.engine];
        arguments.extend(["--ca", &ca, "--cert", &cert, "--key", &key]);
        arguments.extend(["--peer-address", &first.peer, "--client-address", &first.client, "--http-address", &http]);
        let flags: Vec<&str> = self.localities.get(&first.member).into_iter().flatten().map(String::as_str).collect();
        arguments.extend(flags);
        self.binary.call(&arguments).await?;
        let member = first.member.clone();
        self.start(&member)?;
        self.until("the first node leads", |statuses| statuses.first().is_some_and(|s| s.serving)).await
    }

    /// Starts this member's process.
    pub fn start(&mut self, member: &str) -> Result<()> {
        self.start_as(member, false)
    }

    fn start_as(&mut self, member: &str, swap: bool) -> Result<()> {
        let binary = self.serves.as_ref().unwrap_or(&self.binary).clone();
        let (certificates, engine) = (self.certificates(), self.engine);
        let mut flags = self.flags.clone();
        flags.extend(swap.then(|| "--swap-engine".to_owned()));
        self.node(member)?.start(&binary, &certificates, engine, &flags)
    }

    /// SIGKILL for every node, and a start of every node under `engine` on the same directories.
    pub async fn swap_engine(&mut self, engine: &'static str) -> Result<()> {
        for node in &mut self.nodes {
            node.kill().await?;
        }
        self.engine = engine;
        let members: Vec<String> = self.nodes.iter().map(|node| node.member.clone()).collect();
        for member in &members {
            self.start_as(member, true)?;
        }
        let count = members.len();
        self.until("every node is back under the other engine", |statuses| {
            let back = |s: &NodeStatus| s.engine == engine && s.leader.is_some();
            statuses.len() == count && statuses.iter().all(back) && statuses.iter().any(|s| s.serving)
        })
        .await
    }

    /// Applies the cluster file and reads back what came of it.
    pub async fn apply(&self) -> Result<Applied> {
        self.operate(&["apply", "-f", &self.file.display().to_string()]).await?;
        let client = self.client()?;
        let collections = client.collections().await?.value.len();
        let ranges: BTreeMap<_, _> = client.ranges(None).await?.value.into_iter().collect();
        ensure!(!ranges.is_empty(), "{}: it has no range to move", self.file.display());
        Ok(Applied { collections, ranges })
    }

    /// Kills this member's process, and says which it was.
    pub async fn kill(&mut self, member: &str) -> Result<u32> {
        let node = self.node(member)?;
        let pid = node.pid().context("it is not running")?;
        node.kill().await?;
        Ok(pid)
    }

    /// Starts a killed node and waits until it has applied what was committed by then.
    pub async fn restart(&mut self, member: &str) -> Result<()> {
        let reached = self.statuses().await?.iter().map(|s| s.committed).max().unwrap_or_default();
        self.start(member)?;
        self.until("the node has caught up", |statuses| {
            statuses.iter().any(|s| s.member == member && s.applied >= reached && s.leader.is_some())
        })
        .await
    }

    /// Puts a change that changes nothing at the end of the log, and returns its index:
    /// what has been done is before it, what is done later behind it.
    pub async fn mark(&self) -> Result<ControlPlaneLogIndex> {
        let client = self.client()?;
        let known = client.collections().await?.value.into_iter().next().context("there is no collection")?;
        let CollectionSpec { name: collection, group, mode } = known;
        let again = OwnershipCommand::CreateCollection { collection, group, mode };
        Ok(client.submit(again).await?.position.index)
    }

    /// Keeps directories and logs after the end, and says where.
    pub fn keep_files(&mut self) -> PathBuf {
        self.root.disable_cleanup(true);
        self.root.path().to_path_buf()
    }

    /// Leaves everything running and says how to talk to it.
    pub fn leave_running(&mut self, steps: &Steps) {
        let root = self.keep_files();
        let (ca, cert, key) = self.operator_files();
        let endpoints = self.endpoints().join(",");
        let pids: Vec<String> = self.nodes.iter().filter_map(Node::pid).map(|pid| pid.to_string()).collect();
        for node in &mut self.nodes {
            node.release();
        }
        steps.headline("\nIt is still running. To talk to it:");
        steps.note(&format!("export CP_CA={ca} CP_CERT={cert} CP_KEY={key} CP_ENDPOINTS={endpoints}"));
        steps.note(&format!("{} status", self.binary.path().display()));
        steps.note(&format!("to end it: kill {} && rm -r {}", pids.join(" "), root.display()));
    }
}
