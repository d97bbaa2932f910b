//! What single nodes came to: restarted, left behind, idle.

use crate::latency::median;
use crate::ours::{CaughtUp, LogLen, Restarted};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use xtask_cluster::Memory;
use xtask_cluster::memory::mebibytes;

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Lengths of a log are not met to the entry.
fn near(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= other / 20 + 100
}

/// A follower that was killed and started, again and again, with the same log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Restart {
    pub(crate) subject: String,
    /// Entries retained up to the snapshot, by its directory.
    pub(crate) before: u64,
    /// Entries committed after it.
    pub(crate) after: u64,
    /// From the start of the process until it answered with all of them applied.
    pub(crate) applied_ms: Vec<f64>,
    /// Until it also knew its leader.
    pub(crate) following_ms: Vec<f64>,
}

impl Restart {
    pub(crate) fn new(subject: &str) -> Self {
        let (applied_ms, following_ms) = (Vec::new(), Vec::new());
        Self { subject: subject.to_owned(), before: 0, after: 0, applied_ms, following_ms }
    }

    pub(crate) fn add(&mut self, log: LogLen, took: Restarted) {
        (self.before, self.after) = (log.before, log.after);
        self.applied_ms.push(millis(took.applied));
        self.following_ms.push(millis(took.following));
    }

    pub(crate) fn median_applied_ms(&self) -> f64 {
        median(&self.applied_ms)
    }

    pub(crate) fn median_following_ms(&self) -> f64 {
        median(&self.following_ms)
    }

    /// Whether both have a log of about the same length.
    pub(super) fn is_like(&self, before: u64, after: u64) -> bool {
        near(self.before, before) && near(self.after, after)
    }
}

/// From what a node catches up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// All that it misses is in the leader's log.
    Log,
    /// The leader's log begins after what it has.
    Snapshot,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "the log",
            Self::Snapshot => "a snapshot",
        })
    }
}

/// A follower that was left behind again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CatchUp {
    pub(crate) subject: String,
    pub(crate) source: Source,
    pub(crate) rounds: Vec<Caught>,
}

/// One time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Caught {
    /// How many entries it was behind.
    pub(crate) entries: u64,
    /// From the start of its process until it had them.
    pub(crate) from_start_ms: f64,
    /// From its first acknowledgement.
    pub(crate) from_ack_ms: f64,
    /// How many it had still to get at that.
    pub(crate) from_ack_entries: u64,
    /// The length of the snapshot that it had afterwards.
    pub(crate) snapshot_bytes: u64,
}

impl CatchUp {
    pub(crate) fn new(subject: &str, source: Source) -> Self {
        Self { subject: subject.to_owned(), source, rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, caught: &CaughtUp) {
        let (from_ack, from_ack_entries) = caught.from_ack;
        self.rounds.push(Caught {
            entries: caught.entries,
            from_start_ms: millis(caught.from_start),
            from_ack_ms: millis(from_ack),
            from_ack_entries,
            snapshot_bytes: caught.snapshot_bytes,
        });
    }

    fn each(&self, of: impl Fn(&Caught) -> f64) -> Vec<f64> {
        self.rounds.iter().map(of).collect()
    }

    pub(crate) fn median(&self, of: impl Fn(&Caught) -> f64) -> f64 {
        median(&self.each(of))
    }

    pub(crate) fn times_ms(&self) -> Vec<f64> {
        self.each(|caught| caught.from_start_ms)
    }

    /// Entries a second from its first acknowledgement on; from a snapshot there is no such rate.
    pub(crate) fn rates(&self) -> Vec<f64> {
        match self.source {
            Source::Log => self.each(|caught| caught.from_ack_entries as f64 / caught.from_ack_ms * 1e3),
            Source::Snapshot => Vec::new(),
        }
    }
}

/// Which of a cluster's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Leader,
    Follower,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
        })
    }
}

/// What an idle node holds in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) subject: String,
    pub(crate) role: Role,
    pub(crate) ranges: u64,
    /// How many entries it has applied, or found applied in a snapshot.
    pub(crate) entries: u64,
    /// All that is in RAM, its program included.
    pub(crate) resident_mib: f64,
    /// What it has allocated.
    pub(crate) anonymous_mib: f64,
}

impl Held {
    pub(crate) fn new(subject: &str, role: Role, (ranges, entries): (u64, u64), memory: Memory) -> Self {
        let (resident_mib, anonymous_mib) = (mebibytes(memory.resident), mebibytes(memory.anonymous));
        Self { subject: subject.to_owned(), role, ranges, entries, resident_mib, anonymous_mib }
    }

    /// Whether both are of the same kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same = self.subject == other.subject && self.role == other.role && self.ranges == other.ranges;
        same && near(self.entries, other.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_what_was_still_to_come() {
        let mut series = CatchUp::new("one", Source::Log);
        let (from_start, from_ack) = (Duration::from_secs(3), (Duration::from_secs(2), 500));
        series.add(&CaughtUp { entries: 600, from_start, from_ack, snapshot_bytes: 0 });
        assert_eq!(series.rates(), [250.0]);
        assert_eq!(series.times_ms(), [3000.0]);
    }

    #[test]
    fn a_length_is_not_met_to_the_entry() {
        let restart = Restart { before: 1_000_513, after: 10_002, ..Restart::new("one") };
        assert!(restart.is_like(1_000_000, 10_000));
        assert!(!restart.is_like(1_000_000, 0));
        assert!(!restart.is_like(0, 10_000));
    }
}
