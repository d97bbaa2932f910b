//! Corruption is told (CP-D4): a damaged directory is refused, or it holds all that
//! it held. What is neither is a loss in silence.

use super::Broken;
use super::audit::last;
use crate::promise::Promise;
use cp_store::Inspection;

/// The checker's name.
pub const NAME: &str = "corruption is told";

/// `who`'s directory held `before`, was damaged, and now opens as `after`, if at all.
pub fn told(who: &str, before: &Inspection, after: Option<&Inspection>) -> Result<(), Broken> {
    only_the_end_is_gone(who, before, after)?;
    let Some(after) = after else { return Ok(()) };
    if after.vote != before.vote || after.committed < before.committed || last(after) < last(before) {
        let what = format!(
            "{who} held vote {:?}, committed {}, last {}, and now opens with {:?}, {}, {}, without a word",
            before.vote,
            before.committed,
            last(before),
            after.vote,
            after.committed,
            last(after)
        );
        return Err(Broken::new(NAME, Promise::D4, what));
    }
    Ok(())
}

/// As [`told`], of a directory whose last writes are gone, which looks like a crash
/// before them: all that is there is what was there.
pub fn only_the_end_is_gone(who: &str, before: &Inspection, after: Option<&Inspection>) -> Result<(), Broken> {
    let Some(after) = after else { return Ok(()) };
    let end = last(after).index.min(last(before).index);
    let record = |image: &Inspection, index| image.log.iter().find(|r| r.position.index == index).cloned();
    let from = after.snapshot.position.index.max(before.snapshot.position.index);
    let mut index = from.next();
    while index <= end {
        if record(before, index) != record(after, index) {
            let what = format!("{who} now has another record at {index}, or none, without a word");
            return Err(Broken::new(NAME, Promise::D4, what));
        }
        index = index.next();
    }
    if after.identity != before.identity || after.vote.term > before.vote.term {
        return Err(Broken::new(NAME, Promise::D4, format!("{who} opens with what it never held")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::audit::tests::image;
    use super::*;
    use cp_seam::{LastVote, Term};

    #[test]
    fn fires_on_a_loss_in_silence_and_on_other_content() {
        let vote = |term| LastVote { term: Term(term), granted_to: None, following: None };
        let before = image(vote(3), &[(1, 1), (3, 2)], 2);
        assert_eq!(told("n1", &before, None), Ok(()));
        assert_eq!(told("n1", &before, Some(&before.clone())), Ok(()));
        let shorter = image(vote(3), &[(1, 1)], 1);
        assert_eq!(only_the_end_is_gone("n1", &before, Some(&shorter)), Ok(()));
        for silent in [shorter, image(vote(2), &[(1, 1), (3, 2)], 2), image(vote(3), &[(1, 1), (3, 2)], 1)] {
            assert_eq!(told("n1", &before, Some(&silent)).unwrap_err().checker, NAME);
        }
        let other = image(vote(3), &[(1, 1), (2, 2)], 1);
        assert!(only_the_end_is_gone("n1", &before, Some(&other)).is_err());
    }
}
