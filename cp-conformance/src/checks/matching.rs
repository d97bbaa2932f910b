//! Log matching (CP-S2): a term and an index name one record, whoever's disk it
//! is on, and what is before it is the same everywhere too.

use super::{Broken, Fingerprint};
use crate::promise::Promise;
use cp_seam::LogPosition;
use cp_store::{Inspection, LogRecord};
use std::collections::BTreeMap;

/// Every record ever seen on a disk.
#[derive(Debug, Default)]
pub struct Matching {
    records: BTreeMap<LogPosition, (Fingerprint, Option<LogPosition>)>,
}

impl Matching {
    /// The checker's name.
    pub const NAME: &str = "log matching";

    /// A disk holds `body` at `position`, after `before` if that is known.
    pub fn holds(
        &mut self,
        position: LogPosition,
        body: Fingerprint,
        before: Option<LogPosition>,
    ) -> Result<(), Broken> {
        let (known, after) = self.records.entry(position).or_insert((body, before));
        if *known != body {
            let what = format!("two records at {position}: {known} and {body}");
            return Err(Broken::new(Self::NAME, Promise::S2, what));
        }
        match (*after, before) {
            (Some(one), Some(two)) if one != two => {
                let what = format!("{position} follows {one} on one disk and {two} on another");
                Err(Broken::new(Self::NAME, Promise::S2, what))
            }
            (None, Some(_)) => {
                *after = before;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A disk holds all of `image`: its records are contiguous and match. The first
    /// ones, as many as `judged`, were seen before. Answers each of the others with
    /// its fingerprint.
    pub fn image(&mut self, image: &Inspection, judged: usize) -> Result<Vec<(LogPosition, Fingerprint)>, Broken> {
        let (old, new) = image.log.split_at_checked(judged).unwrap_or((&[], &image.log));
        let snapshot = image.snapshot.position;
        let follows = |record: &LogRecord| record.position.index == snapshot.index.next();
        // What follows a snapshot follows its last record, though that is in the log no more.
        let founded = new.first().filter(|first| follows(first)).map(|_| snapshot);
        let mut before: Option<LogPosition> = old.last().map(|record| record.position).or(founded);
        let mut seen = Vec::with_capacity(new.len());
        for record in new {
            if let Some(before) = before
                && (record.position.index != before.index.next() || record.position.term < before.term)
            {
                let what = format!("on one disk {} follows {before}", record.position);
                return Err(Broken::new(Self::NAME, Promise::S2, what));
            }
            let body = Fingerprint::of_record(record);
            self.holds(record.position, body, before)?;
            before = Some(record.position);
            seen.push((record.position, body));
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::tests::image;
    use super::*;
    use cp_seam::{ControlPlaneLogIndex, LastVote, Term};

    #[test]
    fn fires_on_other_bodies_predecessors_and_gaps() {
        let at = |term, index| LogPosition::new(Term(term), ControlPlaneLogIndex(index));
        let (one, two) = (Fingerprint([1; 16]), Fingerprint([2; 16]));
        let mut matching = Matching::default();
        matching.holds(at(2, 5), one, None).unwrap();
        matching.holds(at(2, 5), one, Some(at(1, 4))).unwrap();
        assert!(matching.holds(at(2, 5), two, None).is_err());
        assert!(matching.holds(at(2, 5), one, Some(at(2, 4))).is_err());

        let mut matching = Matching::default();
        assert!(matching.image(&image(LastVote::default(), &[(1, 1), (1, 2), (2, 3)], 0), 0).is_ok());
        assert!(matching.image(&image(LastVote::default(), &[(1, 1), (1, 3)], 0), 0).is_err());
        assert!(matching.image(&image(LastVote::default(), &[(1, 1), (1, 3)], 0), 1).is_err());
        let mut tail = image(LastVote::default(), &[(2, 6), (2, 7)], 5);
        tail.snapshot.position = at(2, 5);
        assert!(Matching::default().image(&tail, 0).is_ok());
        tail.snapshot.position = at(3, 5);
        assert!(Matching::default().image(&tail, 0).is_err(), "a tail that outlived a snapshot");
        let broken = matching.image(&image(LastVote::default(), &[(2, 1), (1, 2)], 0), 0).unwrap_err();
        assert_eq!(broken.checker, Matching::NAME);
    }
}
