//! The command line: `serve` runs a node, everything else is its client.

mod apply;
mod audit;
mod authority;
mod cert;
mod cluster;
mod collection;
mod connection;
mod exit;
mod grant;
mod member;
mod node;
mod output;
mod plan;
mod range;
mod rebuild;
mod recover;
mod snapshot;
mod status;
mod watch;

use clap::{Args, Parser, Subcommand};
use output::{Color, Format};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "cp-supervisor",
    version,
    about = "A control plane: who is a member, who leads, who may write which range",
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, Args)]
struct Global {
    /// How data is printed
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// When colour is used
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node; its directory must have been made by `cluster init` or `join`
    Serve(Box<node::Serve>),
    /// Make this node's directory from what the cluster gives to a member that it has admitted
    Join(Box<node::Join>),
    /// Make the directory of a stopped member anew from what the cluster has; the old one is kept aside
    Rebuild(Box<rebuild::Rebuild>),
    /// Make or change a cluster as a whole
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Make and check certificates
    #[command(subcommand)]
    Cert(cert::Cert),
    /// Check a node's settings
    #[command(subcommand)]
    Config(node::Config),
    /// Go on from one survivor after a quorum is lost for good
    #[command(subcommand)]
    Recover(recover::Recover),
    /// Save, look at and restore backups of the state
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Say how the cluster is
    Status(status::Status),
    /// Admit, promote, drain, remove and list members
    #[command(subcommand)]
    Member(member::Member),
    /// Make and list collections
    #[command(subcommand)]
    Collection(collection::Collection),
    /// Say who decides on the placement of a group's ranges
    #[command(subcommand)]
    Authority(authority::Authority),
    /// Make, list, move, split and merge ranges
    #[command(subcommand)]
    Range(range::Range),
    /// Spread the ranges evenly, and end what was left half done
    Rebalance(plan::Rebalance),
    /// Say which clients may do what
    #[command(subcommand)]
    Grant(grant::Grant),
    /// Show who tried what with authority
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Bring the cluster to what a file says; again changes nothing
    Apply(Box<apply::Apply>),
    /// Print committed changes as they come
    Watch(watch::Watch),
    /// Move leadership
    #[command(subcommand)]
    Leader(cluster::Leader),
}

/// Parses, runs, and says how it went.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    cli.global.color.choose();
    let done = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Config(config) => config.run(cli.global.output),
        Command::Cert(cert) => cert.run(cli.global.output),
        client => on_runtime(run_client(client, cli.global.output)),
    };
    exit::code(done)
}

async fn run_client(command: Command, format: Format) -> anyhow::Result<()> {
    match command {
        Command::Join(join) => join.run(format).await,
        Command::Rebuild(rebuild) => rebuild.run(format).await,
        Command::Cluster(cluster) => cluster.run(format).await,
        Command::Recover(recover) => recover.run(format).await,
        Command::Snapshot(snapshot) => snapshot.run(format).await,
        Command::Status(status) => status.run(format).await,
        Command::Member(member) => member.run(format).await,
        Command::Collection(collection) => collection.run(format).await,
        Command::Authority(authority) => authority.run(format).await,
        Command::Range(range) => range.run(format).await,
        Command::Rebalance(rebalance) => rebalance.run(format).await,
        Command::Grant(grant) => grant.run(format).await,
        Command::Audit(audit) => audit.run(format).await,
        Command::Apply(apply) => apply.run(format).await,
        Command::Watch(watch) => watch.run(format).await,
        Command::Leader(leader) => leader.run(format).await,
        Command::Serve(_) | Command::Config(_) | Command::Cert(_) => Ok(()),
    }
}

/// Runs a client command on one thread.
fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Box::pin(work))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
