//! The leader's book: to whom it has granted, and what still has to wait for whom.

use crate::follow::{FollowError, effects};
use crate::instant::{Monotonic, Policy};
use crate::lease::{Coverage, Renewal};
use crate::wait::{Awaiting, Blocker, Blockers, Withheld};
use cp_catalog::{
    Catalog, Change, Changes, ClosedGate, Command, Epoch, Evidence, Join, MemberLife, OwnershipCommand, Range,
    RangeEffect, RangeKey, RangeStanding,
};
#[cfg(planted_bugs)]
use cp_seam::planted::{Bug, active};
use cp_seam::{ControlPlaneLogIndex, Incarnation, MemberId, Term};
use std::collections::BTreeMap;
use std::time::Duration;

/// The leases that a leader grants in one term: in memory only, and begun anew by the next.
///
/// It holds one record per member and one per range whose ownership moved less than a
/// lease ago. A member's record stands for all that the member owns, so a renewal costs
/// the same for ten ranges and for ten thousand.
#[derive(Debug, Clone)]
pub struct Grants {
    term: Term,
    policy: Policy,
    /// From its beginning to when the leases of all earlier leaders are over.
    settling: Duration,
    begun: Monotonic,
    as_of: ControlPlaneLogIndex,
    /// At `as_of`.
    catalog: Catalog,
    members: BTreeMap<MemberId, Granted>,
    /// Gates that were closed under the epoch that the range still has.
    closed: BTreeMap<RangeKey, Epoch>,
}

#[derive(Debug, Clone, Default)]
struct Granted {
    /// Whom the latest grant was for.
    life: Option<Incarnation>,
    /// From when the latest grant counts.
    from: Option<Monotonic>,
    /// When the leases of its earlier life are over.
    not_before: Monotonic,
    /// Of ranges that it owns.
    awaiting: BTreeMap<RangeKey, Blockers>,
}

/// Why a member was granted nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantRefusal {
    /// It is none in the catalog, has not joined, or is in another life.
    #[error("{}{} is no joined member; grant to the life that the catalog has", .life.id, .life.incarnation)]
    NotAMember {
        /// Who asked.
        life: MemberLife,
    },
    /// It is too long ago that this node was known to lead.
    #[error("leadership was confirmed {age:?} ago, leases last {length:?}; make a read barrier, then grant")]
    Unconfirmed {
        /// How long ago.
        age: Duration,
        /// How long a lease is.
        length: Duration,
    },
    /// An earlier life of the member may still write.
    #[error("an earlier life of {member} may hold a lease for {remaining:?}; ask again then")]
    EarlierLife {
        /// Who.
        member: MemberId,
        /// For how long.
        remaining: Duration,
    },
}

impl Grants {
    /// A book for a leader that was just elected in `term`.
    ///
    /// `catalog`, at `as_of`, reflects all that earlier leaders committed: read it after a
    /// read barrier in this term. `now` is read after the election. Until a lease and a
    /// margin have passed, only leases that are in effect are renewed, since predecessors
    /// may have left others: nothing that moved takes effect, unless its former owner is
    /// known to have stopped.
    ///
    /// The longest lease that predecessors may have granted is the catalog's, and this leader
    /// grants none that is longer, whatever its `policy`.
    pub fn begin(term: Term, as_of: ControlPlaneLogIndex, catalog: Catalog, policy: Policy, now: Monotonic) -> Self {
        let longest = catalog.longest_lease();
        let (policy, settling) = (policy.clamped(longest), policy.settling(longest));
        Self { term, policy, settling, begun: now, as_of, catalog, members: BTreeMap::new(), closed: BTreeMap::new() }
    }

    /// When the leases of all earlier leaders are over.
    pub fn settles_at(&self) -> Monotonic {
        #[cfg(planted_bugs)]
        if active(Bug::LeaderDoesNotWait) {
            return self.begun;
        }
        self.begun.saturating_add(self.settling)
    }

    /// The term that it is for.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The ranges whose owners have to wait for an earlier one at `now`, apart from what all
    /// wait for before [`settles_at`](Self::settles_at). By owner, then by range.
    pub fn awaiting(&self, now: Monotonic) -> impl Iterator<Item = Awaiting> {
        let awaiting = self.members.values().flat_map(|granted| &granted.awaiting);
        awaiting.filter_map(move |(range, blockers)| {
            let (last, standing) = (blockers.last(now)?, self.range(range)?.standing());
            let (earlier, remaining) = (last.owner.clone(), last.until.since(now));
            Some(Awaiting { range: range.clone(), owner: standing.owner, epoch: standing.epoch, earlier, remaining })
        })
    }

    /// Where to ask for changes from.
    pub fn next(&self) -> ControlPlaneLogIndex {
        self.as_of.next()
    }

    /// Follows the catalog: `catalog` at index `at`, and the `changes` from [`next`](Self::next)
    /// on, at least up to `at`. A catalog that is no newer is ignored.
    ///
    /// Errors: [`FollowError`], and nothing has changed. If changes are no longer kept,
    /// [`begin`](Self::begin) anew, and wait anew.
    pub fn follow(&mut self, at: ControlPlaneLogIndex, catalog: Catalog, changes: &Changes) -> Result<(), FollowError> {
        let (effects, reached) = effects(changes, self.as_of)?;
        if at <= self.as_of {
            return Ok(());
        }
        if reached < at {
            return Err(FollowError::Short { reached, at });
        }
        let mut seen = Seen { catalog: std::mem::take(&mut self.catalog), news: BTreeMap::new() };
        for (change, effect) in effects.take_while(|(change, _)| change.position.index <= at) {
            match effect {
                RangeEffect::At { range, now } => self.stands(&mut seen, range, now, closed_by(change, range)),
                RangeEffect::Split { lower, lower_now, upper, upper_now } => {
                    self.stands(&mut seen, lower, lower_now, None);
                    let parent = self.granted(&lower_now.owner).awaiting.get(lower).cloned();
                    if let Some(blockers) = parent {
                        self.granted(&upper_now.owner).awaiting.insert(upper.clone(), blockers);
                    }
                    seen.news.insert(upper.clone(), upper_now.clone());
                }
                RangeEffect::Merged { survivor, now, retired } => {
                    let joined = self.joined(&seen, survivor, retired, now.epoch);
                    self.granted(&now.owner).awaiting.remove(retired);
                    self.closed.remove(retired);
                    if let Some(blockers) = joined {
                        self.granted(&now.owner).awaiting.insert(survivor.clone(), blockers);
                    }
                    self.stands(&mut seen, survivor, now, None);
                }
            }
        }
        self.catalog = catalog;
        self.as_of = at;
        Ok(())
    }

    /// Notes where a range stands now, and for whom its owner has to wait.
    fn stands(&mut self, seen: &mut Seen, range: &RangeKey, now: &RangeStanding, closed: Option<Epoch>) {
        let before = seen.news.insert(range.clone(), now.clone()).or_else(|| seen.standing(range));
        match before {
            // Nobody owned its keys before.
            None => {
                self.granted(&now.owner).awaiting.insert(range.clone(), Blockers::default());
            }
            Some(before) if before.owner != now.owner => {
                let mut blockers = self.blockers(range, &before);
                let until = self.over_at(&before.owner);
                #[cfg(planted_bugs)]
                let until = if active(Bug::PromotionDoesNotWait) { self.begun } else { until };
                blockers.push(Blocker { epoch: before.epoch, owner: before.owner.clone(), until });
                if let Some(epoch) = closed.max(self.closed.remove(range)) {
                    blockers.lift(epoch);
                }
                self.granted(&before.owner).awaiting.remove(range);
                self.granted(&now.owner).awaiting.insert(range.clone(), blockers);
            }
            Some(before) if before.epoch != now.epoch => {
                self.closed.remove(range);
            }
            Some(_) => {}
        }
    }

    /// What the union of two ranges of one owner waits for; `None` if only for what all wait for.
    ///
    /// A gate that was closed for one part says nothing of the other, so only one of the
    /// union, under `epoch`, will do.
    fn joined(&self, seen: &Seen, survivor: &RangeKey, retired: &RangeKey, epoch: Epoch) -> Option<Blockers> {
        let of = |range| {
            let standing = seen.news.get(range).cloned().or_else(|| seen.standing(range))?;
            let noted = self.members.get(&standing.owner).is_some_and(|m| m.awaiting.contains_key(range));
            Some((self.blockers(range, &standing), noted))
        };
        let ((mut one, one_noted), (two, two_noted)) = (of(survivor)?, of(retired)?);
        one.extend(two);
        one.raise(epoch);
        (one_noted || two_noted).then_some(one)
    }

    /// What the owner of a range that has `standing` waits for.
    fn blockers(&self, range: &RangeKey, standing: &RangeStanding) -> Blockers {
        let noted = self.members.get(&standing.owner).and_then(|granted| granted.awaiting.get(range));
        noted.cloned().unwrap_or_else(|| {
            let (epoch, owner, until) = (standing.epoch, standing.owner.clone(), self.settles_at());
            Blockers::from(Blocker { epoch, owner, until })
        })
    }

    /// When every lease that `owner` was granted by this leader is over.
    fn over_at(&self, owner: &MemberId) -> Monotonic {
        let from = self.members.get(owner).and_then(|granted| granted.from);
        // A predecessor may have granted it a longer one.
        let own = from.map(|from| from.saturating_add(self.policy.wait()));
        self.settles_at().max(own.unwrap_or_default())
    }

    fn granted(&mut self, member: &MemberId) -> &mut Granted {
        self.members.entry(member.clone()).or_default()
    }

    /// Renews, by one answer, the leases of all that `life` owns and may write.
    ///
    /// `led_at` is when this node was last known to lead in this term: when it began a read
    /// barrier that succeeded. The lease counts from then, so that one granted by a leader
    /// that has been replaced unawares ends before its successor has waited. Errors:
    /// [`GrantRefusal`]; nothing was granted.
    pub fn grant(&mut self, life: &MemberLife, led_at: Monotonic, now: Monotonic) -> Result<Renewal, GrantRefusal> {
        if !self.is_joined(life) {
            return Err(GrantRefusal::NotAMember { life: life.clone() });
        }
        let (age, length) = (now.since(led_at), self.policy.length());
        let length = length.checked_sub(age).filter(|left| !left.is_zero());
        let length = length.ok_or(GrantRefusal::Unconfirmed { age, length: self.policy.length() })?;
        let (over_at, settled, as_of) = (self.over_at(&life.id), now >= self.settles_at(), self.as_of);
        let granted = self.granted(&life.id);
        if granted.life.replace(life.incarnation).is_some_and(|was| was != life.incarnation) {
            granted.not_before = over_at;
        }
        if now < granted.not_before {
            let remaining = granted.not_before.since(now);
            return Err(GrantRefusal::EarlierLife { member: life.id.clone(), remaining });
        }
        granted.from = granted.from.max(Some(led_at.min(now)));
        if settled {
            granted.awaiting.retain(|_, blockers| !blockers.are_over(now));
        }
        let coverage = if settled { self.owned(life) } else { self.in_effect(life, now) };
        let more_in = self.more_in(life, now);
        Ok(Renewal { term: self.term, owner: life.clone(), as_of, length, coverage, more_in })
    }

    /// How long until the first of the waits is over that keep anything from `life`.
    fn more_in(&self, life: &MemberLife, now: Monotonic) -> Option<Duration> {
        let settles = Some(self.settles_at()).filter(|at| *at > now);
        let awaiting = self.members.get(&life.id).into_iter().flat_map(|granted| granted.awaiting.values());
        let waits = awaiting.filter_map(|blockers| blockers.last(now).map(|last| last.until));
        waits.chain(settles).min().map(|until| until.since(now))
    }

    fn is_joined(&self, life: &MemberLife) -> bool {
        let member = self.catalog.member(&life.id);
        member.is_some_and(|m| m.incarnation == life.incarnation && m.join == Join::Joined)
    }

    fn owned(&self, life: &MemberLife) -> Coverage {
        let awaiting = self.members.get(&life.id).into_iter().flat_map(|granted| granted.awaiting.keys());
        let closed = self.closed.keys().filter(|range| self.range(range).is_some_and(|r| r.owner == life.id));
        let mut withheld: Vec<_> = awaiting.chain(closed).cloned().collect();
        withheld.sort_unstable();
        Coverage::Owned { withheld }
    }

    fn in_effect(&self, life: &MemberLife, now: Monotonic) -> Coverage {
        let awaiting = self.members.get(&life.id).into_iter().flat_map(|granted| &granted.awaiting);
        let over = awaiting.filter(|(range, blockers)| blockers.are_over(now) && !self.closed.contains_key(*range));
        let released = over.filter_map(|(range, _)| Some((range.clone(), self.range(range)?.epoch))).collect();
        Coverage::InEffect { released }
    }

    fn range(&self, range: &RangeKey) -> Option<&Range> {
        self.catalog.range(range)
    }

    /// Whether the owner of `range` under `epoch` may be granted a lease at `now`, which it
    /// need not have yet.
    ///
    /// Guarantees: not before each earlier owner's lease and a margin have passed, or
    /// its gate was closed (CP-S5). Errors: [`Withheld`].
    pub fn may_take_effect(&self, range: &RangeKey, epoch: Epoch, now: Monotonic) -> Result<(), Withheld> {
        let unknown = || Withheld::Unknown { range: range.clone(), as_of: self.as_of };
        let standing = self.range(range).ok_or_else(unknown)?.standing();
        if standing.epoch != epoch {
            return Err(Withheld::OtherEpoch { range: range.clone(), epoch, standing });
        }
        if self.closed.contains_key(range) {
            return Err(Withheld::Closed { range: range.clone(), epoch });
        }
        match self.blockers(range, &standing).last(now) {
            None => Ok(()),
            Some(Blocker { owner, until, .. }) => {
                let (earlier, remaining) = (owner.clone(), until.since(now));
                Err(Withheld::Wait { range: range.clone(), earlier, remaining })
            }
        }
    }

    /// Notes the word of `member` that it has closed a gate, and says whether that matters.
    ///
    /// It does if the member owns the range under that epoch, or is waited for as one that
    /// did; anybody else's word is ignored. The owner is granted no lease under that epoch any
    /// more, and whoever comes next need not wait for it. A transfer that carries the closed
    /// gate as evidence says so by itself.
    pub fn closed(&mut self, member: &MemberLife, gate: &ClosedGate) -> bool {
        let range = &gate.range;
        let Some(standing) = self.range(range).map(Range::standing) else { return false };
        if !self.is_joined(member) {
            return false;
        }
        if gate.epoch == standing.epoch && standing.owner == member.id {
            self.closed.insert(range.clone(), gate.epoch);
            return true;
        }
        let mut blockers = self.blockers(range, &standing);
        if gate.epoch >= standing.epoch || !blockers.name(&member.id, gate.epoch) {
            return false;
        }
        let lifted = blockers.lift(gate.epoch);
        if lifted {
            self.granted(&standing.owner).awaiting.insert(range.clone(), blockers);
        }
        lifted
    }
}

/// The catalog as it was, and what has changed since.
struct Seen {
    catalog: Catalog,
    news: BTreeMap<RangeKey, RangeStanding>,
}

impl Seen {
    fn standing(&self, range: &RangeKey) -> Option<RangeStanding> {
        self.catalog.range(range).map(Range::standing)
    }
}

/// The epoch under which the old owner's gate of `range` was closed, if the change is a transfer that shows it.
fn closed_by(change: &Change, range: &RangeKey) -> Option<Epoch> {
    let Command::Ownership(command) = &change.request.as_ref()?.command else { return None };
    let evidence: Option<&Evidence> = match command {
        OwnershipCommand::Handoff(transfer) | OwnershipCommand::Promote(transfer) => transfer.evidence.as_ref(),
        OwnershipCommand::CompleteMove { evidence, .. } | OwnershipCommand::ResolveMove { evidence, .. } => {
            evidence.as_ref()
        }
        _ => None,
    };
    evidence?.closed_gate.as_ref().filter(|gate| gate.range == *range).map(|gate| gate.epoch)
}
