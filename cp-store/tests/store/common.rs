//! Makers of small things.

use cp_seam::{
    ClusterId, ControlPlaneEntry, ControlPlaneLogIndex, ControlPlanePayload, Generation, Incarnation, LastVote,
    LogPosition, MemberId, MemberKind, QuorumMember, StateDigest, Term,
};
use cp_store::{
    Configuration, Directory, Founding, Identity, Layout, LogRecord, Pace, RecordBody, SnapshotMeta, Store, TermRuns,
    Writer, WriterWork,
};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) fn identity() -> Identity {
    Identity {
        cluster: ClusterId([7; 16]),
        generation: Generation { number: 0, id: [9; 8] },
        member: MemberId::new("n1").expect("legal"),
        incarnation: Incarnation(1),
        engine: "none".to_owned(),
    }
}

pub(crate) fn members(of: RangeInclusive<u64>) -> Vec<QuorumMember> {
    let member = |n| QuorumMember {
        incarnation: Incarnation(n),
        id: MemberId::new(&format!("n{n}")).expect("legal"),
        kind: MemberKind::Data,
        address: format!("n{n}:7000"),
    };
    of.map(member).collect()
}

pub(crate) fn configuration(of: RangeInclusive<u64>) -> Configuration {
    Configuration { voters: members(of), ..Configuration::default() }
}

pub(crate) fn genesis() -> Founding {
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: configuration(1..=3),
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: StateDigest::default(),
    };
    Founding { meta, chunks: vec!["genesis".into()] }
}

pub(crate) fn create(dir: &dyn Directory) {
    Store::create_with(dir, &identity(), genesis(), Layout { segment_bytes: 64 << 10 }).expect("created");
}

pub(crate) fn position(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), ControlPlaneLogIndex(index))
}

pub(crate) fn vote(term: u64, to: u64) -> LastVote {
    LastVote { term: Term(term), granted_to: Some(Incarnation(to)), following: None }
}

pub(crate) fn record(term: u64, index: u64) -> LogRecord {
    let payload = ControlPlanePayload::new(format!("{term}.{index}")).expect("short");
    LogRecord {
        position: position(term, index),
        body: RecordBody::Entry(ControlPlaneEntry::OwnershipTransition(payload)),
    }
}

pub(crate) fn records(term: u64, indexes: RangeInclusive<u64>) -> Vec<LogRecord> {
    indexes.map(|index| record(term, index)).collect()
}

/// A disk that takes no time, but for absorption.
#[derive(Debug)]
struct NoTime {
    /// How many turns of other tasks absorption waits for.
    absorbs_after: u32,
}

impl Pace for NoTime {
    fn wait(&self, work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let turns = if work == WriterWork::Absorb { self.absorbs_after } else { 0 };
        Box::pin(async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        })
    }
}

/// A writer on the current runtime, so that everything happens in one order.
pub(crate) fn instant() -> Writer {
    Writer::Task(Arc::new(NoTime { absorbs_after: 0 }))
}

/// As `instant`, with groups going on while a full segment waits to be absorbed.
pub(crate) fn unhurried() -> Writer {
    Writer::Task(Arc::new(NoTime { absorbs_after: 4 }))
}

/// As `instant`, and a full segment is absorbed when there is no other way on.
pub(crate) fn reluctant() -> Writer {
    Writer::Task(Arc::new(NoTime { absorbs_after: u32::MAX }))
}
