//! What callers were told (CP-P1, CP-P3): a refused proposal is in no log, a
//! position is what was put there, and no position is both committed and superseded.

use super::{Broken, Fingerprint};
use crate::promise::Promise;
use cp_seam::{LogPosition, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Every answer given to a caller.
#[derive(Debug, Default)]
pub struct Outcomes {
    refused: BTreeSet<Fingerprint>,
    placed: BTreeMap<LogPosition, Fingerprint>,
    told: BTreeMap<LogPosition, Outcome>,
    logged: BTreeMap<LogPosition, Fingerprint>,
    /// Every body in `logged`.
    bodies: BTreeMap<Fingerprint, LogPosition>,
}

impl Outcomes {
    /// The checker's name.
    pub const NAME: &str = "outcomes";

    /// A proposal of this body was refused.
    pub fn refused(&mut self, body: Fingerprint) -> Result<(), Broken> {
        self.refused.insert(body);
        self.bodies.get(&body).map_or(Ok(()), |position| refused_and_logged(*position))
    }

    /// A proposal of this body got `position`.
    pub fn placed(&mut self, position: LogPosition, body: Fingerprint) -> Result<(), Broken> {
        if self.placed.insert(position, body).is_some_and(|before| before != body) {
            let what = format!("position {position} was given to two proposals");
            return Err(Broken::new(Self::NAME, Promise::P3, what));
        }
        self.logged.get(&position).map_or(Ok(()), |logged| agree(position, body, *logged))
    }

    /// A log holds this body at `position`.
    pub fn logged(&mut self, position: LogPosition, body: Fingerprint) -> Result<(), Broken> {
        self.logged.insert(position, body);
        self.bodies.insert(body, position);
        if self.refused.contains(&body) {
            return refused_and_logged(position);
        }
        self.placed.get(&position).map_or(Ok(()), |placed| agree(position, *placed, body))
    }

    /// A slot is committed as `position`.
    pub fn committed(&self, position: LogPosition) -> Result<(), Broken> {
        match self.told.get(&position) {
            Some(Outcome::Superseded) => {
                let what = format!("{position} was reported superseded and is committed");
                Err(Broken::new(Self::NAME, Promise::P3, what))
            }
            _ => Ok(()),
        }
    }

    /// A node answered `outcome` about `position`, whose slot is committed in
    /// term `slot` as far as was seen.
    pub fn told(&mut self, position: LogPosition, outcome: Outcome, slot: Option<cp_seam::Term>) -> Result<(), Broken> {
        let object = |what: String| Err(Broken::new(Self::NAME, Promise::P3, what));
        match (outcome, slot) {
            (Outcome::Unknown, _) => return Ok(()),
            (Outcome::Committed, Some(term)) if term != position.term => {
                return object(format!("{position} was reported committed, the slot holds term {term}"));
            }
            (Outcome::Committed, None) => {
                return object(format!("{position} was reported committed and no node has committed it"));
            }
            (Outcome::Superseded, Some(term)) if term == position.term => {
                return object(format!("{position} was reported superseded and is committed"));
            }
            _ => {}
        }
        match self.told.insert(position, outcome) {
            Some(before) if before != outcome => {
                object(format!("{position} was reported both {before:?} and {outcome:?}"))
            }
            _ => Ok(()),
        }
    }
}

fn refused_and_logged(position: LogPosition) -> Result<(), Broken> {
    let what = format!("a proposal that was refused is in a log at {position}");
    Err(Broken::new(Outcomes::NAME, Promise::P1, what))
}

fn agree(position: LogPosition, placed: Fingerprint, logged: Fingerprint) -> Result<(), Broken> {
    if placed == logged {
        return Ok(());
    }
    let what = format!("{position} was given to proposal {placed} and holds {logged}");
    Err(Broken::new(Outcomes::NAME, Promise::P3, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_seam::{ControlPlaneLogIndex, Term};

    #[test]
    fn fires_on_every_false_answer() {
        let at = |term, index| LogPosition::new(Term(term), ControlPlaneLogIndex(index));
        let (one, two) = (Fingerprint([1; 16]), Fingerprint([2; 16]));
        let mut outcomes = Outcomes::default();
        outcomes.refused(one).unwrap();
        assert_eq!(outcomes.logged(at(1, 1), one).unwrap_err().promise, Promise::P1);
        outcomes.placed(at(1, 2), two).unwrap();
        outcomes.logged(at(1, 2), two).unwrap();
        assert!(outcomes.logged(at(1, 2), Fingerprint([3; 16])).is_err());
        assert!(outcomes.placed(at(1, 2), one).is_err());
        // In the other order too: what is in a log is not looked at again.
        outcomes.logged(at(1, 5), Fingerprint([4; 16])).unwrap();
        assert_eq!(outcomes.refused(Fingerprint([4; 16])).unwrap_err().promise, Promise::P1);
        outcomes.logged(at(1, 6), Fingerprint([5; 16])).unwrap();
        assert_eq!(outcomes.placed(at(1, 6), Fingerprint([6; 16])).unwrap_err().promise, Promise::P3);

        outcomes.told(at(1, 3), Outcome::Superseded, None).unwrap();
        assert_eq!(outcomes.committed(at(1, 3)).unwrap_err().checker, Outcomes::NAME);
        outcomes.committed(at(2, 3)).unwrap();
        assert!(outcomes.told(at(1, 3), Outcome::Committed, Some(Term(1))).is_err());
        assert!(outcomes.told(at(1, 4), Outcome::Committed, None).is_err());
        assert!(outcomes.told(at(1, 4), Outcome::Committed, Some(Term(2))).is_err());
        assert!(outcomes.told(at(1, 4), Outcome::Superseded, Some(Term(1))).is_err());
        outcomes.told(at(1, 4), Outcome::Unknown, Some(Term(1))).unwrap();
    }
}
