//! Which steps of a schedule take place.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// All steps, or those named: what is left when a violation is shrunk. As text,
/// `all`, `none`, or numbers and spans such as `3,7-9`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// Every step.
    #[default]
    All,
    /// These, by number; the first is 0.
    Only(BTreeSet<u32>),
}

impl Kept {
    /// Whether step `number` takes place.
    pub fn has(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(steps) => steps.contains(&number),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Only(steps) = self else { return f.write_str("all") };
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for step in steps {
            match spans.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(*step) => *last = *step,
                _ => spans.push((*step, *step)),
            }
        }
        if spans.is_empty() {
            return f.write_str("none");
        }
        for (number, (first, last)) in spans.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

/// A text that names no steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no steps of a schedule: give `all`, `none`, or numbers and spans such as `3,7-9`")]
pub struct NoSteps(String);

impl FromStr for Kept {
    type Err = NoSteps;

    fn from_str(text: &str) -> Result<Self, NoSteps> {
        let bad = || NoSteps(text.to_owned());
        match text {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::Only(BTreeSet::new())),
            _ => {}
        }
        let mut steps = BTreeSet::new();
        for span in text.split(',') {
            let (first, last) = span.split_once('-').unwrap_or((span, span));
            let (first, last): (u32, u32) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
            if first > last || last - first > 100_000 {
                return Err(bad());
            }
            steps.extend(first..=last);
        }
        Ok(Self::Only(steps))
    }
}
