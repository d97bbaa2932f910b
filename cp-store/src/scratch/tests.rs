//! A scratch file is a file, and what is under it never changes.

use super::*;
use crate::backend::Directory;
use crate::memory::MemoryDirectory;
use proptest::prelude::*;

const PAGES: usize = 5;

/// What to do, where, and how much.
fn step() -> impl Strategy<Value = (u8, usize, usize)> {
    // Near the edges of pages as often as elsewhere.
    let place =
        prop_oneof![0..PAGES * PAGE, (0..PAGES, 0..5usize).prop_map(|(n, off)| (n * PAGE + off).saturating_sub(2))];
    let len = prop_oneof![0..40usize, 0..2 * PAGE + 3];
    (0..3u8, place, len)
}

fn bytes(file: &dyn File) -> Vec<u8> {
    let mut all = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(0, &mut all).unwrap();
    all
}

proptest! {
    #[test]
    fn it_behaves_as_bytes_do(len in 0..3 * PAGE, steps in prop::collection::vec(step(), 1..40)) {
        let under = MemoryDirectory::new().create("under").unwrap();
        let original: Vec<u8> = (0..len).map(|n| (n % 251) as u8 + 1).collect();
        under.write_at(0, &original).unwrap();
        let scratch = Scratch::over(Arc::clone(&under)).unwrap();
        let mut model = original.clone();
        for (n, (what, at, len)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    let written = vec![n as u8 | 0x80; len];
                    scratch.write_at(at as u64, &written).unwrap();
                    model.resize(model.len().max(at + len), 0);
                    model.splice(at..at + len, written).for_each(drop);
                }
                1 => {
                    scratch.set_len(at as u64).unwrap();
                    model.resize(at, 0);
                }
                _ => {
                    let mut found = vec![0; len];
                    let read = scratch.read_at(at as u64, &mut found);
                    match model.get(at..at + len) {
                        Some(expected) => prop_assert!(read.is_ok() && found == expected),
                        None => prop_assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
                    }
                }
            }
            prop_assert_eq!(scratch.len().unwrap(), model.len() as u64);
        }
        prop_assert!(bytes(&scratch) == model);
        prop_assert!(bytes(under.as_ref()) == original);
    }
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let under = MemoryDirectory::new().create("under").unwrap();
    under.write_at(0, &[7; 3 * PAGE]).unwrap();
    let scratch = Scratch::over(under).unwrap();
    scratch.set_len(10).unwrap();
    scratch.set_len(3 * PAGE as u64).unwrap();
    let mut model = vec![0; 3 * PAGE];
    model.iter_mut().take(10).for_each(|byte| *byte = 7);
    assert!(bytes(&scratch) == model);
    scratch.write_at(PAGE as u64 + 5, &[9; PAGE]).unwrap();
    scratch.set_len(PAGE as u64 + 6).unwrap();
    scratch.set_len(3 * PAGE as u64).unwrap();
    model[PAGE + 5] = 9;
    assert!(bytes(&scratch) == model);
}
