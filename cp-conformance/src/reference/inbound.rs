//! Following: what a leader sends.

use super::core::{Core, Role};
use super::wire::{Append, Body};
use cp_seam::Incarnation;

impl Core {
    /// A leader of this term sends records, or only says that it is there.
    pub(super) fn append_from(&mut self, from: Incarnation, append: Append) {
        if matches!(self.role, Role::Leader(_)) || !self.follow(from) {
            return;
        }
        let Append { after, committed, round, records } = append;
        if self.log.term_at(after.index) != Some(after.term) {
            // What is committed is in every leader's log, so it matches at least up to there.
            let committed = self.log.committed();
            return self.send(from, Body::NotAppended { committed, round });
        }
        let mut end = after.index;
        for record in records {
            end = record.position.index;
            let held = self.log.term_at(end);
            if held == Some(record.position.term) {
                continue;
            }
            #[cfg(planted_bugs)]
            if held.is_some() && cp_seam::planted::active(cp_seam::planted::Bug::ConflictKept) {
                continue;
            }
            if held.is_some() {
                if end <= self.log.committed() {
                    tracing::warn!(%from, at = %record.position, "it contradicts what is committed");
                    return;
                }
                self.log.truncate(end);
            }
            self.log.append(record);
        }
        // Beyond `end` this node may hold what that leader does not.
        self.log.commit(committed.min(end));
        self.send(from, Body::Appended { up_to: end, round });
    }
}
