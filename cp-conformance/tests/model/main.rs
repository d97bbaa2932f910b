//! Three small models of the rules that all else rests on, explored completely.
//!
//! The simulator draws schedules; a model of a few steps leaves none out. Each
//! uses the real pure pieces (the vote's rule, the quorum's threshold, the
//! catalog itself), and each has flaws that can be put in: a model whose checker
//! finds nothing wrong with a flaw proves nothing.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use stateright::{Checker, HasDiscoveries, Model};
use std::fmt::Debug;
use std::hash::Hash;

mod election;
mod fencing;
mod persistence;

/// Explores everything: what must always hold does, what must be possible is.
fn holds<M>(what: &str, model: M) -> usize
where
    M: Model<State: Debug + Clone + PartialEq + Hash + Send + Sync, Action: Debug + Clone + PartialEq>
        + Send
        + Sync
        + 'static,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    eprintln!("{what}: {states} states, {depth} steps deep");
    assert!(checker.is_done(), "{what}: not everything was explored");
    checker.assert_properties();
    states
}

/// Finds a way to break `property`.
fn breaks<M>(what: &str, model: M, property: &'static str)
where
    M: Model<State: Debug + Clone + PartialEq + Hash + Send + Sync, Action: Debug + Clone + PartialEq>
        + Send
        + Sync
        + 'static,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    let Some(path) = checker.discovery(property) else {
        let found: Vec<_> = checker.discoveries().into_keys().collect();
        panic!("{what}: nothing breaks {property:?} in {} states; found {found:?}", checker.unique_state_count());
    };
    let actions = path.into_actions();
    eprintln!("{what}: breaks {property:?} in {} steps: {actions:?}", actions.len());
}
