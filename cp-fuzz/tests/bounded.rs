//! A bounded run of every target, the same each time.

use cp_fuzz::mutate::{Rng, draw};
use cp_fuzz::{TARGETS, Target};

#[test]
fn every_target_holds() {
    // redb may panic on a damaged file; the store catches that, and it is not worth printing.
    std::panic::set_hook(Box::new(|panic| {
        if !panic.location().is_some_and(|at| at.file().contains("redb")) {
            eprintln!("{panic}");
        }
    }));
    for Target { name, run, corpus, inputs } in TARGETS {
        let corpus = corpus();
        corpus.iter().for_each(|valid| run(valid));
        for seed in 0..*inputs {
            let data = draw(&mut Rng::new(seed), &corpus);
            let ran = std::panic::catch_unwind(|| run(&data));
            assert!(ran.is_ok(), "target {name}, seed {seed}, input {data:02x?}");
        }
        eprintln!("{name}: {inputs} inputs from {} valid ones", corpus.len());
    }
}

/// No durable record is taken for another once it is damaged.
#[test]
fn a_damaged_record_is_refused() {
    let corpus = cp_store::fuzz::corpus();
    assert!(corpus.iter().all(|valid| cp_store::fuzz::accepts(valid)));
    let mut refused = 0;
    for seed in 0..20_000 {
        let data = draw(&mut Rng::new(seed), &corpus);
        // What follows a frame in its block is not part of it.
        let whole = corpus.iter().any(|valid| data.starts_with(valid.trim_ascii_end_zeros()) || data == *valid);
        if !whole {
            assert!(!cp_store::fuzz::accepts(&data), "seed {seed}: {data:02x?}");
            refused += 1;
        }
    }
    assert!(refused > 15_000, "{refused}");
}

trait Padded {
    fn trim_ascii_end_zeros(&self) -> &[u8];
}

impl Padded for Vec<u8> {
    /// Without the padding.
    fn trim_ascii_end_zeros(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if self.len() > 4000 { self.get(..end).unwrap_or(self) } else { self }
    }
}
