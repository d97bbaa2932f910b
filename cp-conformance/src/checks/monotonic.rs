//! Nothing durable goes back (CP-S2, CP-S3): term, vote and committed index of a
//! node only rise, across restarts, and purged <= snapshot <= committed <= last.

use super::Broken;
use super::audit::last;
use crate::promise::Promise;
use cp_seam::{ControlPlaneLogIndex, LastVote};
use cp_store::Inspection;

/// What one node's disk last held.
#[derive(Debug, Default)]
pub struct Monotonic {
    seen: Option<(LastVote, ControlPlaneLogIndex, u64)>,
}

impl Monotonic {
    /// The checker's name.
    pub const NAME: &str = "monotonic durable state";

    /// The node's disk now holds `image`.
    pub fn image(&mut self, image: &Inspection) -> Result<(), Broken> {
        let object = |promise, what: String| Err(Broken::new(Self::NAME, promise, what));
        let me = image.identity.incarnation;
        let (end, first) = (last(image), image.log.first().map(|record| record.position.index));
        if image.committed > end.index || image.snapshot.position.index > image.committed {
            let what = format!(
                "{me} holds snapshot {}, committed {}, last {end}: not in this order",
                image.snapshot.position, image.committed
            );
            return object(Promise::D3, what);
        }
        if first.is_some_and(|first| first > image.snapshot.position.index.next()) {
            return object(Promise::R1, format!("{me} has a hole between its snapshot and its log"));
        }
        if let Some((vote, committed, boot)) = &self.seen {
            if !vote.may_become(&image.vote) {
                return object(Promise::S3, format!("{me} had vote {vote:?} and now has {:?}", image.vote));
            }
            if *committed > image.committed {
                return object(Promise::S2, format!("{me} had committed {committed} and now has {}", image.committed));
            }
            if *boot > image.boot {
                return object(Promise::D4, format!("{me} was at boot {boot} and is now at {}", image.boot));
            }
        }
        self.seen = Some((image.vote, image.committed, image.boot));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::tests::image;
    use super::*;
    use cp_seam::{Incarnation, Term};

    #[test]
    fn fires_on_anything_that_goes_back() {
        let vote = |term| LastVote { term: Term(term), granted_to: Some(Incarnation(1)), following: None };
        let mut monotonic = Monotonic::default();
        monotonic.image(&image(vote(2), &[(1, 1), (2, 2)], 1)).unwrap();
        monotonic.image(&image(vote(3), &[(1, 1)], 1)).unwrap();
        assert_eq!(monotonic.image(&image(vote(2), &[(1, 1)], 1)).unwrap_err().promise, Promise::S3);
        assert_eq!(monotonic.image(&image(vote(3), &[(1, 1)], 0)).unwrap_err().promise, Promise::S2);
        assert_eq!(monotonic.image(&image(vote(3), &[(1, 1)], 2)).unwrap_err().promise, Promise::D3);
        assert_eq!(Monotonic::default().image(&image(vote(3), &[(1, 3)], 0)).unwrap_err().promise, Promise::R1);
    }
}
