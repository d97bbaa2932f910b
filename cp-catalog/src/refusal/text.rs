//! Parts of sentences that depend on what is known.

use super::{CopyLimit, Merged, StandingRange};
use crate::range::{CollectionSpec, RangeStanding};
use std::fmt::{self, Display, Formatter};

/// A part of a sentence, written by a closure.
pub(super) struct Part<F>(F);

impl<F: Fn(&mut Formatter<'_>) -> fmt::Result> Display for Part<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// `hint` after `before`, and before `after`; nothing if it is not known.
pub(super) fn known<'a, T: Display>(before: &'a str, hint: &'a Option<T>, after: &'a str) -> impl Display + 'a {
    Part(move |f: &mut Formatter<'_>| match hint {
        Some(hint) => write!(f, "{before}{hint}{after}"),
        None => Ok(()),
    })
}

pub(super) fn standing(current: &Option<RangeStanding>) -> impl Display + '_ {
    known(" (", current, ")")
}

pub(super) fn merged(merged: &Option<Merged>) -> impl Display + '_ {
    Part(move |f: &mut Formatter<'_>| match merged {
        None => f.write_str("does not exist; list the ranges of its collection"),
        Some(Merged { into: Some(into) }) => write!(f, "was merged into {into}; look its keys up from there"),
        Some(Merged { into: None }) => f.write_str("was merged away; look its keys up in its collection"),
    })
}

pub(super) fn beside<'a>(
    below: &'a Option<Box<StandingRange>>,
    above: &'a Option<Box<StandingRange>>,
) -> impl Display + 'a {
    Part(move |f: &mut Formatter<'_>| match [below, above] {
        [None, None] => Ok(()),
        [Some(one), None] | [None, Some(one)] => write!(f, ": beside it lies {one} alone"),
        [Some(below), Some(above)] => write!(f, ": beside it lie {below} and {above}"),
    })
}

pub(super) fn limit(limit: &Option<Box<CopyLimit>>) -> impl Display + '_ {
    Part(move |f: &mut Formatter<'_>| match limit {
        None => f.write_str("copies in one role, the most there can be; drop one first"),
        Some(limit) => {
            write!(f, "copies as {}, of at most {} ({}); drop one first", limit.role, limit.max, limit.current)
        }
    })
}

pub(super) fn spec(exists: &Option<CollectionSpec>) -> impl Display + '_ {
    Part(move |f: &mut Formatter<'_>| match exists {
        None => f.write_str("with another group or mode; choose another name"),
        Some(CollectionSpec { group, mode, .. }) => {
            write!(f, "in group {group} and mode {mode}; take it as it is, or choose another name")
        }
    })
}
