//! The seam, implemented once for every engine.

use crate::apply;
use crate::engine::{Engine, EngineError};
use crate::freezer::of_node;
use crate::host::Host;
use crate::leaving::{self, Ending, hand_over};
use crate::receiver::Receiver;
use crate::reconcile;
use crate::settings::Parts;
use crate::snapshots;
use crate::tasks;
use async_trait::async_trait;
#[cfg(planted_bugs)]
use cp_seam::planted::{self, Bug};
use cp_seam::{
    ControlPlaneConsensus, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlaneRole, ControlPlaneWatch, Incarnation,
    LogPosition, MemberId, MemberProgress, Outcome, ProposeError, ProposeRefusal, ReadError, ReadPoint, ShutdownError,
    Standing, Term, TransferError, WireVersions,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Starts a node: restores the state from the store's snapshot, replays what is
/// durably committed, lets `build` make the engine, and joins the transport.
///
/// `engine` names the engine in handshakes; `wire_versions` are those of its messages.
pub async fn start<F, Fut>(
    parts: Parts,
    engine: &'static str,
    wire_versions: WireVersions,
    build: F,
) -> Result<Arc<dyn ControlPlaneConsensus>, StartError>
where
    F: FnOnce(Arc<Host>) -> Fut,
    Fut: Future<Output = Result<Arc<dyn Engine>, StartError>>,
{
    parts.settings.check()?;
    let host = Arc::new(Host::new(parts, wire_versions));
    let durable = host.store().durable().borrow().clone();
    if !apply::restore(&host, durable.committed).await? {
        let reason = "the snapshot on disk is above the committed index".to_owned();
        return Err(cp_seam::Halt { reason }.into());
    }
    apply::catch_up(&host, &durable).await?;
    let running = build(Arc::clone(&host)).await?;
    let receiver = Receiver { host: Arc::clone(&host), engine: Arc::clone(&running), name: engine };
    host.attach(Arc::new(receiver));
    tasks::spawn(&host, "apply", apply::run(Arc::clone(&host)));
    tasks::spawn(&host, "reconcile", reconcile::run(Arc::clone(&host), Arc::clone(&running)));
    tasks::spawn(&host, "snapshot", snapshots::build::run(Arc::clone(&host), Arc::clone(&running)));
    tasks::spawn(&host, "tick", tick(Arc::clone(&host)));
    tokio::spawn(of_node(end(Arc::clone(&host), Arc::clone(&running))));
    host.refresh();
    let permits = Semaphore::new(host.settings().proposals_max);
    Ok(Arc::new(Node { host, engine: running, permits, ending: Mutex::default() }))
}

/// The node was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] cp_store::Failure),
    /// The snapshot on disk does not restore.
    #[error("the snapshot on disk does not restore; wipe the directory and let the member rejoin as a new incarnation")]
    Snapshot(#[source] cp_seam::SnapshotError),
    /// The state machine halted.
    #[error(transparent)]
    Halt(#[from] cp_seam::Halt),
    /// A setting cannot be used.
    #[error("setting {name}: {why}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What is wrong and what would do.
        why: String,
    },
    /// The engine did not start.
    #[error("the engine did not start")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Notices what only time tells: a lost quorum, a stalled disk.
async fn tick(host: Arc<Host>) {
    let mut ticks = tokio::time::interval(host.settings().election_timeout / 10);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        ticks.tick().await;
        host.awake();
        count = count.wrapping_add(1);
        if count.is_multiple_of(2) && host.view().role == ControlPlaneRole::Leader {
            host.probe_disk();
        }
        host.refresh();
    }
}

/// Ends engine and transport once the node has stopped, for whatever reason.
async fn end(host: Arc<Host>, engine: Arc<dyn Engine>) {
    host.until_halted().await;
    host.parts.transport.detach();
    engine.stop().await;
}

/// A running node. Dropping it stops it without a handover; the store closes with its last handle.
#[derive(Debug)]
struct Node {
    host: Arc<Host>,
    engine: Arc<dyn Engine>,
    permits: Semaphore,
    ending: Mutex<Option<Ending>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.host.halt("it was dropped");
    }
}

impl Node {
    /// Where a refusal points: never to this node.
    fn elsewhere(&self, leader: Option<Incarnation>) -> Option<MemberId> {
        leader.filter(|leader| *leader != self.host.me()).and_then(|leader| self.host.name(leader))
    }
}

#[async_trait]
impl ControlPlaneConsensus for Node {
    fn role(&self) -> ControlPlaneRole {
        if self.host.halted().is_some() { ControlPlaneRole::Follower } else { self.host.view().role }
    }

    fn term(&self) -> Term {
        self.host.view().term
    }

    fn leader(&self) -> Option<MemberId> {
        self.host.leader_name()
    }

    fn is_leader(&self) -> bool {
        self.host.refusal().is_none()
    }

    fn committed_index(&self) -> ControlPlaneLogIndex {
        self.host.durable_committed()
    }

    async fn propose(&self, entry: ControlPlaneEntry) -> Result<LogPosition, ProposeError> {
        if let Some(refusal) = self.host.refusal() {
            return Err(refusal.into());
        }
        let Ok(_permit) = self.permits.try_acquire() else { return Err(ProposeRefusal::Busy.into()) };
        let deadline = self.host.settings().propose_deadline;
        match timeout(deadline, self.engine.append(entry)).await {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(EngineError::NotLeader { leader })) => {
                Err(ProposeRefusal::NotLeader { leader: self.elsewhere(leader) }.into())
            }
            Ok(Err(EngineError::NoQuorum)) => Err(ProposeRefusal::NoQuorum.into()),
            Ok(Err(EngineError::Refused(reason))) => {
                tracing::debug!(reason, "a proposal was refused by the engine");
                Err(self.host.refusal().unwrap_or(ProposeRefusal::Busy).into())
            }
            Ok(Err(error @ (EngineError::Unknown(_) | EngineError::Store(_)))) => {
                Err(ProposeError::Unknown { reason: crate::chain(&error) })
            }
            Err(_) => {
                Err(ProposeError::Unknown { reason: format!("it got no position within {} ms", deadline.as_millis()) })
            }
        }
    }

    async fn outcome(&self, position: LogPosition, wait: Duration) -> Outcome {
        let store = self.host.store();
        let verdict = |applied: ControlPlaneLogIndex| {
            if position.index <= applied {
                return store.term_at(position.index).map(|term| term == position.term);
            }
            // Terms never fall along a log: a later term below the slot rules this position out.
            store.term_at(applied).filter(|term| *term > position.term).map(|_| false)
        };
        let mut known = None;
        let told = async {
            loop {
                let mut place = self.host.waiting.enrol(position);
                let (applied, stopped) = self.host.board.reached();
                known = verdict(applied);
                if known.is_some() || stopped {
                    return;
                }
                place.woken().await;
            }
        };
        // A wait that ran out and a node that stopped both leave what is known as it is.
        let waited = timeout(wait, told).await;
        tracing::trace!(?waited, ?known, %position, "outcome");
        match known {
            Some(true) => Outcome::Committed,
            Some(false) => Outcome::Superseded,
            None => Outcome::Unknown,
        }
    }

    async fn read_barrier(&self) -> Result<ReadPoint, ReadError> {
        #[cfg(planted_bugs)]
        if planted::active(Bug::ReadWithoutQuorum) && self.role() == ControlPlaneRole::Leader {
            return Ok(ReadPoint { term: self.term(), applied: self.host.books().applied.0 });
        }
        match self.host.refusal() {
            Some(ProposeRefusal::Stopped { reason }) => return Err(ReadError::Stopped { reason }),
            Some(ProposeRefusal::NotLeader { leader }) => return Err(ReadError::NotLeader { leader }),
            // A read needs a quorum, not a disk: a transfer or a full queue does not stand in its way.
            Some(ProposeRefusal::NoQuorum | ProposeRefusal::DiskStalled { .. }) => return Err(ReadError::NoQuorum),
            Some(_) | None => {}
        }
        let (patience, led) = (self.host.settings().election_timeout, self.host.view().term);
        let index = match timeout(patience, self.engine.read_index()).await {
            Ok(Ok(index)) => index,
            Ok(Err(EngineError::NotLeader { leader })) => {
                return Err(ReadError::NotLeader { leader: self.elsewhere(leader) });
            }
            Ok(Err(EngineError::Store(failure))) => return Err(ReadError::Stopped { reason: crate::chain(&failure) }),
            Ok(Err(EngineError::NoQuorum | EngineError::Refused(_) | EngineError::Unknown(_))) | Err(_) => {
                return Err(ReadError::NoQuorum);
            }
        };
        let mut watch = self.host.board.watch();
        let mut reached = None;
        let applied = watch.until(|status| {
            reached = (status.applied >= index).then_some(status.applied);
            reached.is_some() || status.stopped.is_some()
        });
        let waited = timeout(patience, applied).await;
        // The record may not have been committed when a quorum answered, and another leader's may be
        // there by now: its term is not the one that was confirmed.
        let term = self.host.store().term_at(index).filter(|term| *term == led);
        match (reached.zip(term), self.host.halted()) {
            (Some((applied, term)), _) => Ok(ReadPoint { term, applied }),
            (None, Some(reason)) => Err(ReadError::Stopped { reason }),
            (None, None) => {
                tracing::debug!(?waited, %index, "a read was confirmed and not applied in time");
                Err(ReadError::NoQuorum)
            }
        }
    }

    fn progress(&self) -> Vec<MemberProgress> {
        let matched: BTreeMap<_, _> = self.engine.matched().into_iter().collect();
        let (_, configuration) = &*self.host.newest_configuration();
        let lists = |half: &[cp_seam::QuorumMember], member| half.iter().any(|m| m.incarnation == member);
        if self.role() != ControlPlaneRole::Leader {
            return Vec::new();
        }
        let differing = self.host.books().differing.clone();
        let me = self.host.me();
        let progress = |member: &cp_seam::QuorumMember| MemberProgress {
            diverged_at: differing.get(&member.incarnation).copied(),
            member: member.id.clone(),
            incarnation: member.incarnation,
            standing: if lists(&configuration.voters, member.incarnation) {
                Standing::Voter
            } else if lists(&configuration.outgoing, member.incarnation) {
                Standing::Outgoing
            } else {
                Standing::Learner
            },
            matched: matched.get(&member.incarnation).copied().unwrap_or_default(),
            last_ack: if member.incarnation == me {
                Some(Duration::ZERO)
            } else {
                self.host.last_ack(member.incarnation)
            },
            silent_for: if member.incarnation == me {
                Duration::ZERO
            } else {
                self.host.silent_for(member.incarnation)
            },
        };
        configuration.members().into_iter().map(progress).collect()
    }

    fn watch(&self) -> Box<dyn ControlPlaneWatch> {
        Box::new(self.host.board.watch())
    }

    async fn transfer_leadership(&self, to: &MemberId) -> Result<(), TransferError> {
        if let Some(reason) = self.host.halted() {
            return Err(TransferError::Stopped { reason });
        }
        let view = self.host.view();
        if view.role != ControlPlaneRole::Leader {
            return Err(TransferError::NotLeader { leader: self.elsewhere(view.leader) });
        }
        let (_, configuration) = &*self.host.newest_configuration();
        let target = configuration.voters.iter().find(|m| m.id == *to && m.incarnation != self.host.me());
        let Some(target) = target else { return Err(TransferError::NotAVoter { to: to.clone() }) };
        if hand_over(&self.host, self.engine.as_ref(), target.incarnation).await {
            return Ok(());
        }
        match (self.host.halted(), self.host.view()) {
            (Some(reason), _) => Err(TransferError::Stopped { reason }),
            (None, now) if now.role != ControlPlaneRole::Leader => {
                Err(TransferError::NotLeader { leader: self.elsewhere(now.leader) })
            }
            (None, _) => Err(TransferError::TimedOut { to: to.clone() }),
        }
    }

    async fn shutdown(&self) -> Result<(), ShutdownError> {
        let ending = self
            .ending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| leaving::begin(Arc::clone(&self.host), Arc::clone(&self.engine)))
            .clone();
        ending.await.map_err(|failure| ShutdownError(Box::new(failure)))
    }
}

#[cfg(test)]
mod tests;
