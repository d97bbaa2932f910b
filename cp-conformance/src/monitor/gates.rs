//! What the data plane does: writes at gates, and renewals of leases.

use super::Monitor;
use crate::life::Life;
use crate::sync::locked;
use cp_catalog::{Bounds, Epoch, RangeKey};
use std::time::Duration;

impl Monitor {
    /// The member of `life` admits, here and now, a write to `range` under `epoch`, of any key
    /// within these bounds.
    pub(crate) fn admits(&self, life: &Life, range: &RangeKey, epoch: Epoch, bounds: &Bounds) {
        if !life.goes_on() {
            return;
        }
        let at = self.trace.elapsed();
        let verdict = locked(&self.books).gates.admits(at, life.slot(), range, epoch, bounds);
        if verdict == Ok(true) {
            self.trace.node(life.slot(), format_args!("opens {range} {bounds} under epoch {epoch}"));
        }
        self.judge(verdict.map(drop));
    }

    /// A gate refused a write.
    pub(crate) fn refuses(&self) {
        locked(&self.books).counts.writes_refused += 1;
    }

    /// A leader answered, with a renewal or because it got no confirmation with none.
    pub(crate) fn answers(&self, confirmed: bool) {
        let mut books = locked(&self.books);
        books.counts.renewals += u64::from(confirmed);
        books.counts.unconfirmed += u64::from(!confirmed);
    }

    /// When the first and the last write to `range` were admitted in `slot` under `epoch`.
    pub(crate) fn written(&self, slot: usize, range: &RangeKey, epoch: Epoch) -> Option<(Duration, Duration)> {
        locked(&self.books).gates.span(slot, range, epoch)
    }
}
