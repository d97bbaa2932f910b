//! Elections that nobody asked for. A term rises with every election and never falls: what it
//! rose by between two looks, less what was asked for, came by itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What went on when a term was found to have risen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum During {
    /// From the first leader until all vote and have what the load moves.
    Founding,
    /// Nothing: others were measured.
    Idle,
    Scouting,
    Loads,
    Transfers,
    MembershipChanges,
    /// Probes, up to the moment the leader is killed.
    Probing,
    /// A killed node is started and catches up.
    Mending,
    CatchUps,
    Restarts,
    Memory,
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Founding => "it was founded",
            Self::Idle => "others were measured",
            Self::Scouting => "its connections were chosen",
            Self::Loads => "it was under load",
            Self::Transfers => "leadership was handed over",
            Self::MembershipChanges => "a member came and went",
            Self::Probing => "a leader was about to be killed",
            Self::Mending => "a killed node came back",
            Self::CatchUps => "a follower caught up",
            Self::Restarts => "a follower was started",
            Self::Memory => "memory was looked at",
        })
    }
}

/// How many came by themselves, of one subject, over all of its clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Elections {
    pub(crate) subject: String,
    pub(crate) during: During,
    pub(crate) count: u64,
}

/// The term that a cluster is expected to be in.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    expected: u64,
    granted: u64,
    counts: BTreeMap<During, u64>,
}

impl Watch {
    /// Whatever led to `term` was asked for.
    pub(crate) fn begin(term: u64) -> Self {
        Self { expected: term, ..Self::default() }
    }

    /// So many more elections are asked for before the next look.
    pub(crate) fn grant(&mut self, elections: u64) {
        self.granted += elections;
    }

    /// All that led to `term` was asked for.
    pub(crate) fn pardon(&mut self, term: u64) {
        self.expected = self.expected.max(term);
        self.granted = 0;
    }

    /// Counts, and answers, how many came by themselves since the last look.
    pub(crate) fn look(&mut self, term: u64, during: During) -> u64 {
        let unasked = term.saturating_sub(self.expected).saturating_sub(std::mem::take(&mut self.granted));
        self.expected = self.expected.max(term);
        *self.counts.entry(during).or_default() += unasked;
        unasked
    }

    /// Adds what was counted to that of the subject's other clusters.
    pub(crate) fn tally(&self, subject: &str, into: &mut Vec<Elections>) {
        for (during, count) in &self.counts {
            match into.iter_mut().find(|known| known.subject == subject && known.during == *during) {
                Some(known) => known.count += count,
                None => into.push(Elections { subject: subject.to_owned(), during: *during, count: *count }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_counts_once_and_where_it_was_seen() {
        let mut watch = Watch::begin(3);
        assert_eq!(watch.look(3, During::Idle), 0);
        assert_eq!(watch.look(5, During::Loads), 2);
        assert_eq!(watch.look(5, During::Loads), 0);
        let mut all = Vec::new();
        watch.tally("one", &mut all);
        let row = |during, count| Elections { subject: "one".to_owned(), during, count };
        assert_eq!(all, [row(During::Idle, 0), row(During::Loads, 2)]);
    }

    #[test]
    fn a_transfer_is_one_election_and_no_more() {
        let mut watch = Watch::begin(3);
        watch.grant(1);
        assert_eq!(watch.look(4, During::Transfers), 0);
        watch.grant(1);
        assert_eq!(watch.look(6, During::Transfers), 1);
        // One that was not needed is not kept for later.
        watch.grant(1);
        assert_eq!(watch.look(6, During::Transfers), 0);
        assert_eq!(watch.look(7, During::Idle), 1);
    }

    #[test]
    fn a_kill_may_take_any_number_until_clients_are_served() {
        let mut watch = Watch::begin(3);
        watch.pardon(6);
        assert_eq!(watch.look(6, During::Mending), 0);
        assert_eq!(watch.look(7, During::Mending), 1);
    }

    #[test]
    fn a_node_that_lags_takes_nothing_back() {
        let mut watch = Watch::begin(5);
        assert_eq!(watch.look(4, During::Idle), 0);
        assert_eq!(watch.look(5, During::Idle), 0);
        watch.pardon(4);
        assert_eq!(watch.look(6, During::Idle), 1);
    }

    #[test]
    fn clusters_of_one_subject_are_added_up() {
        let mut all = Vec::new();
        for (subject, term) in [("one", 2), ("other", 3), ("one", 4)] {
            let mut watch = Watch::begin(1);
            watch.look(term, During::CatchUps);
            watch.tally(subject, &mut all);
        }
        assert_eq!(
            all.iter().map(|row| (row.subject.as_str(), row.count)).collect::<Vec<_>>(),
            [("one", 4), ("other", 2)]
        );
    }
}
