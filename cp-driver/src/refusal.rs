//! Whether this node serves, why it does not, and what it publishes of itself.

use crate::host::Host;
use cp_seam::{ControlPlaneRole, ControlPlaneStatus, Incarnation, LogPosition, ProposeRefusal, Quorum};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The last comparison of the newest configuration with the wanted quorum; a thousand
/// members need not be compared at every commit.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    at: LogPosition,
    wanted: Arc<Quorum>,
    alike: bool,
}

impl Host {
    /// Answers within a window shorter than T count, so that a cut-off leader has
    /// refused before T is over (CP-P2).
    pub(crate) fn quorum_window(&self) -> Duration {
        self.settings().election_timeout * 3 / 4
    }

    /// Whether a quorum of the newest configuration has answered this leader lately, or
    /// it has only begun to lead (CP-P2).
    pub fn in_touch(&self) -> bool {
        let newest = self.newest_configuration();
        self.books().contacts.has_quorum(&newest.1, self.me(), self.quorum_window(), Instant::now())
    }

    /// Why this node would refuse a proposal now (CP-P1, CP-P2, CP-L2); `None` if it serves.
    pub(crate) fn refusal(&self) -> Option<ProposeRefusal> {
        if let Some(reason) = self.halted() {
            return Some(ProposeRefusal::Stopped { reason });
        }
        let view = self.view();
        if view.role != ControlPlaneRole::Leader {
            let cut_off = self.books().cut_off && view.leader.is_none();
            let leader = view.leader.filter(|leader| *leader != self.me()).and_then(|leader| self.name(leader));
            return Some(if cut_off { ProposeRefusal::NoQuorum } else { ProposeRefusal::NotLeader { leader } });
        }
        if let Some(stalled) = self.disk_stalled() {
            let stalled_ms = u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX);
            return Some(ProposeRefusal::DiskStalled { stalled_ms });
        }
        let in_touch = self.in_touch();
        // A fresh leader serves once a record of its own term is committed (CP-P4 rests on it too):
        // no reads before, also while it hands over.
        let fresh = self.store().term_at(self.durable_committed()) != Some(view.term);
        let now = Instant::now();
        let mut books = self.books();
        if books.disputed.is_some() || !in_touch || fresh {
            return Some(ProposeRefusal::NoQuorum);
        }
        if let Some((to, until)) = books.transfer {
            if now < until {
                drop(books);
                return Some(self.name(to).map_or(ProposeRefusal::Busy, |to| ProposeRefusal::Transferring { to }));
            }
            books.transfer = None;
        }
        None
    }

    /// Refuses proposals while `to` is asked to take over, for at most T.
    pub(crate) fn begin_transfer(&self, to: Incarnation) {
        let until = Instant::now() + self.settings().election_timeout;
        self.books().transfer = Some((to, until));
        self.refresh();
    }

    pub(crate) fn end_transfer(&self) {
        self.books().transfer = None;
        self.refresh();
    }

    /// Recomputes the published status.
    pub(crate) fn refresh(&self) {
        // One at a time, or a status made earlier could be posted later, and stay.
        let mut turn = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        // Why it differs is noted before it stops.
        let stopped = self.halted();
        // Applied before committed, so that it is never above; and with what is wanted there, so
        // that nobody who waits for an entry to be applied sees it settled before it has begun.
        let (applied, wanted, diverged_at) = {
            let books = self.books();
            (books.applied.0, books.wanted.clone(), books.differing.get(&self.me()).copied())
        };
        let committed = self.durable_committed();
        let newest = self.newest_configuration();
        if turn.at != newest.0 || !Arc::ptr_eq(&turn.wanted, &wanted) {
            *turn = Compared { at: newest.0, alike: newest.1.is(&wanted), wanted };
        }
        let view = self.view();
        let over = stopped.is_some();
        let role = if over { ControlPlaneRole::Follower } else { view.role };
        self.board.post(ControlPlaneStatus {
            role,
            term: view.term,
            leader: self.leader_name(),
            serving: self.refusal().is_none(),
            committed,
            applied,
            settled: newest.0.index <= committed && turn.alike,
            stopped,
            diverged_at,
        });
        self.waiting.wake(applied, self.store().term_at(applied), over);
    }
}
