//! What this engine is known to do wrong when it is asked naively, in running clusters.
//! What every engine owes is in the conformance suite.

mod cluster;
mod intake;
mod membership;
mod opening;
mod promises;
mod snapshot;
