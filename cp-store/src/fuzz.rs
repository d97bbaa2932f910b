//! The decoders of durable records, for the fuzz targets. Not an interface.

use crate::backend::Directory;
use crate::codec::{self, Kind, seal, unseal};
use crate::convert::{identity_from_bytes, identity_to_bytes, record_from_bytes, record_to_bytes};
use crate::file_set::Home;
use crate::identity::Identity;
use crate::memory::MemoryDirectory;
use crate::record::{LogRecord, RecordBody};
use crate::state::Change;
use crate::{wal, wire};
use cp_seam::{
    ClusterId, ControlPlaneEntryKind, ControlPlaneLogIndex, ControlPlanePayload, Generation, Incarnation, LastVote,
    LogPosition, MemberId, Term,
};

/// Reads `data` as a record of every kind, as it is and with its checksum put
/// right: what is read is written as something that reads the same.
pub fn record(data: &[u8]) {
    read(data);
    let mut sealed = data.to_vec();
    codec::repair(&mut sealed);
    read(&sealed);
}

/// Whether `data`, as it is, is taken for a durable record or a write-ahead frame.
pub fn accepts(data: &[u8]) -> bool {
    read(data)
}

fn read(data: &[u8]) -> bool {
    let mut accepted = false;
    if let Ok(identity) = identity_from_bytes(data) {
        assert_eq!(identity_from_bytes(&identity_to_bytes(&identity)), Ok(identity));
        accepted = true;
    }
    if let Ok(record) = record_from_bytes(data) {
        assert_eq!(record_from_bytes(&record_to_bytes(&record)), Ok(record));
        accepted = true;
    }
    if let Ok(group) = unseal::<wire::Group>(Kind::Group, data) {
        for change in group.changes.iter().filter_map(|sealed| Change::try_from(sealed).ok()) {
            let once = wire::Change::from(&change);
            let again = Change::try_from(&once).map(|change| wire::Change::from(&change));
            assert_eq!(again, Ok(once));
        }
        accepted = true;
    }
    accepted |= unseal::<wire::State>(Kind::State, data).is_ok();
    accepted |= unseal::<wire::Segment>(Kind::Segment, data).is_ok();
    accepted |= unseal::<wire::Footer>(Kind::Footer, data).is_ok();
    if let Some((lap, seq, start, payload)) = frame(data) {
        let written = wal::encode(lap, seq, start, &payload);
        assert!(written.starts_with(data.get(..32 + payload.len()).unwrap_or_default()), "a frame is not its own");
        accepted = true;
    }
    accepted
}

fn frame(data: &[u8]) -> Option<(u64, u64, u64, Vec<u8>)> {
    let segment = MemoryDirectory::new().create("segment").ok()?;
    segment.write_at(0, data).ok()?;
    wal::read_frame(segment.as_ref())
}

/// Records to begin with.
pub fn corpus() -> Vec<Vec<u8>> {
    let identity = Identity {
        cluster: ClusterId([7; 16]),
        generation: Generation { number: 3, id: [9; 8] },
        member: MemberId::new("n1").unwrap_or_else(|never| unreachable!("{never}")),
        incarnation: Incarnation(5),
        engine: "openraft".to_owned(),
    };
    let position = LogPosition::new(Term(3), ControlPlaneLogIndex(300));
    let entry = ControlPlanePayload::new(vec![5; 90]).map(|p| ControlPlaneEntryKind::MembershipChange.entry(p));
    let bodies = entry.map(RecordBody::Entry).into_iter().chain([RecordBody::Blank]);
    let records: Vec<_> = bodies.map(|body| LogRecord { position, body }).collect();
    let vote = LastVote { term: Term(4), granted_to: Some(Incarnation(2)), following: None };
    let change = Change { vote: Some(vote), append: records.clone(), ..Change::default() };
    let group = seal(Kind::Group, &wire::Group { changes: vec![(&change).into()] });
    let segment = wire::Segment { lap: 4, segment_bytes: 65_536, cluster: vec![7; 16], incarnation: 5 };
    let frame = wal::encode(4, 17, 2, &group);
    let mut all = vec![identity_to_bytes(&Home { identity, set: 0 }), group, seal(Kind::Segment, &segment), frame];
    all.extend(records.iter().map(|record| record_to_bytes(record).to_vec()));
    all
}
