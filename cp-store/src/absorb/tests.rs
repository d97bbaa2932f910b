use super::*;
use crate::founded::founded;
use crate::identity::Expected;
use crate::memory::MemoryDirectory;
use crate::open::open;
use crate::state::Change;
use crate::store::{Store, Writer};
use cp_seam::{LastVote, Term};

fn opened(dir: &MemoryDirectory) -> Core {
    open(Arc::new(dir.clone()), &Expected::default()).unwrap()
}

/// Queues a vote of that term, and does all that is queued.
fn vote(core: &mut Core, term: u64) {
    let vote = Some(LastVote { term: Term(term), ..LastVote::default() });
    core.shared.submit(Change { vote, ..Change::default() }, None, Box::new(|done| done.unwrap())).unwrap();
    core.flush();
}

/// A lap is left, and waits to be absorbed.
fn gone_over() -> Core {
    let mut core = opened(&founded());
    core.go_over().unwrap();
    assert!(core.absorption_waits());
    core
}

/// CP-D4: what failed once does not look as if there were nothing to do.
#[test]
fn an_absorption_that_failed_stays_failed() {
    for mut core in [gone_over(), opened(&founded())] {
        core.base.as_ref().unwrap().fuse().blow();
        for _ in 0..2 {
            core.absorb().unwrap_err();
            core.go_over().unwrap_err();
            assert!(matches!(core.absorbing, Absorbing::Failed), "{:?}", core.absorbing);
        }
    }
}

/// The system has no thread to spare: writes wait, and nothing stops.
#[test]
fn without_a_thread_a_segment_is_absorbed_by_whoever_leaves_it() {
    let dir = founded();
    let mut core = opened(&dir);
    let first = core.wal.lap();
    core.start = Some(|_| Err(io::ErrorKind::WouldBlock.into()));
    for term in 1..=30 {
        vote(&mut core, term);
        assert!(matches!(core.absorbing, Absorbing::Nothing), "{:?}", core.absorbing);
        assert_eq!(core.base.as_ref().unwrap().state().unwrap().lap, core.wal.lap());
    }
    assert!(core.wal.lap() > first + 2, "the segments were not left");
    assert_eq!(lock(&core.shared.inner).stopped.as_ref().map(ToString::to_string), None);
    let store = Store::open(Arc::new(dir.crash()), &Expected::default(), Writer::Thread).unwrap();
    assert_eq!(store.vote().term, Term(30));
}

#[test]
fn a_thread_absorbs_what_was_left() {
    let mut core = opened(&founded());
    core.start = Some(start_thread);
    core.go_over().unwrap();
    assert!(matches!(core.absorbing, Absorbing::Beside(_)), "{:?}", core.absorbing);
    core.settle().unwrap();
    assert!(matches!(core.absorbing, Absorbing::Nothing), "{:?}", core.absorbing);
    assert_eq!(core.base.as_ref().unwrap().state().unwrap().lap, core.wal.lap());
}
