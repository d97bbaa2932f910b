//! The control-plane daemon and its command line.

#[cfg(not(any(feature = "openraft", feature = "raftrs")))]
compile_error!("no consensus engine: build cp-supervisor with the feature `openraft`, `raftrs`, or both");

mod cli;

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
