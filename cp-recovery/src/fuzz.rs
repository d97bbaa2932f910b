//! The decoder of backups, for the fuzz targets. Not an interface.

use crate::backup::{Backup, BackupMeta, Writer, header_of};
use bytes::Bytes;
use cp_catalog::{Addresses, Catalog, Cause, Features, FoundingMember, Locality, Successor};
use cp_seam::{ClusterId, ControlPlaneLogIndex, Generation, LogPosition, MemberId, MemberKind, StateDigest, Term};
use cp_store::{TermRun, TermRuns};
use prost::Message;

/// The first byte says what the rest is: a file as it is, the header of one whose checksums
/// are right, or the state of one. What is read is written as what reads the same, and a
/// state is gone on from only if it is what the header says and breaks no invariant.
pub fn backup(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    match which % 3 {
        0 => read(data),
        1 => read(&under(data, &[])),
        _ => state(data),
    }
}

fn read(file: &[u8]) {
    let Ok(backup) = Backup::read(file) else { return };
    assert_eq!(Backup::read(&*written(&backup)).ok(), Some(backup.clone()));
    if let Ok(catalog) = backup.catalog() {
        assert_eq!((catalog.digest(), catalog.violations()), (backup.meta.digest, vec![]));
        assert_eq!((catalog.cluster(), catalog.generation()), (Some(backup.meta.cluster), backup.meta.generation));
    }
}

/// What the state says of itself is put into the header: only its invariants are left to fail.
fn state(data: &[u8]) {
    let chunk = Bytes::copy_from_slice(data);
    let Ok(catalog) = Catalog::from_chunks([&chunk]) else { return };
    let Some(cluster) = catalog.cluster() else { return };
    let (generation, digest) = (catalog.generation(), catalog.digest());
    let backup = Backup { meta: BackupMeta { cluster, generation, digest, ..small().meta }, chunks: vec![chunk] };
    assert_eq!(known(backup.state()).digest(), digest);
    assert_eq!(backup.catalog().is_ok(), catalog.violations().is_empty());
    read(&written(&backup));
}

/// A file with a header of these bytes, all its checksums right.
fn under(header: &[u8], chunks: &[Bytes]) -> Vec<u8> {
    let mut writer = known(Writer::under(Vec::new(), header));
    chunks.iter().for_each(|chunk| known(writer.push(chunk)));
    known(writer.finish())
}

/// The file of a backup.
pub(crate) fn written(backup: &Backup) -> Vec<u8> {
    under(&header_of(&backup.meta), &backup.chunks)
}

/// Inputs to begin with.
pub fn corpus() -> Vec<Vec<u8>> {
    let tagged = |which: u8, bytes: &[u8]| [&[which], bytes].concat();
    [small(), succeeded(), broken()]
        .iter()
        .flat_map(|backup| {
            let file = tagged(0, &written(backup));
            let header = tagged(1, &header_of(&backup.meta));
            let chunks = backup.chunks.iter().map(move |chunk| tagged(2, chunk));
            [file, header].into_iter().chain(chunks)
        })
        .collect()
}

fn known<T, E: std::fmt::Debug>(value: Result<T, E>) -> T {
    value.unwrap_or_else(|error| unreachable!("it is legal: {error:?}"))
}

fn member(name: &str) -> MemberId {
    known(MemberId::new(name))
}

fn genesis() -> Catalog {
    let founder = |name: &str| FoundingMember {
        id: member(name),
        kind: MemberKind::Data,
        addresses: Addresses { peer: "h:1".to_owned(), client: "h:2".to_owned(), http: String::new() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let generation = Generation { number: 0, id: [3; 8] };
    known(Catalog::genesis(ClusterId([7; 16]), generation, ["n1", "n2"].map(founder).into()))
}

fn kept(catalog: &Catalog) -> Backup {
    let genesis = known(catalog.to_genesis());
    let meta = BackupMeta {
        cluster: known(catalog.cluster().ok_or("no cluster")),
        generation: catalog.generation(),
        member: member("n1"),
        engine: "raftrs".to_owned(),
        position: LogPosition::new(Term(2), ControlPlaneLogIndex(5)),
        committed: ControlPlaneLogIndex(4),
        terms: TermRuns(vec![TermRun { term: Term(2), first: ControlPlaneLogIndex(1) }]),
        digest: genesis.digest,
    };
    Backup { meta, chunks: genesis.chunks }
}

/// A backup of two members.
pub(crate) fn small() -> Backup {
    kept(&genesis())
}

/// One after a recovery.
fn succeeded() -> Backup {
    let asked = Successor {
        cause: Cause::Forced,
        generation_id: [9; 8],
        after_generation: 0,
        survivor: member("n1"),
        addresses: None,
        operator: "ann".to_owned(),
        reason: "fire".to_owned(),
        at_unix_ms: 5,
        position: LogPosition::GENESIS,
        committed: ControlPlaneLogIndex(0),
    };
    kept(&known(genesis().succeed(&asked)))
}

/// A chunk of a state as far as it matters here; the records stay as they are.
#[derive(Clone, PartialEq, Message)]
struct Records {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    ordinal: u64,
    #[prost(bool, tag = "3")]
    last: bool,
    #[prost(bytes = "vec", repeated, tag = "4")]
    records: Vec<Vec<u8>>,
}

/// The field that a record of a recovery is in, and its wire type.
const RECOVERY: u8 = 9 << 3 | 2;

/// A whole backup of a state that must not be: after a recovery that nothing remembers.
pub fn broken() -> Backup {
    let Backup { meta, chunks } = succeeded();
    let forget = |chunk: &Bytes| {
        let mut chunk = known(Records::decode(chunk.clone()));
        chunk.records.retain(|record| record.first() != Some(&RECOVERY));
        Bytes::from(chunk.encode_to_vec())
    };
    let chunks: Vec<Bytes> = chunks.iter().map(forget).collect();
    let digest: StateDigest = known(Catalog::from_chunks(&chunks)).digest();
    Backup { meta: BackupMeta { digest, ..meta }, chunks }
}
