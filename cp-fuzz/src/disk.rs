//! A whole directory with damage in one place: it is read as it was, or refused.

use cp_seam::{
    ClusterId, ControlPlaneLogIndex, Generation, Incarnation, LastVote, LastVoteStore, LogPosition, MemberId,
    MemberKind, QuorumMember, StateDigest, Term,
};
use cp_store::{
    Batch, Configuration, Directory, Expected, Founding, Identity, Inspection, Layout, LogRecord, MemoryDirectory,
    OpenError, RecordBody, SnapshotMeta, Store, TermRuns, Writer,
};
use std::sync::{Arc, OnceLock};

/// No more than a sector is damaged: copies of a frame lie on blocks of their own.
const SECTOR_BYTES: u64 = 512;

struct Image {
    directory: MemoryDirectory,
    holds: String,
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let directory = MemoryDirectory::new();
        make(&directory).unwrap_or_else(|error| unreachable!("a store in memory: {error}"));
        let directory = directory.crash();
        let holds = shown(Store::inspect(&directory)).unwrap_or_else(|error| unreachable!("it is whole: {error}"));
        Image { directory, holds }
    })
}

fn shown(inspection: Result<Inspection, OpenError>) -> Result<String, OpenError> {
    inspection.map(|holds| format!("{holds:?}"))
}

fn make(directory: &MemoryDirectory) -> Result<(), Box<dyn std::error::Error>> {
    let member = MemberId::new("n1")?;
    let (kind, address) = (MemberKind::Data, "h:1".to_owned());
    let voter = QuorumMember { incarnation: Incarnation(1), id: member.clone(), kind, address };
    let generation = Generation { number: 0, id: [9; 8] };
    let identity = Identity {
        cluster: ClusterId([7; 16]),
        generation,
        member,
        incarnation: Incarnation(1),
        engine: "none".into(),
    };
    let meta = SnapshotMeta {
        position: LogPosition::GENESIS,
        configuration: Configuration { voters: vec![voter], ..Configuration::default() },
        configuration_at: LogPosition::GENESIS,
        terms: TermRuns::default(),
        digest: StateDigest::default(),
    };
    let founding = Founding { meta, chunks: vec!["genesis".into()] };
    Store::create_with(directory, &identity, founding, Layout { segment_bytes: 64 << 10 })?;
    let store = Store::open(Arc::new(directory.clone()), &Expected::default(), Writer::Thread)?;
    store.persist(LastVote { term: Term(3), granted_to: Some(Incarnation(1)), following: None })?;
    let (done, asked) = std::sync::mpsc::channel();
    for index in 1..=4 {
        let position = LogPosition::new(Term(3), ControlPlaneLogIndex(index));
        let append = vec![LogRecord { position, body: RecordBody::Blank }];
        let batch = Batch { append, committed: Some(ControlPlaneLogIndex(index)), ..Batch::default() };
        let done = done.clone();
        store.submit_then(batch, move |result| drop(done.send(result)))?;
        asked.recv()??;
    }
    store.persist(LastVote { term: Term(4), granted_to: Some(Incarnation(1)), following: None })?;
    store.abandon();
    Ok(())
}

/// The first byte picks a file, the next three where in it, and the rest is
/// written there.
pub(crate) fn damaged(data: &[u8]) {
    let Some((&[which, a, b, c], bytes)) = data.split_first_chunk::<4>() else { return };
    let image = image();
    let damaged = image.directory.crash();
    let Ok(names) = damaged.list() else { return };
    let Some(file) = names.get(usize::from(which) % names.len().max(1)).and_then(|name| damaged.open(name).ok()) else {
        return;
    };
    let len = file.len().unwrap_or_default();
    let at = u64::from(u32::from_le_bytes([a, b, c, 0])) % len.max(1);
    let room = (SECTOR_BYTES - at % SECTOR_BYTES).min(len - at);
    let bytes = bytes.get(..usize::try_from(room).unwrap_or(0)).unwrap_or(bytes);
    assert!(file.write_at(at, bytes).is_ok(), "it is in memory");
    if let Ok(holds) = shown(Store::inspect(&damaged)) {
        assert_eq!(holds, image.holds, "{} bytes of damage at {at} of {names:?}, {which}", bytes.len());
    }
}

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let files = 0..u8::try_from(image().directory.list().map_or(0, |names| names.len())).unwrap_or(0);
    let places = [0_u32, 7, 40, 4096, 8192, 9000, 12_288, 16_384, 20_480, 40_960, 65_000];
    files
        .flat_map(|file| places.map(|at| [vec![file], at.to_le_bytes()[..3].to_vec(), vec![0xa5; 24]].concat()))
        .collect()
}
