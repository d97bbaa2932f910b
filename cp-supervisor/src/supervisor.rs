//! What an embedder of the control plane uses.

use crate::changes::{Changes, Compacted, Cursor};
use crate::leases::{self, Clock, Desk, ProcessClock};
use crate::session::{NoRandomness, Session};
use cp_catalog::{
    Catalog, CatalogMachine, CollectionName, Command, MemberLife, MembershipCommand, Range, Request, Verdict,
};
use cp_seam::{
    ControlPlaneConsensus, ControlPlaneLogIndex, ControlPlaneStateMachine, ControlPlaneStatus, Incarnation,
    LogPosition, MemberId, MemberProgress, Outcome, ProposeError, ProposeRefusal, ReadError, Standing,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A node's control plane as an embedder sees it: typed requests and verdicts,
/// reads, and committed changes.
///
/// It holds no state of its own and decides nothing; every node has one, and
/// requests and linearizable reads are served by the leader's.
#[derive(Debug)]
pub struct Supervisor {
    consensus: Arc<dyn ControlPlaneConsensus>,
    machine: CatalogMachine,
    /// A voter that has not answered for this long counts as out of reach.
    patience: Duration,
    leases: Arc<Desk>,
    pending: AtomicU64,
    failed: AtomicU64,
}

/// A committed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where it is in the log.
    pub position: LogPosition,
    /// What it did, or why it did nothing and what to do next.
    pub verdict: Verdict,
    /// For a membership change: whether the engine's quorum is as the state wants
    /// it. Until then the change is decided and not final; see [`Supervisor::settle`].
    pub settled: bool,
}

/// A request without a decision.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It is in no log and never will be. Act on the reason and try again.
    #[error("the request was refused")]
    Refused(#[source] ProposeRefusal),
    /// It may or may not take effect. Submit it again under the same id (CP-P5).
    #[error("whether the request took effect is unknown: {reason}; submit it again under the same id")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// It cannot be encoded; nothing was done.
    #[error("the request cannot be sent")]
    TooLong(#[source] cp_seam::PayloadTooLarge),
}

/// The state at an index.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The state.
    pub catalog: Catalog,
    /// The index that it reflects.
    pub applied: ControlPlaneLogIndex,
    /// Whether it may be older than what was acknowledged before the read began.
    pub stale: bool,
}

/// Which range holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The range, and so its owner and epoch; `None` if none covers the key.
    pub range: Option<Range>,
    /// The index that the answer reflects.
    pub applied: ControlPlaneLogIndex,
    /// Whether it may be older than what was acknowledged before the call began.
    pub stale: bool,
}

/// How requests have fared at this node since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that wait for their verdict.
    pub pending: u64,
    /// Those that were refused, superseded or unknown.
    pub failed: u64,
}

impl Supervisor {
    /// Supervises a running node; `machine` is the one it was started with.
    pub fn new(consensus: Arc<dyn ControlPlaneConsensus>, machine: CatalogMachine, election_timeout: Duration) -> Self {
        let (terms, clock) = (leases::Terms::default(), Arc::new(ProcessClock::default()));
        let leases = Arc::new(Desk::new(Arc::clone(&consensus), machine.clone(), terms, clock));
        let (pending, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { consensus, machine, patience: election_timeout, leases, pending, failed }
    }

    /// Grants leases on `terms`, measured by `clock`, instead of the default ones. The longest
    /// lease is the cluster's, by its state.
    #[must_use]
    pub fn with_leases(self, terms: leases::Terms, clock: Arc<dyn Clock>) -> Self {
        let leases = Arc::new(Desk::new(Arc::clone(&self.consensus), self.machine.clone(), terms, clock));
        Self { leases, ..self }
    }

    /// Where members have their leases renewed while this node leads. Run
    /// [`Desk::run`] beside it, so that its book is begun as soon as the node leads.
    pub fn leases(&self) -> &Arc<Desk> {
        &self.leases
    }

    /// The node beneath.
    pub fn consensus(&self) -> &Arc<dyn ControlPlaneConsensus> {
        &self.consensus
    }

    /// How long a voter may be silent before it counts as out of reach.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The replicated state beneath.
    pub fn machine(&self) -> &CatalogMachine {
        &self.machine
    }

    /// A session for requests that begin at this node.
    pub fn session(&self) -> Result<Session, NoRandomness> {
        Session::begin(self.machine.applied())
    }

    /// Proposes `request` at this node, which must lead, and waits up to `wait`
    /// for its verdict.
    ///
    /// Guarantees: a refused request is in no log (CP-P1); a verdict is that of
    /// the committed request, the same on every member (CP-S2, CP-R3); a request
    /// with an id takes effect at most once, however often it is submitted and
    /// wherever (CP-P5). Not knowing is [`SubmitError::Unknown`], never a
    /// failure (CP-P3). Dropping the future means unknown.
    ///
    /// The voters that are within reach, which removals and demotions need as
    /// evidence, are filled in by the leader: what the request says of them is replaced.
    pub async fn submit(&self, request: Request, wait: Duration) -> Result<Decision, SubmitError> {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let _settled = Pending(&self.pending);
        let decided = self.decide(self.with_evidence(request), wait).await;
        if decided.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        decided
    }

    async fn decide(&self, request: Request, wait: Duration) -> Result<Decision, SubmitError> {
        let deadline = Instant::now() + wait;
        let entry = request.to_entry().map_err(SubmitError::TooLong)?;
        loop {
            let position = match self.consensus.propose(entry.clone()).await {
                Ok(position) => position,
                Err(ProposeError::Refused(refusal)) => return Err(SubmitError::Refused(refusal)),
                Err(ProposeError::Unknown { reason }) => return Err(SubmitError::Unknown { reason }),
            };
            match self.consensus.outcome(position, deadline.saturating_duration_since(Instant::now())).await {
                Outcome::Committed => return self.decision(position),
                // It is in no log: to propose it again is safe, and its id makes it doubly so.
                Outcome::Superseded => {}
                Outcome::Unknown => {
                    let reason = format!("position {position} was not decided within {} ms", wait.as_millis());
                    return Err(SubmitError::Unknown { reason });
                }
            }
        }
    }

    fn decision(&self, position: LogPosition) -> Result<Decision, SubmitError> {
        let Some(verdict) = self.machine.verdict(position.index) else {
            let reason = format!("it is committed at {position}, and its verdict is no longer remembered");
            return Err(SubmitError::Unknown { reason });
        };
        Ok(Decision { position, verdict, settled: self.status().settled })
    }

    /// `request` with what this leader knows of who is within reach.
    pub(crate) fn with_evidence(&self, mut request: Request) -> Request {
        if let Command::Membership(command) = &mut request.command {
            match command {
                MembershipCommand::Demote { reachable, .. }
                | MembershipCommand::Remove { reachable, .. }
                | MembershipCommand::Replace { reachable, .. } => *reachable = self.reachable(),
                MembershipCommand::ForceRemove { member, reachable, .. } => *reachable = self.in_touch(member),
                _ => {}
            }
        }
        request
    }

    /// The voters that this leader has heard from within an election timeout.
    fn reachable(&self) -> BTreeSet<Incarnation> {
        let progress = self.consensus.progress();
        let voters = progress.iter().filter(|p| p.standing != Standing::Learner);
        heard(voters, self.patience)
    }

    /// All that this leader has heard from within an election timeout, and `lost` unless it has
    /// been silent for so long: a leader that has just begun has heard of nobody yet.
    fn in_touch(&self, lost: &MemberLife) -> BTreeSet<Incarnation> {
        touched(&self.consensus.progress(), lost, self.patience)
    }

    /// Waits up to `wait` until no membership change is in flight at the engine;
    /// only then is the verdict on a membership change final. `false` if it still is.
    pub async fn settle(&self, wait: Duration) -> bool {
        let mut watch = self.consensus.watch();
        let settled = async {
            let mut status = watch.current();
            while !status.settled {
                match watch.changed().await {
                    Ok(next) => status = next,
                    Err(_) => return false,
                }
            }
            true
        };
        timeout(wait, settled).await.unwrap_or(false)
    }

    /// The state, with everything that was acknowledged anywhere before the call
    /// (CP-P4). Served by the leader.
    pub async fn read(&self) -> Result<Reading, ReadError> {
        self.consensus.read_barrier().await?;
        Ok(Reading { stale: false, ..self.read_stale() })
    }

    /// The state as this node has it now; it may lack what was acknowledged, and says so.
    pub fn read_stale(&self) -> Reading {
        self.machine.read_at(|applied, catalog| Reading { catalog: catalog.clone(), applied, stale: true })
    }

    /// The range of `collection` that holds `key`, if one does, with everything that was
    /// acknowledged anywhere before the call (CP-P4). Served by the leader. Copies nothing of
    /// the state but that range, so it may be called for every request that is routed.
    pub async fn locate(&self, collection: &CollectionName, key: &[u8]) -> Result<Located, ReadError> {
        self.consensus.read_barrier().await?;
        Ok(Located { stale: false, ..self.locate_stale(collection, key) })
    }

    /// As [`locate`](Self::locate), by the state that this node has now; it may lack what was
    /// acknowledged, and says so. What an old answer leads to is fenced by its epoch (CP-S5).
    pub fn locate_stale(&self, collection: &CollectionName, key: &[u8]) -> Located {
        self.machine.read_at(|applied, catalog| {
            let range = catalog.locate(collection, key).cloned();
            Located { range, applied, stale: true }
        })
    }

    /// Who owns `key` of `collection`, if anybody does, by the state that this node has now. It may
    /// lack what was acknowledged; whoever is asked in vain refuses by the range's epoch (CP-S5).
    /// The cheapest of all lookups: for routing requests.
    pub fn owner_of_stale(&self, collection: &CollectionName, key: &[u8]) -> Option<MemberId> {
        self.machine.read(|catalog| catalog.owner_of(collection, key).cloned())
    }

    /// How the node is.
    pub fn status(&self) -> ControlPlaneStatus {
        self.consensus.watch().current()
    }

    /// How requests have fared here.
    pub fn counts(&self) -> Counts {
        Counts { pending: self.pending.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }

    /// The committed changes from `from` on, in order and without gaps, as they
    /// are applied here; any member serves them. [`Compacted`] if some of them are
    /// no longer kept, or are of a generation that is over.
    pub fn watch(&self, from: impl Into<Cursor>) -> Result<Changes, Compacted> {
        Changes::begin(self.machine.clone(), self.consensus.watch(), from.into())
    }
}

fn heard<'a>(progress: impl IntoIterator<Item = &'a MemberProgress>, patience: Duration) -> BTreeSet<Incarnation> {
    let heard = progress.into_iter().filter(|p| p.last_ack.is_some_and(|age| age <= patience));
    heard.map(|p| p.incarnation).collect()
}

fn touched(progress: &[MemberProgress], lost: &MemberLife, patience: Duration) -> BTreeSet<Incarnation> {
    let mut touched = heard(progress, patience);
    let early = |p: &&MemberProgress| p.incarnation == lost.incarnation && p.silent_for <= patience;
    touched.extend(progress.iter().find(early).map(|p| p.incarnation));
    touched
}

/// Counts a request as pending until it is dropped, also when its caller gives up.
struct Pending<'a>(&'a AtomicU64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leader that has just begun has heard of nobody: that shows no loss, and no quorum either.
    #[test]
    fn nobody_is_taken_for_lost_before_the_leader_has_listened() {
        let patience = Duration::from_millis(100);
        let of = |incarnation, last_ack: Option<u64>, silent_ms| MemberProgress {
            member: MemberId::new("m").unwrap(),
            incarnation: Incarnation(incarnation),
            standing: Standing::Voter,
            matched: ControlPlaneLogIndex(0),
            last_ack: last_ack.map(Duration::from_millis),
            silent_for: Duration::from_millis(silent_ms),
            diverged_at: None,
        };
        let lost = MemberLife { id: MemberId::new("m").unwrap(), incarnation: Incarnation(3) };
        let touched = |progress: &[MemberProgress]| {
            let touched = touched(progress, &lost, patience);
            touched.into_iter().map(|it| it.0).collect::<Vec<_>>()
        };
        let leader = of(1, Some(0), 0);
        assert_eq!(touched(&[leader.clone(), of(2, None, 5), of(3, None, 5)]), [1, 3], "it has just begun");
        assert_eq!(touched(&[leader.clone(), of(2, Some(9), 9), of(3, None, 101)]), [1, 2]);
        assert_eq!(touched(&[leader.clone(), of(2, Some(9), 9), of(3, Some(101), 101)]), [1, 2]);
        assert_eq!(touched(&[leader.clone(), of(2, Some(500), 3), of(3, Some(500), 3)]), [1, 3], "after a pause");
        assert_eq!(touched(&[leader, of(2, Some(9), 9)]), [1, 2], "who is in no configuration is not heard of");
    }
}
