//! A new directory, for tests.

use crate::create::Layout;
use crate::identity::Identity;
use crate::memory::MemoryDirectory;
use crate::record::{Configuration, TermRuns};
use crate::snapshot::SnapshotMeta;
use crate::store::{Founding, Store};
use cp_seam::{ClusterId, Generation, Incarnation, LogPosition, MemberId, StateDigest};

/// With segments that are soon full.
pub(crate) fn founded() -> MemoryDirectory {
    let identity = Identity {
        cluster: ClusterId([7; 16]),
        generation: Generation::default(),
        member: MemberId::new("n1").unwrap(),
        incarnation: Incarnation(1),
        engine: "none".to_owned(),
    };
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: Configuration::default(),
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: StateDigest::default(),
    };
    let dir = MemoryDirectory::new();
    let founding = Founding { meta, chunks: vec!["genesis".into()] };
    Store::create_with(&dir, &identity, founding, Layout { segment_bytes: 64 << 10 }).unwrap();
    dir
}
