//! Time as the caller reads it, and how far it may be wrong.

use cp_catalog::LongestLease;
use std::time::Duration;

/// A reading of one process's monotonic clock, in nanoseconds since an origin
/// that only that process knows.
///
/// Readings of two processes, or of one before and after a restart, have nothing
/// to do with each other, and none is ever sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The reading of so many nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The reading `wait` later; `None` beyond the end of time.
    pub fn checked_add(self, wait: Duration) -> Option<Self> {
        self.0.checked_add(u64::try_from(wait.as_nanos()).ok()?).map(Self)
    }

    /// The reading `wait` later, or the last there is.
    #[must_use]
    pub fn saturating_add(self, wait: Duration) -> Self {
        self.checked_add(wait).unwrap_or(Self(u64::MAX))
    }

    /// How long after `earlier` it is; nothing if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// How far a member's clock may be off true time once a lease is over: at least
/// the lease's length times the worst error of a clock's rate.
///
/// Each end allows for its own clock: the gate closes a margin before the lease
/// ends, the granter waits a margin longer. Neither does the other's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Margin(Duration);

impl Margin {
    /// That much.
    pub const fn new(margin: Duration) -> Self {
        Self(margin)
    }

    /// What clocks whose rate is wrong by up to `parts_per_million` need for leases of `length`, rounded up.
    ///
    /// ```
    /// use cp_lease::Margin;
    /// use std::time::Duration;
    /// assert_eq!(Margin::for_drift(Duration::from_secs(3), 200).length(), Duration::from_micros(600));
    /// ```
    pub fn for_drift(length: Duration, parts_per_million: u32) -> Self {
        let nanos = length.as_nanos().saturating_mul(u128::from(parts_per_million)).div_ceil(1_000_000);
        Self(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        self.0
    }
}

/// How long leases are, and how far a clock may be off at their end. One's own affair: what has to
/// be alike everywhere, the longest lease of the cluster, is in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    length: Duration,
    margin: Margin,
}

/// Why a policy is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPolicy {
    /// Nothing is left of a lease.
    #[error("margin {margin:?} leaves nothing of a lease of {length:?}; make leases longer than the margin")]
    Margin {
        /// The length.
        length: Duration,
        /// The margin.
        margin: Duration,
    },
    /// A successor would not wait for it.
    #[error(
        "a lease of {length:?} is longer than the longest of this cluster, {longest}, which was fixed when it was founded; shorten it"
    )]
    Longest {
        /// The length.
        length: Duration,
        /// The longest.
        longest: LongestLease,
    },
}

impl Policy {
    /// Leases of `length`. The margin is for the clock of whoever has this policy, at the end of
    /// the longest lease of the cluster.
    pub fn new(length: Duration, margin: Margin) -> Result<Self, BadPolicy> {
        if margin.0 < length {
            return Ok(Self { length, margin });
        }
        Err(BadPolicy::Margin { length, margin: margin.0 })
    }

    /// As it is, for a cluster whose longest lease is `longest`. A book grants no longer one anyway.
    pub fn within(self, longest: LongestLease) -> Result<Self, BadPolicy> {
        if self.length <= longest.length() {
            return Ok(self);
        }
        Err(BadPolicy::Longest { length: self.length, longest })
    }

    /// How long a lease is.
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// How far a clock may be off at its end.
    pub const fn margin(&self) -> Margin {
        self.margin
    }

    /// How long a granter waits until a lease is over on any clock: its length and the margin.
    pub const fn wait(&self) -> Duration {
        self.length.saturating_add(self.margin.0)
    }

    /// How long a new leader waits until the leases of all its predecessors are over on any
    /// clock: the longest of the cluster and the margin.
    pub const fn settling(&self, longest: LongestLease) -> Duration {
        longest.length().saturating_add(self.margin.0)
    }

    /// As it is, with leases that are no longer than `longest`.
    pub(crate) fn clamped(self, longest: LongestLease) -> Self {
        Self { length: self.length.min(longest.length()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stops_at_its_end() {
        let (last, second) = (Monotonic::from_nanos(u64::MAX), Duration::from_secs(1));
        assert_eq!(Monotonic::from_nanos(5).checked_add(second), Some(Monotonic::from_nanos(1_000_000_005)));
        assert_eq!((last.checked_add(second), last.saturating_add(second)), (None, last));
        assert_eq!(Monotonic::default().checked_add(Duration::MAX), None);
        assert_eq!(Monotonic::from_nanos(1).since(last), Duration::ZERO);
        assert_eq!(last.since(Monotonic::from_nanos(u64::MAX - 2)), Duration::from_nanos(2));
    }

    #[test]
    fn a_margin_is_rounded_up_and_less_than_a_lease() {
        assert_eq!(Margin::for_drift(Duration::from_nanos(3), 1).length(), Duration::from_nanos(1));
        assert_eq!(Margin::for_drift(Duration::MAX, u32::MAX).length(), Duration::from_nanos(u64::MAX));
        let second = Duration::from_secs(1);
        assert_eq!(Policy::new(second, Margin::new(second)), Err(BadPolicy::Margin { length: second, margin: second }));
        let policy = Policy::new(second, Margin::new(second / 2)).unwrap();
        let longest = |length| LongestLease::new(length).unwrap();
        let both = (policy.wait(), policy.settling(longest(second * 2)));
        assert_eq!(both, (Duration::from_millis(1500), Duration::from_millis(2500)));
        assert_eq!(policy.within(longest(second)), Ok(policy));
        let (length, longest) = (second, longest(second / 2));
        assert_eq!(policy.within(longest), Err(BadPolicy::Longest { length, longest }));
    }
}
