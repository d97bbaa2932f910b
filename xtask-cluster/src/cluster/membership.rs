//! Members that come and go, as an operator has them do it.

use super::Cluster;
use crate::process::Node;
use crate::{Step, port};
use anyhow::{Context, Result};
use cp_supervisor::api::messages::NodeStatus;

impl Cluster {
    /// Admits every other member, lets it join by its token, starts it, and waits until all vote.
    pub async fn join_others(&mut self, step: &Step<'_>) -> Result<()> {
        let others: Vec<String> = self.nodes.iter().skip(1).map(|node| node.member.clone()).collect();
        for member in &others {
            step.progress(member);
            self.enter(member).await?;
        }
        self.until_all_vote().await
    }

    /// Prepares a member that is not in the cluster file: a certificate, and a node without a directory.
    pub async fn prepare_another(&mut self, member: &str) -> Result<()> {
        if !self.certificates().join(format!("{member}.pem")).exists() {
            self.certify_member(member).await?;
        }
        let [peer, client] = port::free()?.map(|port| format!("127.0.0.1:{port}"));
        let node = Node::new(self.root.path(), member, &peer, &client)?;
        // An earlier life may have left one.
        if node.dir.exists() {
            std::fs::remove_dir_all(&node.dir).with_context(|| format!("{} cannot be removed", node.dir.display()))?;
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Admits a prepared member, lets it join by its token, starts it, and waits until it votes.
    pub async fn admit(&mut self, member: &str) -> Result<()> {
        self.enter(member).await?;
        self.until_all_vote().await
    }

    /// Drains and removes this member, waits until the quorum is without it, and ends its process.
    pub async fn remove(&mut self, member: &str) -> Result<()> {
        self.operate(&["member", "drain", member]).await?;
        self.operate(&["member", "remove", member]).await?;
        self.until("the member is gone", |statuses| {
            statuses.iter().any(|s| s.serving && s.settled && s.progress.iter().all(|p| p.member != member))
        })
        .await?;
        self.kill(member).await?;
        self.nodes.retain(|node| node.member != member);
        Ok(())
    }

    async fn enter(&mut self, member: &str) -> Result<()> {
        let first = self.endpoints().first().cloned().unwrap_or_default();
        let mut arguments = vec!["member", "add", member, "-o", "json"];
        arguments.extend(self.localities.get(member).into_iter().flatten().map(String::as_str));
        let added: serde_json::Value = serde_json::from_str(&self.operate(&arguments).await?)?;
        let token = added.get("token").and_then(|token| token.as_str()).context("`member add` printed no token")?;
        let node = self.nodes.iter().find(|node| node.member == member).context("no such node")?;
        let [ca, cert, key] = self.member_files(member);
        let (dir, http) = (node.dir.display().to_string(), node.http.to_string());
        let mut join = vec!["join", "--data-dir", &dir, "--token", token, "--via", &first];
        join.extend(["--ca", &ca, "--cert", &cert, "--key", &key]);
        join.extend(["--peer-address", &node.peer, "--client-address", &node.client, "--http-address", &http]);
        self.binary.call(&join).await?;
        self.start(member)
    }

    async fn until_all_vote(&mut self) -> Result<()> {
        let voters = self.nodes.len();
        self.until("every member has its vote", |statuses| {
            let counted = |s: &&NodeStatus| s.progress.iter().filter(|p| p.standing == "voter").count() == voters;
            statuses.iter().any(|s| s.serving && s.settled && counted(&s))
        })
        .await
    }
}
