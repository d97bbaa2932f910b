//! The longest lease that any leader of a cluster grants.

use std::fmt;
use std::time::Duration;

/// The longest lease that any leader of a cluster grants, and so what each new leader waits for.
///
/// A property of the cluster: fixed when it is founded, in the replicated state, and therefore the
/// same for every leader. Ten seconds unless its founder chose otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LongestLease(Duration);

/// Why a length is no longest lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{length:?} cannot be the longest lease; choose more than 0 and at most {:?}", LongestLease::MAX)]
pub struct BadLongestLease {
    /// The length.
    pub length: Duration,
}

impl LongestLease {
    /// The most that it may be: a day. For as long may a failover hold up what moves.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// That long.
    pub fn new(length: Duration) -> Result<Self, BadLongestLease> {
        if length.is_zero() || length > Self::MAX { Err(BadLongestLease { length }) } else { Ok(Self(length)) }
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        self.0
    }

    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for LongestLease {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl fmt::Display for LongestLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
