//! The real binary: built, called as an operator would, and run as nodes that can be killed.

use crate::{cargo, port};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// The `cp-supervisor` binary.
#[derive(Debug, Clone)]
pub struct Binary {
    path: PathBuf,
}

impl Binary {
    /// Builds it with both engines and finds where cargo put it.
    pub async fn build() -> Result<Self> {
        Self::build_as("dev").await
    }

    /// As [`build`](Self::build), in this profile.
    pub async fn build_as(profile: &'static str) -> Result<Self> {
        let build = move || {
            cargo::build(&[
                "--package=cp-supervisor",
                "--bin=cp-supervisor",
                "--no-default-features",
                "--features=openraft,raftrs",
                "--profile",
                profile,
            ])
        };
        Ok(Self { path: tokio::task::spawn_blocking(build).await.context("the build was interrupted")?? })
    }

    /// One that is built already, with both engines.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command to its end and returns what it printed.
    pub async fn call(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("{} could not be run", self.path.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`cp-supervisor {}` ended with {}: {}", arguments.join(" "), output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// One node: its directory, its addresses, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    /// Whose node it is.
    pub member: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Where peers connect.
    pub peer: String,
    /// Where clients connect.
    pub client: String,
    /// Where health and metrics are served.
    pub http: SocketAddr,
    process: Option<Child>,
}

impl Node {
    /// A node below `root`, which does not run yet.
    pub fn new(root: &Path, member: &str, peer: &str, client: &str) -> Result<Self> {
        let [port] = port::free()?;
        Ok(Self {
            member: member.to_owned(),
            dir: root.join(member),
            peer: peer.to_owned(),
            client: client.to_owned(),
            http: (Ipv4Addr::LOCALHOST, port).into(),
            process: None,
        })
    }

    /// The log of its process, over all of its lives.
    pub fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    /// Starts its process; the log goes on where it ended.
    pub fn start(&mut self, binary: &Binary, certificates: &Path, engine: &str, flags: &[String]) -> Result<()> {
        let log = self.log();
        let open = || File::options().create(true).append(true).open(&log);
        let (out, err) = (open().context("node log")?, open().context("node log")?);
        let of = |file: String| certificates.join(file);
        let child = Command::new(binary.path())
            .arg("serve")
            .arg("--data-dir")
            .arg(&self.dir)
            .args(["--member", &self.member, "--engine", engine])
            .args(["--peer-listen", &self.peer, "--client-listen", &self.client])
            .args(["--http-listen", &self.http.to_string()])
            .args(flags)
            .arg("--ca")
            .arg(of("ca.pem".to_owned()))
            .arg("--cert")
            .arg(of(format!("{}.pem", self.member)))
            .arg("--key")
            .arg(of(format!("{}.key", self.member)))
            // Open for as long as this process is: a node that reads it notices how that ends.
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("node {} could not be started", self.member))?;
        self.process = Some(child);
        Ok(())
    }

    /// Fails if its process has ended, with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { bail!("node {} is not running", self.member) };
        if let Some(status) = process.try_wait()? {
            bail!("node {} ended with {status}; the end of its log:\n{}", self.member, self.log_tail());
        }
        Ok(())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// SIGKILL: no handover, no flush, no goodbye.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await.with_context(|| format!("node {} could not be killed", self.member))?;
        }
        Ok(())
    }

    /// Leaves its process running after the task has ended.
    pub fn release(&mut self) {
        if let Some(process) = self.process.take() {
            std::mem::forget(process);
        }
    }
}
