//! Who is alive, by what was heard and when.

use cp_seam::MemberId;
use std::collections::BTreeMap;

/// When a member counts as failing, and when as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthSettings {
    /// Silence for which nothing is left of its liveness.
    pub silence_max_ms: u64,
    /// Lag at which nothing is left of its score for lag, in any unit.
    pub lag_max: u64,
    /// Below this score, in thousandths, it is failing.
    pub healthy_min: u64,
    /// Failing for so long without a break, it has failed.
    pub fail_after_ms: u64,
}

impl Default for HealthSettings {
    /// Silent after 10 s; failing below half the score; failed after 30 s of that.
    fn default() -> Self {
        Self { silence_max_ms: 10_000, lag_max: 10_000, healthy_min: 500, fail_after_ms: 30_000 }
    }
}

/// What a member has said, or was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// How far it is behind, in the unit of [`HealthSettings::lag_max`].
    pub lag: u64,
    /// Of a thousand of its requests, how many failed.
    pub errors_per_mille: u64,
}

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It was never heard from, and not awaited for long. It is not healthy.
    Unheard,
    /// Its score is high enough.
    Healthy,
    /// Its score is too low, not yet for long enough.
    Failing {
        /// Since when without a break.
        since_ms: u64,
    },
    /// Its score has been too low for long enough to act, or it was awaited that long and
    /// never heard from.
    Failed {
        /// Since when without a break.
        since_ms: u64,
    },
}

/// What was heard of each member. It has no clock: every call says what time it is, in
/// milliseconds of a clock that never goes back.
///
/// A member's score is 70 % liveness, which falls to nothing over
/// [`HealthSettings::silence_max_ms`] of silence, 20 % lag and 10 % errors.
///
/// ```
/// use cp_catalog::plan::{Condition, Health, HealthSettings, Heard};
/// let member = "a".parse()?;
/// let mut health = Health::new(HealthSettings::default());
/// assert_eq!(health.condition(&member, 0), Condition::Unheard);
/// health.observe(&member, 1_000, Heard::default());
/// assert_eq!(health.condition(&member, 2_000), Condition::Healthy);
/// assert!(matches!(health.condition(&member, 60_000), Condition::Failed { .. }));
/// # Ok::<(), cp_seam::BadMemberId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    settings: HealthSettings,
    records: BTreeMap<MemberId, Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    awaited_ms: u64,
    last: Option<(u64, Heard)>,
    /// Failing since before it was last heard, which has not mended it.
    failing_ms: Option<u64>,
}

impl Health {
    /// A book in which nobody is yet.
    pub fn new(settings: HealthSettings) -> Self {
        Self { settings, records: BTreeMap::new() }
    }

    /// What it judges by.
    pub fn settings(&self) -> &HealthSettings {
        &self.settings
    }

    /// Notes that `member` should be heard from. Idempotent.
    pub fn expect(&mut self, member: &MemberId, now_ms: u64) {
        let fresh = Record { awaited_ms: now_ms, last: None, failing_ms: None };
        self.records.entry(member.clone()).or_insert(fresh);
    }

    /// Notes that `member` was heard from. What is older than the last word is ignored.
    pub fn observe(&mut self, member: &MemberId, now_ms: u64, heard: Heard) {
        self.expect(member, now_ms);
        let settings = self.settings;
        let Some(record) = self.records.get_mut(member) else { return };
        if record.last.is_some_and(|(at, _)| now_ms < at) {
            return;
        }
        let since = settings.failing_from(record).filter(|since| *since <= now_ms);
        record.last = Some((now_ms, heard));
        let mended = settings.score(0, heard) >= settings.healthy_min;
        record.failing_ms = (!mended).then_some(since.unwrap_or(now_ms));
    }

    /// Forgets a member that has been removed.
    pub fn forget(&mut self, member: &MemberId) {
        self.records.remove(member);
    }

    /// The member's score in thousandths; nothing if it was never heard from.
    pub fn score(&self, member: &MemberId, now_ms: u64) -> u64 {
        let last = self.records.get(member).and_then(|record| record.last);
        last.map_or(0, |(at, heard)| self.settings.score(now_ms.saturating_sub(at), heard))
    }

    /// How `member` is. Who was never heard from is not healthy.
    pub fn condition(&self, member: &MemberId, now_ms: u64) -> Condition {
        let Some(record) = self.records.get(member) else { return Condition::Unheard };
        let since = self.settings.failing_from(record).filter(|since| *since <= now_ms);
        match since {
            Some(since_ms) if now_ms.saturating_sub(since_ms) >= self.settings.fail_after_ms => {
                Condition::Failed { since_ms }
            }
            _ if record.last.is_none() => Condition::Unheard,
            Some(since_ms) => Condition::Failing { since_ms },
            None => Condition::Healthy,
        }
    }
}

impl HealthSettings {
    fn score(&self, silent_ms: u64, heard: Heard) -> u64 {
        let liveness = per_mille_left(silent_ms, self.silence_max_ms);
        liveness.saturating_mul(7).saturating_add(self.rest(heard)).checked_div(10).unwrap_or_default()
    }

    /// What lag and errors leave, of 3000.
    fn rest(&self, heard: Heard) -> u64 {
        let lag = per_mille_left(heard.lag, self.lag_max).saturating_mul(2);
        lag.saturating_add(1000_u64.saturating_sub(heard.errors_per_mille))
    }

    /// When the member began to fail, or will if nothing more is heard from it.
    fn failing_from(&self, record: &Record) -> Option<u64> {
        let Some((at, heard)) = record.last else { return Some(record.awaited_ms) };
        if record.failing_ms.is_some() {
            return record.failing_ms;
        }
        // The least liveness with which it is healthy.
        let needed = self.healthy_min.saturating_mul(10).saturating_sub(self.rest(heard)).div_ceil(7);
        let spare = u128::from(1000_u64.saturating_sub(needed));
        let silent_max = spare.saturating_mul(u128::from(self.silence_max_ms)).checked_div(1000).unwrap_or_default();
        let silent_max = u64::try_from(silent_max).unwrap_or(u64::MAX);
        (needed > 0).then(|| at.saturating_add(silent_max).saturating_add(1))
    }
}

/// How much of 1000 is left at `value`, falling evenly to nothing at `max`.
fn per_mille_left(value: u64, max: u64) -> u64 {
    let left = u128::from(max.saturating_sub(value)).saturating_mul(1000).checked_div(u128::from(max));
    left.and_then(|left| u64::try_from(left).ok()).unwrap_or_default()
}
