//! How requests for leases have fared at a desk.

use super::desk::Refused;
use cp_lease::GrantRefusal;
use std::sync::atomic::{AtomicU64, Ordering};

/// How requests for leases have fared since the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Renewals granted.
    pub granted: u64,
    /// Read barriers made for them.
    pub barriers: u64,
    /// Gates noted as closed.
    pub closed: u64,
    /// Refused, for want of a leader here.
    pub not_leader: u64,
    /// Refused, for want of a quorum that confirms this leader in time.
    pub unconfirmed: u64,
    /// Refused to one that is no member, or in another life.
    pub not_a_member: u64,
    /// Refused while an earlier life may hold a lease.
    pub earlier_life: u64,
    /// Refused to one whose certificate is no member's.
    pub denied: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    granted: AtomicU64,
    closed: AtomicU64,
    not_leader: AtomicU64,
    unconfirmed: AtomicU64,
    not_a_member: AtomicU64,
    earlier_life: AtomicU64,
    denied: AtomicU64,
}

impl Counters {
    pub(super) fn granted(&self) {
        self.granted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: &Refused) {
        let counter = match why {
            Refused::NotLeader { .. } => &self.not_leader,
            Refused::Grant(GrantRefusal::NotAMember { .. }) => &self.not_a_member,
            Refused::Grant(GrantRefusal::EarlierLife { .. }) => &self.earlier_life,
            _ => &self.unconfirmed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, barriers: u64) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            granted: of(&self.granted),
            barriers,
            closed: of(&self.closed),
            not_leader: of(&self.not_leader),
            unconfirmed: of(&self.unconfirmed),
            not_a_member: of(&self.not_a_member),
            earlier_life: of(&self.earlier_life),
            denied: of(&self.denied),
        }
    }
}
