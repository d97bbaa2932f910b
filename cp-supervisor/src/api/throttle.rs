//! How often somebody may be denied on record: denials must not fill the log.

use cp_catalog::Principal;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many denials in a row are put on record.
const BURST: u32 = 8;
/// How long it takes until one more may be.
const REFILL: Duration = Duration::from_secs(60);
/// How many principals are remembered; those that have waited longest are forgotten first.
const PRINCIPALS_MAX: usize = 4096;

/// When each principal will have all its denials back.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    full_at: Mutex<HashMap<Principal, Instant>>,
}

impl Throttle {
    /// Whether `principal` may be denied once more on record at `now`; else, in how long.
    pub(super) fn admit(&self, principal: &Principal, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= PRINCIPALS_MAX && !full_at.contains_key(principal) {
            full_at.retain(|_, at| *at > now);
            let longest = full_at.iter().min_by_key(|(_, at)| **at).map(|(who, _)| who.clone());
            if full_at.len() >= PRINCIPALS_MAX
                && let Some(who) = longest
            {
                full_at.remove(&who);
            }
        }
        let known = full_at.get(principal).copied();
        let next = known.map_or(now, |at| at.max(now)) + REFILL;
        let ahead = next.saturating_duration_since(now);
        if ahead > REFILL * BURST {
            return Err(ahead - REFILL * BURST);
        }
        full_at.insert(principal.clone(), next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::ClientName;

    fn client(name: &str) -> Principal {
        Principal::Client(ClientName::new(name).unwrap())
    }

    #[test]
    fn a_burst_is_recorded_and_then_one_at_a_time() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(throttle.admit(&client("eve"), now), Ok(()));
        }
        assert_eq!(throttle.admit(&client("eve"), now), Err(REFILL));
        assert_eq!(throttle.admit(&client("ann"), now), Ok(()), "another is not held up by it");
        assert!(throttle.admit(&client("eve"), now + REFILL / 2).is_err());
        assert_eq!(throttle.admit(&client("eve"), now + REFILL), Ok(()));
        assert!(throttle.admit(&client("eve"), now + REFILL).is_err());
        let later = now + REFILL * 1000;
        assert!((0..BURST).all(|_| throttle.admit(&client("eve"), later).is_ok()));
        assert!(throttle.admit(&client("eve"), later).is_err(), "waiting longer gives no more than a burst");
    }

    #[test]
    fn who_is_remembered_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..2 * PRINCIPALS_MAX {
            assert!(throttle.admit(&client(&format!("c{number}")), now).is_ok());
        }
        assert!(throttle.full_at.lock().unwrap().len() <= PRINCIPALS_MAX);
    }
}
