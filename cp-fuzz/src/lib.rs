//! What is done with bytes that nobody vouches for: a function for each decoder.
//!
//! `fuzz/` calls them with what libFuzzer draws, the test of this crate with what
//! [`mutate`] draws from a seed. Each panics when a property fails: what decodes
//! is encoded as something that decodes the same, what is refused changes
//! nothing, and damage on a disk is never read as something else.

pub mod mutate;

mod catalog;
mod disk;
mod text;
mod wire;

/// A decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also in `fuzz/`.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]),
    /// Valid inputs to begin with.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// How many inputs the bounded run gives it.
    pub inputs: u64,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "envelope", run: wire::envelope, corpus: wire::envelope_corpus, inputs: 20_000 },
    Target {
        name: "openraft_message",
        run: cp_openraft::fuzz::message,
        corpus: cp_openraft::fuzz::corpus,
        inputs: 20_000,
    },
    Target { name: "raftrs_message", run: cp_raftrs::fuzz::message, corpus: cp_raftrs::fuzz::corpus, inputs: 20_000 },
    Target { name: "peer_packet", run: cp_net::fuzz::packet, corpus: cp_net::fuzz::corpus, inputs: 20_000 },
    Target { name: "api_message", run: wire::api, corpus: wire::api_corpus, inputs: 20_000 },
    Target {
        name: "lease_message",
        run: cp_supervisor::leases::fuzz::message,
        corpus: cp_supervisor::leases::fuzz::corpus,
        inputs: 20_000,
    },
    Target { name: "command", run: catalog::command, corpus: catalog::command_corpus, inputs: 5_000 },
    Target { name: "record_of_state", run: catalog::record, corpus: catalog::record_corpus, inputs: 20_000 },
    Target { name: "snapshot", run: catalog::snapshot, corpus: catalog::snapshot_corpus, inputs: 5_000 },
    Target { name: "durable_record", run: cp_store::fuzz::record, corpus: cp_store::fuzz::corpus, inputs: 20_000 },
    Target { name: "damaged_image", run: disk::damaged, corpus: disk::corpus, inputs: 2_000 },
    Target { name: "backup", run: cp_recovery::fuzz::backup, corpus: cp_recovery::fuzz::corpus, inputs: 5_000 },
    Target { name: "cluster_file", run: text::cluster_file, corpus: text::cluster_file_corpus, inputs: 5_000 },
    Target { name: "token", run: text::token, corpus: text::token_corpus, inputs: 20_000 },
];

/// Runs the target of this name on `data`.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "there is no target {name}");
    target.into_iter().for_each(|target| (target.run)(data));
}
