//! How long to wait between two tries to reach a peer.

use std::time::Duration;

/// Doubles from a first delay up to a limit. The jitter is a function of the
/// seed and the try, so that two nodes part company and a run can be repeated.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    limit: Duration,
    seed: u64,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration, seed: u64) -> Self {
        Self { first, limit, seed, tries: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// Between half of the current delay and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX)).min(self.limit);
        self.tries = self.tries.saturating_add(1);
        let half = whole / 2;
        half + half.mul_f64(fraction(self.seed.wrapping_add(self.tries.into())))
    }
}

/// A seed for the tries of one node to reach another.
pub(crate) fn seed(from: &str, to: u64, lane: u64) -> u64 {
    from.bytes().fold(mix(to).wrapping_add(lane), |seed, byte| mix(seed ^ u64::from(byte)))
}

/// In [0, 1).
fn fraction(seed: u64) -> f64 {
    f64::from((mix(seed) >> 32) as u32) / 4_294_967_296.0
}

/// The finaliser of splitmix64: every bit of the result depends on every bit.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit_and_starts_over() {
        let (first, limit) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, limit, seed("n1", 2, 0));
        for whole in [50, 100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let delay = backoff.next();
            assert!(delay >= whole / 2 && delay <= whole, "{delay:?} of {whole:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= limit);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }

    #[test]
    fn nodes_part_company() {
        let delay = |from| Backoff::new(Duration::from_secs(1), Duration::from_secs(1), seed(from, 3, 0)).next();
        assert_ne!(delay("n1"), delay("n2"));
        assert_eq!(delay("n1"), delay("n1"));
    }
}
