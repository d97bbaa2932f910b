#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use crate::fuzz::{broken, small, written};
use std::path::PathBuf;

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

/// A whole file, every checksum right, and the number one higher.
#[test]
fn a_newer_format_is_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("newer");
    let Backup { meta, chunks } = small();
    let mut header = Header::from(&meta);
    header.format = 2;
    let mut writer = Writer::under(Vec::new(), &header.encode_to_vec()).unwrap();
    chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
    let bytes = writer.finish().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let refused = load(&path).unwrap_err();
    assert!(matches!(refused, FileError::Backup { source: BackupError::Newer { found: 2 }, .. }), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(names(dir.path()), [path]);
}

/// It is what was written: not damage, and another remedy.
#[test]
fn a_state_that_breaks_an_invariant_is_kept_and_not_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("b"), broken());
    let mut draft = Draft::begin(&path, &backup.meta).unwrap();
    backup.chunks.iter().for_each(|chunk| draft.push(chunk).unwrap());
    draft.finish().unwrap();
    let back = load(&path).unwrap();
    assert_eq!(back, backup);
    assert_eq!(back.state().unwrap().digest(), backup.meta.digest);
    let refused = back.catalog().unwrap_err();
    let BackupError::Violations(violations) = &refused else { panic!("{refused:?}") };
    assert!(violations.count == 1 && violations.first.contains("fenced by no recovery"), "{violations}");
    assert!(!refused.to_string().contains("damaged"), "{refused}");
}

fn names(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn draft(path: &std::path::Path) -> Draft {
    let backup = small();
    let mut draft = Draft::begin(path, &backup.meta).unwrap();
    backup.chunks.iter().for_each(|chunk| draft.push(chunk).unwrap());
    draft
}

/// Whoever is first has the name, also if that is seen at the very end.
#[test]
fn a_file_that_comes_meanwhile_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let late = draft(&path);
    std::fs::write(&path, b"somebody else's").unwrap();
    assert!(matches!(late.finish(), Err(FileError::Exists { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody else's");
    assert_eq!(names(dir.path()), [path], "and the draft is gone");

    let path = dir.path().join("two");
    let (one, other) = (draft(&path), draft(&path));
    assert_eq!(one.finish().unwrap(), small());
    assert!(matches!(other.finish(), Err(FileError::Exists { .. })));
    assert_eq!(load(&path).unwrap(), small());
}

#[test]
fn a_draft_that_is_dropped_or_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    let dropped = draft(&path);
    assert_eq!(names(dir.path()).len(), 1);
    drop(dropped);
    assert_eq!(names(dir.path()), Vec::<PathBuf>::new());
    let mut wrong = small();
    wrong.meta.digest = StateDigest([1; 32]);
    let mut fails = Draft::begin(&path, &wrong.meta).unwrap();
    wrong.chunks.iter().for_each(|chunk| fails.push(chunk).unwrap());
    assert!(fails.finish().is_err());
    assert_eq!(names(dir.path()), Vec::<PathBuf>::new());
    // A leftover of a process with the same number is somebody else's, and stays.
    let leftover = dir.path().join(format!(".b.{}-0.tmp", std::process::id()));
    std::fs::write(&leftover, b"x").unwrap();
    draft(&path).finish().unwrap();
    assert_eq!(names(dir.path()), [leftover.clone(), path]);
    assert_eq!(std::fs::read(&leftover).unwrap(), b"x");
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
