//! The leader's desk: where members have their leases renewed.

use super::Terms;
use super::clock::Clock;
use super::counts::{Counters, Counts};
use super::rounds::{Led, Rounds};
use cp_catalog::{Catalog, CatalogMachine, Changes, ClosedGate, Epoch, MemberLife, RangeKey};
use cp_lease::{Awaiting, BadPolicy, FollowError, GrantRefusal, Grants, Policy, Renewal, Withheld};
use cp_seam::{ControlPlaneConsensus, ControlPlaneRole, MemberId, ReadError, Term};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Grants leases while its node leads, in memory only.
///
/// Its book is begun after a read barrier in the term, begun anew with every term or when
/// changes are no longer kept, and dropped when the node leads no longer. Every answer rests on
/// a read barrier that began after it was asked for; one barrier serves all that wait.
#[derive(Debug)]
pub struct Desk {
    consensus: Arc<dyn ControlPlaneConsensus>,
    machine: CatalogMachine,
    terms: Terms,
    clock: Arc<dyn Clock>,
    rounds: Rounds,
    book: Mutex<Option<Grants>>,
    counters: Counters,
}

/// Why a desk did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another node leads, or none does. Go to `leader` if it is named.
    #[error("this node does not lead; {}", leader.as_ref().map_or_else(|| "no leader is known, try again shortly".to_owned(), |l| format!("ask {l}")))]
    NotLeader {
        /// Who leads, if known.
        leader: Option<MemberId>,
    },
    /// No quorum has confirmed that this node leads.
    #[error("no quorum has confirmed in time that this node leads; try again, or at another member")]
    Unconfirmed,
    /// The node has stopped.
    #[error("this node has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// What this node chose of leases is nothing that its cluster can have.
    #[error("this node is set up for leases that do not fit its cluster: {0}")]
    Policy(#[from] BadPolicy),
    /// The book refuses.
    #[error(transparent)]
    Grant(#[from] GrantRefusal),
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotLeader { leader } => Self::NotLeader { leader },
            ReadError::Stopped { reason } => Self::Stopped { reason },
            _ => Self::Unconfirmed,
        }
    }
}

/// How a leader's desk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskStatus {
    /// The term that its book is for.
    pub term: Term,
    /// How long until the leases of all earlier leaders are over.
    pub settles_in: Duration,
    /// How many ranges wait for an earlier owner besides.
    pub awaiting: usize,
}

impl Desk {
    pub(crate) fn new(
        consensus: Arc<dyn ControlPlaneConsensus>,
        machine: CatalogMachine,
        terms: Terms,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (rounds, book, counters) = (Rounds::default(), Mutex::default(), Counters::default());
        Self { consensus, machine, terms, clock, rounds, book, counters }
    }

    /// How long leases are here, by the longest that the state has.
    pub fn policy(&self) -> Result<Policy, BadPolicy> {
        self.terms.policy(self.machine.read(Catalog::longest_lease))
    }

    /// Renews, by one answer, the leases of all that `life` owns and may write.
    ///
    /// Guarantees: [`Grants::grant`]'s; what it rests on is a read barrier that began after the
    /// call. Errors: [`Refused`]; nothing was granted. Dropping the future grants nothing that
    /// anybody would count on.
    pub async fn renew(&self, life: &MemberLife) -> Result<Renewal, Refused> {
        let granted = match self.confirm().await {
            Ok(led) => self.with_book(led, |grants| Ok(grants.grant(life, led.at, self.clock.now())?)),
            Err(refused) => Err(refused),
        };
        match &granted {
            Ok(_) => self.counters.granted(),
            Err(refused) => self.counters.refused(refused),
        }
        granted
    }

    /// Notes the word of `life` that it has closed a gate, and says whether that matters; see [`Grants::closed`]. The caller has made sure that it is its own word.
    ///
    /// Errors: [`Refused`]; nothing was noted. Dropping the future leaves open whether it was.
    pub async fn close(&self, life: &MemberLife, gate: &ClosedGate) -> Result<bool, Refused> {
        let noted = match self.confirm().await {
            Ok(led) => self.with_book(led, |grants| Ok(grants.closed(life, gate))),
            Err(refused) => Err(refused),
        };
        match &noted {
            Ok(true) => self.counters.closed(),
            Ok(false) => {}
            Err(refused) => self.counters.refused(refused),
        }
        noted
    }

    /// Whether the owner of `range` under `epoch` may be granted a lease now; see
    /// [`Grants::may_take_effect`]. By the book as it is: `None` where there is none.
    pub fn may_take_effect(&self, range: &RangeKey, epoch: Epoch) -> Option<Result<(), Withheld>> {
        let book = self.book();
        self.present(&book).map(|grants| grants.may_take_effect(range, epoch, self.clock.now()))
    }

    /// Up to `count_max` ranges whose owners wait for an earlier one, apart from what all wait
    /// for until the desk has settled. By the book as it is: `None` where there is none.
    pub fn awaiting(&self, count_max: usize) -> Option<Vec<Awaiting>> {
        let book = self.book();
        self.present(&book).map(|grants| grants.awaiting(self.clock.now()).take(count_max).collect())
    }

    /// How it is; `None` while this node does not lead.
    pub fn status(&self) -> Option<DeskStatus> {
        let book = self.book();
        let (grants, now) = (self.present(&book)?, self.clock.now());
        let (term, settles_in, awaiting) =
            (grants.term(), grants.settles_at().since(now), grants.awaiting(now).count());
        Some(DeskStatus { term, settles_in, awaiting })
    }

    /// The book, if it is of the term in which this node leads. A barrier that succeeded just before
    /// leadership was lost may have left one behind.
    fn present<'a>(&self, book: &'a Option<Grants>) -> Option<&'a Grants> {
        let leads = self.consensus.role() == ControlPlaneRole::Leader;
        book.as_ref().filter(|grants| leads && grants.term() == self.consensus.term())
    }

    /// Counts a request by one that is no member.
    pub(crate) fn note_denied(&self) {
        self.counters.denied();
    }

    /// How requests have fared.
    pub fn counts(&self) -> Counts {
        self.counters.read(self.rounds.begun())
    }

    /// Keeps the book until the node stops: begins it when the node leads, follows the catalog
    /// although nobody asks, and drops it. Without it a book is begun by the first request, and
    /// what moves has to wait for longer.
    pub async fn run(&self) {
        let mut watch = self.consensus.watch();
        let longest = self.machine.read(Catalog::longest_lease).length();
        let mut ticks = interval(self.policy().map_or(longest, |policy| policy.length()) / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kept = None;
        loop {
            let status = watch.current();
            if status.stopped.is_some() {
                return self.drop_book();
            }
            let leads = status.role == ControlPlaneRole::Leader;
            if !leads {
                self.drop_book();
            }
            let due = (leads && status.serving).then_some(status.term);
            if due.is_some() && due != kept {
                kept = match self.confirm().await.and_then(|led| self.with_book(led, |_| Ok(led.term))) {
                    Ok(term) => Some(term),
                    Err(refused) => {
                        tracing::debug!(%refused, "no book of leases yet");
                        None
                    }
                };
            } else if due.is_none() {
                kept = None;
            }
            let changed = async {
                // Until there is a book, every commit is an occasion to try again.
                if due == kept { watch.changed_beyond_indexes().await } else { watch.changed().await }
            };
            tokio::select! {
                changed = changed => if changed.is_err() { return self.drop_book() },
                _ = ticks.tick() => {
                    // Only what a confirmed leader has begun is followed; the rest waits for its barrier.
                    kept = kept.filter(|term| self.follow(*term));
                }
            }
        }
    }

    async fn confirm(&self) -> Result<Led, Refused> {
        Ok(self.rounds.confirm(&self.consensus, &self.clock).await?)
    }

    fn book(&self) -> MutexGuard<'_, Option<Grants>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_book(&self) {
        *self.book() = None;
    }

    /// Has the book of `term` follow the catalog; `false` if there is none, or it could not.
    fn follow(&self, term: Term) -> bool {
        let mut book = self.book();
        book.as_mut().filter(|grants| grants.term() == term).is_some_and(|grants| self.caught_up(grants).is_ok())
    }

    /// Asks the book of the term in which this node `led`, once it knows what the catalog knows.
    fn with_book<T>(&self, led: Led, ask: impl FnOnce(&mut Grants) -> Result<T, Refused>) -> Result<T, Refused> {
        let mut book = self.book();
        let grants = match book.take() {
            Some(mut grants) if grants.term() == led.term => match self.caught_up(&mut grants) {
                Ok(()) => grants,
                Err(Lost::Led) => return Err(Refused::NotLeader { leader: self.consensus.leader() }),
                Err(Lost::Changes) => self.begun(led.term)?,
            },
            Some(newer) if newer.term() > led.term => {
                *book = Some(newer);
                return Err(Refused::NotLeader { leader: self.consensus.leader() });
            }
            _ => self.begun(led.term)?,
        };
        ask(book.insert(grants))
    }

    /// A book begun now: what is applied here by now was confirmed in `term`.
    fn begun(&self, term: Term) -> Result<Grants, BadPolicy> {
        let (at, catalog) = self.machine.read_at(|at, catalog| (at, catalog.clone()));
        let policy = self.terms.policy(catalog.longest_lease())?;
        Ok(Grants::begin(term, at, catalog, policy, self.clock.now()))
    }

    fn caught_up(&self, grants: &mut Grants) -> Result<(), Lost> {
        let (at, catalog) = self.machine.read_at(|at, catalog| (at, catalog.clone()));
        let changes = self.machine.changes_from(grants.next(), usize::MAX);
        // Somebody else has led since.
        if let Changes::Items { items, .. } = &changes
            && items.last().is_some_and(|change| change.position.term > grants.term())
        {
            return Err(Lost::Led);
        }
        grants.follow(at, catalog, &changes).map_err(|error: FollowError| {
            tracing::info!(%error, "the book of leases begins anew");
            Lost::Changes
        })
    }
}

/// Why a book cannot go on.
enum Lost {
    /// Another leader has committed something.
    Led,
    /// Changes are no longer kept.
    Changes,
}
