use super::*;
use crate::founded::founded;
use crate::identity::Expected;
use crate::open::open;
use crate::record::RecordBody;
use crate::state::Change;
use crate::writer::Core;
use cp_seam::{LogPosition, Term};
use std::sync::Arc;

fn record(term: u64, index: u64) -> LogRecord {
    LogRecord { position: LogPosition::new(Term(term), ControlPlaneLogIndex(index)), body: RecordBody::Blank }
}

fn opened() -> Core {
    open(Arc::new(founded()), &Expected::default()).unwrap()
}

/// Appends a record of each index, as a batch and a group of its own.
fn append(core: &mut Core, indexes: Range<u64>) {
    for index in indexes {
        let change = Change { append: vec![record(1, index)], ..Change::default() };
        core.shared.submit(change, None, Box::new(|done| done.unwrap())).unwrap();
        core.flush();
    }
}

fn replace(core: &mut Core, index: u64, term: u64) {
    let truncate_from = Some(ControlPlaneLogIndex(index));
    let change = Change { truncate_from, append: vec![record(term, index)], ..Change::default() };
    core.shared.submit(change, None, Box::new(|done| done.unwrap())).unwrap();
    core.flush();
}

fn range(indexes: Range<u64>) -> Range<ControlPlaneLogIndex> {
    ControlPlaneLogIndex(indexes.start)..ControlPlaneLogIndex(indexes.end)
}

/// A view that is begun and then overtaken is not used, whatever overtook it.
#[test]
fn a_segment_that_is_absorbed_between_two_looks_is_seen() {
    let after: [fn(&mut Core); 3] = [
        |core| core.absorb().unwrap(),
        |core| {
            replace(core, 8, 2);
            core.absorb().unwrap();
        },
        |core| {
            core.go_over().unwrap();
            append(core, 9..10);
            core.absorb_beside();
        },
    ];
    for after in after {
        let mut core = opened();
        append(&mut core, 1..5);
        core.absorb().unwrap();
        append(&mut core, 5..9);
        let shared = Arc::clone(&core.shared);
        let look = |view: Option<&View>| shared.look(&range(1..100), usize::MAX, view);
        let Found::Behind(absorptions) = look(None) else { panic!("redb has some") };
        let view = shared.view(absorptions).unwrap();
        assert!(matches!(look(Some(&view)), Found::Newer(_)), "nothing came between");
        after(&mut core);
        match look(Some(&view)) {
            Found::Behind(later) => assert!(later > absorptions),
            Found::Newer(newer) => panic!("a view that lacks records is used: {newer:?}"),
        }
        let read = shared.read(range(1..100), usize::MAX).unwrap();
        let indexes: Vec<_> = read.iter().map(|record| record.position.index.0).collect();
        assert_eq!(indexes, (1..=shared_last(&core)).collect::<Vec<_>>());
    }
}

fn shared_last(core: &Core) -> u64 {
    lock(&core.shared.inner).state.last.index.0
}

/// What is asked for bounds what is copied, and a record that is too long is read alone.
#[test]
fn no_more_is_copied_than_an_answer_holds() {
    let mut core = opened();
    append(&mut core, 1..5);
    core.absorb().unwrap();
    append(&mut core, 5..400);
    let one = record(1, 1).len_bytes();
    let shared = Arc::clone(&core.shared);
    for (from, to, bytes_max, expected) in [
        (1, 400, 3 * one, 1..4),
        (1, 400, 6 * one, 1..7),
        (3, 400, 4 * one + 1, 3..7),
        (6, 400, 0, 6..7),
        (2, 400, 0, 2..3),
        (390, 500, usize::MAX, 390..400),
        (1, 7, usize::MAX, 1..7),
        (0, 7, usize::MAX, 0..0),
        (400, 500, usize::MAX, 0..0),
    ] {
        let read = shared.read(range(from..to), bytes_max).unwrap();
        let expected: Vec<_> = expected.map(|index| record(1, index)).collect();
        assert_eq!(read, expected, "{from}..{to}, {bytes_max}");
        let copied = lock(&shared.inner).newer(from.max(5)..to.max(5), bytes_max).records.len();
        assert!(copied * one <= bytes_max.max(one), "{copied} of {from}..{to} for {bytes_max}");
    }
}
