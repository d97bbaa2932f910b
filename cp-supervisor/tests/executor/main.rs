//! Runs of plans: against a state that is real and a data plane that is a double of the
//! embedder's, killed between any two effects; and against a cluster of processes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of tests fails the test")]

#[path = "../common/mod.rs"]
mod common;
mod contract;
mod double;
#[path = "../../examples/drain.rs"]
mod drain;
mod failures;
mod kills;
mod processes;
mod worlds;

#[tokio::test]
async fn the_example_drains_a_member_while_users_write() {
    drain::tell().await.unwrap();
}
