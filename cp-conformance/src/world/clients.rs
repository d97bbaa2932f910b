//! Callers of the seam, whose every answer the monitor hears.

use super::{Roster, Up, World};
use crate::checks::Broken;
use crate::monitor::Monitor;
use crate::promise::Promise;
use crate::rng::Rng;
use crate::sync::locked;
use crate::workload::Workload;
use cp_catalog::{Range, RangeKey, Verdict};
use cp_seam::{ControlPlaneEntry, LogPosition, Outcome, ProposeError, ProposeRefusal, ReadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What became of one proposal, as far as its caller could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It is committed.
    Committed(LogPosition),
    /// Another entry has its slot.
    Superseded(LogPosition),
    /// Neither is known; it may have a position.
    Unknown(Option<LogPosition>),
    /// It was refused.
    Refused(ProposeRefusal),
}

/// Proposes `entry` at `up`, and tells the monitor.
pub(super) async fn propose(
    monitor: &Monitor,
    up: &Up,
    entry: &ControlPlaneEntry,
) -> Result<LogPosition, ProposeError> {
    let outcome = up.node.propose(entry.clone()).await;
    match &outcome {
        Ok(position) => monitor.placed(*position, entry),
        Err(ProposeError::Refused(_)) => monitor.refused(entry),
        Err(ProposeError::Unknown { .. }) => monitor.unknown(),
    }
    outcome
}

/// Proposes `entry` at `up` and asks for its outcome for up to `wait`.
pub(super) async fn attempt(monitor: &Monitor, up: &Up, entry: &ControlPlaneEntry, wait: Duration) -> Attempt {
    let since = monitor.begin();
    let position = match propose(monitor, up, entry).await {
        Ok(position) => position,
        Err(ProposeError::Refused(refusal)) => return Attempt::Refused(refusal),
        Err(ProposeError::Unknown { .. }) => return Attempt::Unknown(None),
    };
    let outcome = up.node.outcome(position, wait).await;
    monitor.told(&up.life, position, outcome, Some(since));
    match outcome {
        // What a node says after its end is heard by nobody.
        Outcome::Committed if up.life.goes_on() => Attempt::Committed(position),
        Outcome::Superseded if up.life.goes_on() => Attempt::Superseded(position),
        _ => Attempt::Unknown(Some(position)),
    }
}

impl World {
    /// The next entry of the run's workload, unlike any other.
    pub fn entry(&mut self) -> Result<ControlPlaneEntry, Broken> {
        self.workload.next(None)
    }

    /// The next entries are those of a client that has asked for nothing before.
    pub fn another_client(&mut self) {
        self.clients += 1;
        self.workload = self.workload.fork(10_000 + self.clients);
    }

    /// Proposes at `slot`: a position or why not.
    pub async fn propose(&mut self, slot: usize) -> Result<Result<LogPosition, ProposeError>, Broken> {
        let (up, entry) = (self.up(slot)?, self.entry()?);
        Ok(propose(&self.monitor, &up, &entry).await)
    }

    /// Proposes at `slot` and waits up to `wait` for the outcome.
    pub async fn attempt(&mut self, slot: usize, wait: Duration) -> Result<Attempt, Broken> {
        let (up, entry) = (self.up(slot)?, self.entry()?);
        Ok(attempt(&self.monitor, &up, &entry, wait).await)
    }

    /// Proposes `count` entries at once at `slot`, and answers the positions that they got.
    pub async fn burst(&mut self, slot: usize, count: usize) -> Result<Vec<LogPosition>, Broken> {
        let up = self.up(slot)?;
        let entries = (0..count).map(|_| self.entry()).collect::<Result<Vec<_>, _>>()?;
        let proposing = entries.iter().map(|entry| propose(&self.monitor, &up, entry));
        Ok(futures::future::join_all(proposing).await.into_iter().flatten().collect())
    }

    /// Proposes at `slot` every millisecond, whatever comes of it, until it is aborted.
    pub fn load(&mut self, slot: usize) -> Result<tokio::task::AbortHandle, Broken> {
        let (up, monitor) = (self.up(slot)?, Arc::clone(&self.monitor));
        let mut workload = self.workload.fork(1_000 + slot);
        let proposing = async move {
            while let Ok(entry) = workload.next(None) {
                if let Err(why) = propose(&monitor, &up, &entry).await {
                    tracing::trace!(%why, "load");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        Ok(tokio::spawn(proposing).abort_handle())
    }

    /// Proposes at `slot`, and demands that it be committed within 2T.
    pub async fn write(&mut self, slot: usize) -> Result<LogPosition, Broken> {
        match self.attempt(slot, self.election_timeout() * 2).await? {
            Attempt::Committed(position) => Ok(position),
            other => Err(Broken::new("liveness", Promise::L1, format!("a proposal at n{slot} ended as {other:?}"))),
        }
    }

    /// Proposes until `count` more proposals are acknowledged, wherever the leader is.
    pub async fn writes(&mut self, count: u64) -> Result<LogPosition, Broken> {
        let mut last = LogPosition::GENESIS;
        let mut done = 0;
        let deadline = Instant::now()
            + self.election_timeout() * 20
            + Duration::from_millis(200) * u32::try_from(count).unwrap_or(u32::MAX);
        while done < count {
            if Instant::now() > deadline {
                return Err(Broken::new(
                    "liveness",
                    Promise::L1,
                    format!("only {done} of {count} writes are acknowledged"),
                ));
            }
            let leader = self.leader().await?;
            if let Attempt::Committed(position) = self.attempt(leader, self.election_timeout() * 2).await? {
                last = position;
                done += 1;
            } else {
                // A refusal takes no time: without a pause the clock would stand still.
                self.pass(Duration::from_millis(10)).await;
            }
        }
        Ok(last)
    }

    /// Asks the node in `slot` about `position`.
    pub async fn outcome(&mut self, slot: usize, position: LogPosition, wait: Duration) -> Result<Outcome, Broken> {
        let up = self.up(slot)?;
        let outcome = up.node.outcome(position, wait).await;
        self.monitor.told(&up.life, position, outcome, None);
        Ok(outcome)
    }

    /// A linearizable read at `slot`.
    pub async fn read(&mut self, slot: usize) -> Result<Result<(), ReadError>, Broken> {
        let up = self.up(slot)?;
        let since = self.monitor.begin();
        let read = up.node.read_barrier().await;
        Ok(read.map(|point| self.monitor.read(&up.life, since, point)))
    }

    /// Starts a client that writes and reads until it is aborted.
    pub(super) fn client(&mut self) -> tokio::task::AbortHandle {
        let number = self.callers;
        self.callers += 1;
        let rng = Rng::new(self.seed, &format!("client {number}"));
        let workload = self.workload.fork(number);
        let (roster, monitor) = (Arc::clone(&self.roster), Arc::clone(&self.monitor));
        let client = Client { roster, monitor, rng, workload, think: self.options.think };
        tokio::spawn(client.run()).abort_handle()
    }
}

struct Client {
    roster: Roster,
    monitor: Arc<Monitor>,
    rng: Rng,
    workload: Workload,
    think: Duration,
}

impl Client {
    async fn run(mut self) {
        loop {
            let think_ms = u64::try_from(self.think.as_millis()).unwrap_or(u64::MAX);
            tokio::time::sleep(Duration::from_millis(self.rng.between(5, think_ms))).await;
            let Some(up) = self.choose() else { continue };
            if self.rng.per_mille(150) {
                let (since, known) = (self.monitor.begin(), self.monitor.known());
                if let Ok(point) = up.node.read_barrier().await
                    && up.life.goes_on()
                {
                    self.monitor.read(&up.life, since, point);
                    let sees = |range: &RangeKey| up.state.read(|catalog| catalog.range(range).map(Range::standing));
                    self.monitor.looks(&known, sees);
                }
                continue;
            }
            let Ok(entry) = up.state.read(|catalog| self.workload.next(Some(catalog))) else { return };
            let known = self.monitor.known();
            let attempt = attempt(&self.monitor, &up, &entry, Duration::from_millis(800)).await;
            if let Attempt::Committed(position) = attempt
                && let Some(Verdict::Done(effect)) = up.state.verdict(position.index)
            {
                self.monitor.done(&known, &effect);
            }
            if let Attempt::Unknown(Some(position)) = attempt
                && let Some(other) = self.anyone()
            {
                let outcome = other.node.outcome(position, Duration::from_millis(300)).await;
                self.monitor.told(&other.life, position, outcome, None);
            }
        }
    }

    /// Mostly whoever says it leads, sometimes anyone.
    fn choose(&mut self) -> Option<Up> {
        if self.rng.per_mille(100) {
            return self.anyone();
        }
        let roster = locked(&self.roster);
        let leading: Vec<Up> = roster.values().filter(|up| up.node.is_leader()).cloned().collect();
        drop(roster);
        self.rng.pick(&leading).cloned()
    }

    fn anyone(&mut self) -> Option<Up> {
        let all: Vec<Up> = locked(&self.roster).values().cloned().collect();
        self.rng.pick(&all).cloned()
    }
}
