//! The checkers: each a small book of what was observed, which objects to what
//! cannot be. They read durable images and observed messages, not an engine's
//! account of itself, and each is shown to fire on a bad history of its own.

pub mod applied;
pub mod audit;
pub mod committed;
pub mod completeness;
pub mod damage;
pub mod digests;
pub mod fencing;
pub mod gates;
pub mod invariants;
pub mod leaders;
pub mod ledger;
pub mod matching;
pub mod monotonic;
pub mod outcomes;
pub mod quorum;
pub mod register;
mod registry;
pub mod replay;
pub mod transitions;

pub use registry::{ALL, Check};

use crate::promise::Promise;
use cp_store::{LogRecord, RecordBody};

/// A promise was broken, and which checker says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{checker} ({promise}): {what}")]
pub struct Broken {
    /// The checker.
    pub checker: &'static str,
    /// The promise.
    pub promise: Promise,
    /// What happened.
    pub what: String,
}

impl Broken {
    /// A finding of `checker`.
    pub fn new(checker: &'static str, promise: Promise, what: impl Into<String>) -> Self {
        Self { checker, promise, what: what.into() }
    }

    /// The same finding, of a checker with a name of its own.
    #[must_use]
    pub fn by(self, checker: &'static str) -> Self {
        Self { checker, ..self }
    }
}

/// What a record holds, in short: equal bodies, equal fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of a body.
    pub fn of(body: &RecordBody) -> Self {
        let mut hasher = blake3::Hasher::new();
        match body {
            RecordBody::Blank => hasher.update(b"blank"),
            RecordBody::Entry(entry) => {
                hasher.update(format!("{:?}", entry.kind()).as_bytes());
                hasher.update(entry.payload().as_bytes())
            }
            RecordBody::Configuration(configuration) => hasher.update(format!("{configuration:?}").as_bytes()),
        };
        let mut short = [0; 16];
        hasher.finalize_xof().fill(&mut short);
        Self(short)
    }

    /// Of a record's body.
    pub fn of_record(record: &LogRecord) -> Self {
        Self::of(&record.body)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
