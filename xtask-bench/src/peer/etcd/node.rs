//! One process of etcd.

use crate::peer::certificates::{CA, CERTIFICATE, KEY};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};
use xtask_cluster::port;

const PROGRAM: &str = "etcd";

/// Which release is installed; `None` if none is.
pub(crate) async fn installed() -> Result<Option<String>> {
    version(PROGRAM).await
}

async fn version(program: &str) -> Result<Option<String>> {
    let output = match Command::new(program).arg("--version").output().await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        output => output.with_context(|| format!("{program} could not be run"))?,
    };
    ensure!(output.status.success(), "`{program} --version` ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    let version = version.with_context(|| format!("`{program} --version` names no version: {text:?}"))?;
    Ok(Some(version.trim().to_owned()))
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) peer: u16,
    pub(super) client: u16,
    process: Option<Child>,
}

impl Node {
    /// One on free ports, which does not run yet.
    pub(super) fn new(name: String) -> Result<Self> {
        let [peer, client] = port::free()?;
        Ok(Self { name, peer, client, process: None })
    }

    pub(super) fn peer_url(&self) -> String {
        url(self.peer)
    }

    /// Starts its process in `root`, in a cluster of `all`; `state` is what that is while the node has no directory.
    pub(super) fn spawn(&mut self, root: &Path, all: &str, state: &str, flags: &[String]) -> Result<()> {
        let of = |name: &str| root.join(name).display().to_string();
        let log = File::options().create(true).append(true).open(self.log(root))?;
        let (peer, client) = (url(self.peer), url(self.client));
        let mut command = Command::new(PROGRAM);
        command.args(["--name", &self.name, "--data-dir", &of(&self.name)]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--initial-cluster", all, "--initial-cluster-state", state]);
        for prefix in ["--", "--peer-"] {
            command.args([format!("{prefix}cert-file"), of(CERTIFICATE), format!("{prefix}key-file"), of(KEY)]);
            command.args([format!("{prefix}trusted-ca-file"), of(CA), format!("{prefix}client-cert-auth")]);
        }
        command.args(["--logger", "zap", "--log-level", "error"]).args(flags);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.process = Some(command.spawn().with_context(|| format!("{} could not be started", self.name))?);
        Ok(())
    }

    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub(super) async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await.with_context(|| format!("{} could not be killed", self.name))?;
        }
        Ok(())
    }

    /// Fails if its process has ended by itself, with the end of its log.
    pub(super) fn check(&mut self, root: &Path) -> Result<()> {
        let ended = self.process.as_mut().map(Child::try_wait).transpose()?.flatten();
        if let Some(status) = ended {
            bail!("{} ended with {status}; {}", self.name, self.log_tail(root));
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn log_tail(&self, root: &Path) -> String {
        let text = std::fs::read_to_string(self.log(root)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default();
        if last.is_empty() {
            return format!("the log of {} is empty", self.name);
        }
        format!("the end of the log of {}:\n{}", self.name, last.join("\n"))
    }

    fn log(&self, root: &Path) -> std::path::PathBuf {
        root.join(format!("{}.log", self.name))
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_not_there_is_not_installed() {
        assert_eq!(version("no-such-program-as-this").await.unwrap(), None);
        let dir = tempfile::tempdir().unwrap();
        let not_executable = dir.path().join("etcd");
        std::fs::write(&not_executable, "").unwrap();
        version(&not_executable.display().to_string()).await.unwrap_err();
        version("false").await.unwrap_err();
        version("true").await.unwrap_err();
    }

    #[tokio::test]
    async fn a_node_that_has_ended_says_so_with_its_own_log() {
        let root = tempfile::tempdir().unwrap();
        let mut node = Node::new("e1".to_owned()).unwrap();
        node.check(root.path()).unwrap();
        std::fs::write(root.path().join("e0.log"), "another's").unwrap();
        std::fs::write(root.path().join("e1.log"), "its own").unwrap();
        let mut process = Command::new("false").spawn().unwrap();
        process.wait().await.unwrap();
        node.process = Some(process);
        let said = node.check(root.path()).unwrap_err().to_string();
        assert!(said.contains("e1 ended") && said.ends_with("its own"), "{said}");
    }
}
