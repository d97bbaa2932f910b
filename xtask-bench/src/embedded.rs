//! A node that takes load from within its process, as a database that embeds it would.
//!
//! It is the daemon, started by the same flags through the library, and beside it a Unix
//! socket on which the bench asks for load: a line of JSON, answered by a line of JSON.

use crate::latency::Latencies;
use crate::load::{self, Load, Period, Proposer};
use crate::transition::Round;
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use clap::Args;
use cp_catalog::Request;
use cp_supervisor::daemon::{Daemon, Layer, Settings};
use cp_supervisor::session::Session;
use cp_supervisor::supervisor::Supervisor;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Layer,
}

/// What is asked of a node.
#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    proposers: u64,
    much: Much,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Much {
    /// For so long.
    Period { warm_ms: u64, counted_ms: u64 },
    /// So many commits.
    Commits(u64),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Load { recorded: Vec<(u64, u64)>, elapsed_ns: u64, committed: u64 },
    Committed,
    Failed(String),
}

/// Where a node that has its directory at `dir` takes load.
fn socket(dir: &Path) -> PathBuf {
    dir.with_extension("load")
}

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        std::thread::spawn(end_with_parent);
        let settings = Settings::resolve(self.flags, Layer::default(), Layer::default())?;
        let runtime = settings.runtime()?;
        runtime.block_on(Box::pin(serve(settings)))
    }
}

/// Ends this process once its standard input does: the bench holds the other end, and may be killed.
fn end_with_parent() {
    match std::io::copy(&mut std::io::stdin(), &mut std::io::sink()) {
        Ok(_) => std::process::exit(1),
        Err(error) => anstream::eprintln!("standard input cannot be read, this node may outlive the bench: {error}"),
    }
}

async fn serve(settings: Settings) -> Result<()> {
    let path = socket(&settings.data_dir);
    let daemon = Daemon::start(&settings).await?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("{} cannot be bound", path.display()))?;
    loop {
        tokio::select! {
            reason = daemon.stopped() => bail!("the node has stopped: {reason}"),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(attend(stream, Arc::clone(daemon.supervisor())));
            }
        }
    }
}

async fn attend(stream: UnixStream, supervisor: Arc<Supervisor>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let ask: Ask = serde_json::from_str(&line)?;
        let answer = from_within(&supervisor, &ask).await.unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        write.write_all(&line).await?;
    }
    Ok(())
}

async fn from_within(supervisor: &Arc<Supervisor>, ask: &Ask) -> Result<Answer> {
    let catalog = supervisor.read().await?.catalog;
    // One for all, as a process has: the state remembers 65,536 requests of all sessions together, and
    // forgets the longest idle of them when there are more.
    let session = Arc::new(supervisor.session()?);
    let proposers = (1..=ask.proposers).map(|number| {
        let (round, session) = (Round::at(&catalog, number)?, Arc::clone(&session));
        Ok(Embedded { supervisor: Arc::clone(supervisor), round, session })
    });
    let proposers = proposers.collect::<Result<Vec<_>>>()?;
    match ask.much {
        Much::Period { warm_ms, counted_ms } => {
            let (warm, counted) = (Duration::from_millis(warm_ms), Duration::from_millis(counted_ms));
            let load = load::drive(proposers, Period { warm, counted }).await?;
            let elapsed_ns = u64::try_from(load.elapsed.as_nanos()).unwrap_or(u64::MAX);
            Ok(Answer::Load { recorded: load.latencies.recorded(), elapsed_ns, committed: load.committed })
        }
        Much::Commits(count) => load::commit(proposers, count).await.map(|()| Answer::Committed),
    }
}

struct Embedded {
    supervisor: Arc<Supervisor>,
    round: Round,
    session: Arc<Session>,
}

#[async_trait]
impl Proposer for Embedded {
    async fn propose(&mut self) -> Result<()> {
        let request = Request::new(Some(self.session.next_id()), self.round.command()?);
        let decision = self.supervisor.submit(request, PATIENCE).await?;
        self.round.take(&decision.verdict)
    }
}

/// Has the node at `dir` take load from within.
pub(crate) async fn load(dir: &Path, proposers: u64, period: Period) -> Result<Load> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let much = Much::Period { warm_ms: millis(period.warm), counted_ms: millis(period.counted) };
    match ask(dir, &Ask { proposers, much }).await? {
        Answer::Load { recorded, elapsed_ns, committed } => {
            let (latencies, elapsed) = (Latencies::from_recorded(&recorded)?, Duration::from_nanos(elapsed_ns));
            Ok(Load { latencies, elapsed, committed })
        }
        other => bail!("load was asked for, and {other:?} came back"),
    }
}

/// Has the node at `dir` commit `count` entries, proposed from within.
pub(crate) async fn commit(dir: &Path, proposers: u64, count: u64) -> Result<()> {
    ask(dir, &Ask { proposers, much: Much::Commits(count) }).await.map(drop)
}

async fn ask(dir: &Path, ask: &Ask) -> Result<Answer> {
    let path = socket(dir);
    let stream = UnixStream::connect(&path).await.with_context(|| format!("{} does not listen", path.display()))?;
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    let line = BufReader::new(read).lines().next_line().await?.context("the node ended")?;
    match serde_json::from_str(&line)? {
        Answer::Failed(reason) => bail!("{reason}"),
        answer => Ok(answer),
    }
}
