//! The state keeps its own rules, and so does every step of it (CP-S5): no overlap, no
//! gap where a collection was covered, epochs never fall, roles stay apart, owners may
//! own, and counts, quorum, audit and digest follow from the records.

use super::Broken;
use crate::promise::Promise;
use cp_catalog::Catalog;

/// The state as it was when it was last looked at.
#[derive(Debug, Default)]
pub struct Invariants {
    before: Option<Catalog>,
}

impl Invariants {
    /// The checker's name.
    pub const NAME: &str = "catalog invariants";

    /// A snapshot replaced the state: the steps to it were never taken here. That it is right
    /// is for its digest to show.
    pub fn begin_anew(&mut self) {
        self.before = None;
    }

    /// The state of `who` has become `now`.
    pub fn becomes(&mut self, now: Catalog, who: &str) -> Result<(), Broken> {
        let since = self.before.as_ref().map(|before| now.violations_since(before)).unwrap_or_default();
        let found = now.violations().into_iter().chain(since).next();
        self.before = Some(now);
        match found {
            None => Ok(()),
            Some(violation) => Err(Broken::new(Self::NAME, Promise::S5, format!("at {who}, {violation}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::checks::ALL;

    #[test]
    fn fires_on_an_epoch_that_fell() {
        let check = ALL.iter().find(|check| check.name == super::Invariants::NAME).unwrap();
        check.self_test().unwrap();
        assert!((check.bad_history)().unwrap_err().what.contains("fell"));
    }
}
