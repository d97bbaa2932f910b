//! No two members ever admit writes to one key at the same time; and what is done wrong
//! on purpose is found.

use crate::phase::{Fault, Phase, phase};
use crate::world::World;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::Cell;

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]))
}

fn search(fault: Fault, cases: u32, also: impl Fn(&World)) -> Result<(), TestError<Vec<Phase>>> {
    runner(cases).run(&prop::collection::vec(phase(), 4..40), |phases| {
        let mut world = World::new(fault);
        for phase in &phases {
            world.run(phase).map_err(TestCaseError::fail)?;
        }
        also(&world);
        Ok(())
    })
}

#[test]
fn no_two_members_admit_writes_to_one_key() {
    let cases = std::env::var("LEASE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let (authorities, unsettled) = (Cell::new(0), Cell::new(0));
    let found = search(Fault::None, cases, |world| {
        authorities.set(authorities.get() + world.seen.len());
        unsettled.set(unsettled.get() + world.unsettled);
    });
    if let Err(found) = found {
        panic!("{found}");
    }
    // It is no feat to admit nothing.
    assert!(authorities.get() > 4 * cases as usize, "{} authorities took effect", authorities.get());
    assert!(unsettled.get() > 10 * u64::from(cases), "{} writes under an unsettled leader", unsettled.get());
}

fn found(fault: Fault) {
    match search(fault, 4_000, |_| {}) {
        Err(TestError::Fail(reason, phases)) => println!("{fault:?}: {reason}, by {} phases", phases.len()),
        other => panic!("{fault:?} was not found: {other:?}"),
    }
}

macro_rules! faults {
    ($($name:ident $fault:ident;)*) => {$(
        #[test]
        fn $name() {
            found(Fault::$fault);
        }
    )*};
}

faults! {
    a_gate_without_the_margin_is_found GateWithoutMargin;
    a_granter_without_the_margin_is_found GranterWithoutMargin;
    a_new_leader_that_does_not_wait_is_found NewLeaderDoesNotWait;
    a_lease_counted_from_the_reply_is_found CountedFromTheReply;
    a_leader_that_was_replaced_and_grants_is_found LeadershipUnconfirmed;
    a_promotion_that_does_not_wait_is_found PromotionDoesNotWait;
    a_handoff_that_closes_no_gate_is_found HandoffWithoutClosing;
    a_closed_gate_forgotten_at_a_restart_is_found ClosuresForgotten;
    an_answer_to_an_earlier_process_is_found AnswersOfAnEarlierProcess;
}
