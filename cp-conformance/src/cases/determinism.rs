//! A seed is a run.

use super::storm::named;
use crate::backend::Backend;
use crate::options::{Leases, Options};
use crate::promise::Promise;
use crate::report::Violation;
use crate::scenario::Verdict;
use crate::{Broken, Report};
use std::time::Duration;

const NAME: &str = "determinism::the_same_seed_gives_the_same_trace";

/// Two storms of one seed in one process do the same thing at the same time to
/// the byte, and one of another seed does not: whatever a seed finds can be found
/// again (CP-E1).
pub fn the_same_seed_gives_the_same_trace(backend: &'static dyn Backend) -> Verdict {
    let length = Duration::from_secs(1);
    let leases = Some(Leases { length, lengths_differ: true, drift_ppm: 100_000, renewal: length / 8 });
    let options = Options { storm: Duration::from_secs(8), leases, every_transition: true, ..Options::storm(3) };
    let run = |seed| named(NAME, backend, seed, &options);
    let (one, two, other): (Report, Report, Report) = (run(77)?, run(77)?, run(78)?);
    let object = |what: String| {
        let broken = Broken::new("same seed, same trace", Promise::E1, what);
        Err(Box::new(Violation::of(broken, NAME, backend, &options)))
    };
    if one != two {
        return object(format!("two runs of seed 77 differ: {one} | {two}"));
    }
    if one.trace == other.trace {
        return object("two seeds gave the same trace".to_owned());
    }
    Ok(one)
}
