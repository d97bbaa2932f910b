//! Who was refused, and why: for operators, and so that each reason is logged once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// How many parties are remembered; a scanner must not fill memory.
const PARTIES_MAX: usize = 256;

/// The latest refusal per party (a name that TLS proved, else an IP address).
///
/// A party's refusal is logged when it changes, not each time that it retries,
/// and is forgotten when the party is accepted.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    latest: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Refusals {
    /// The parties and the sentences, sorted by party.
    pub fn list(&self) -> Vec<(String, String)> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().map(|(party, reason)| (party.clone(), reason.clone())).collect()
    }

    pub(crate) fn record(&self, party: &str, reason: &str) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.get(party).is_some_and(|known| known == reason) {
            return;
        }
        if latest.len() >= PARTIES_MAX {
            latest.pop_first();
        }
        latest.insert(party.to_owned(), reason.to_owned());
        drop(latest);
        warn!(party, reason, "refused a connection");
    }

    pub(crate) fn clear(&self, party: &str) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).remove(party);
    }
}
