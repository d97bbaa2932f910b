#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;
use cp_catalog::{Addresses, Features, FoundingMember, Locality};
use cp_seam::MemberKind;

fn small() -> Backup {
    let cluster = ClusterId([7; 16]);
    let generation = Generation { number: 0, id: [3; 8] };
    let member = MemberId::new("n1").unwrap();
    let founder = FoundingMember {
        id: member.clone(),
        kind: MemberKind::Data,
        addresses: Addresses { peer: "h:1".to_owned(), client: "h:2".to_owned(), http: String::new() },
        locality: Locality::default(),
        features: Features::default(),
    };
    let genesis = Catalog::genesis(cluster, generation, vec![founder]).unwrap().to_genesis().unwrap();
    let terms = TermRuns(vec![TermRun { term: Term(2), first: ControlPlaneLogIndex(1) }]);
    let position = LogPosition::new(Term(2), ControlPlaneLogIndex(5));
    let committed = ControlPlaneLogIndex(4);
    let (engine, digest) = ("raftrs".to_owned(), genesis.digest);
    let meta = BackupMeta { cluster, generation, member, engine, position, committed, terms, digest };
    Backup { meta, chunks: genesis.chunks }
}

fn written(backup: &Backup) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &backup.meta).unwrap();
    backup.chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read() {
    let backup = small();
    let back = Backup::read(&*written(&backup)).unwrap();
    assert_eq!(back, backup);
    assert_eq!(back.catalog().unwrap().digest(), backup.meta.digest);
}

#[test]
fn damage_at_any_byte_is_noticed() {
    let bytes = written(&small());
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            assert!(Backup::read(&*damaged).is_err(), "byte {at} ^ {flip:#x}");
        }
    }
}

#[test]
fn a_cut_or_longer_file_is_noticed() {
    let bytes = written(&small());
    for length in 0..bytes.len() {
        assert!(Backup::read(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(Backup::read(&*[&*bytes, &[0]].concat()).is_err());
}

#[test]
fn a_state_that_is_not_what_the_header_says_is_refused() {
    let good = small();
    let mut meta = good.meta.clone();
    meta.digest = StateDigest([1; 32]);
    let swapped = Backup { meta, ..good.clone() };
    let back = Backup::read(&*written(&swapped)).unwrap();
    assert!(matches!(back.catalog(), Err(BackupError::State(SnapshotError::Digest { .. }))));
    let mut meta = good.meta.clone();
    meta.generation.number = 1;
    assert!(matches!(Backup { meta, ..good }.catalog(), Err(BackupError::Damaged { .. })));
}

#[test]
fn a_newer_format_is_named() {
    let mut header = Header::from(&small().meta);
    header.format = 2;
    assert!(matches!(BackupMeta::try_from(header), Err(BackupError::Newer { found: 2 })));
}

#[test]
fn a_file_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let backup = small();
    let mut cut = Draft::begin(&path, &backup.meta).unwrap();
    assert!(cut.push(&[]).is_err());
    assert!(cut.finish().is_err());
    assert!(!path.exists());
    let mut draft = Draft::begin(&path, &backup.meta).unwrap();
    backup.chunks.iter().for_each(|chunk| draft.push(chunk).unwrap());
    assert_eq!(draft.finish().unwrap(), backup);
    assert_eq!(load(&path).unwrap(), backup);
    assert!(matches!(Draft::begin(&path, &backup.meta), Err(FileError::Exists { .. })));
}
