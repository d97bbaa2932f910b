//! Members at the same applied index have the same state digest (CP-R3),
//! snapshots included.

use super::Broken;
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, StateDigest};
use std::collections::BTreeMap;

/// The digest seen at each applied index.
#[derive(Debug, Default)]
pub struct Digests {
    at: BTreeMap<ControlPlaneLogIndex, StateDigest>,
}

impl Digests {
    /// The checker's name.
    pub const NAME: &str = "equal digests";

    /// `who` has this digest at `index`.
    pub fn has(&mut self, index: ControlPlaneLogIndex, digest: StateDigest, who: &str) -> Result<(), Broken> {
        let before = *self.at.entry(index).or_insert(digest);
        if before == digest {
            return Ok(());
        }
        let what = format!("at index {index} {who} has state digest {digest}, another had {before}");
        Err(Broken::new(Self::NAME, Promise::R3, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_two_digests_at_an_index() {
        let mut digests = Digests::default();
        digests.has(ControlPlaneLogIndex(1), StateDigest([1; 32]), "n0").unwrap();
        digests.has(ControlPlaneLogIndex(1), StateDigest([1; 32]), "n1").unwrap();
        digests.has(ControlPlaneLogIndex(2), StateDigest([2; 32]), "n1").unwrap();
        let broken = digests.has(ControlPlaneLogIndex(2), StateDigest([1; 32]), "n0").unwrap_err();
        assert_eq!((broken.checker, broken.promise), (Digests::NAME, Promise::R3));
    }
}
