//! Plants the bugs of `cp_conformance::teeth`, one at a time, and sees whether the
//! suite finds each: what `cargo xtask teeth` builds, under `--cfg planted_bugs`,
//! and starts.
//!
//! A bug is one process: this program starts itself for each bug, engine and seed.

#[cfg(planted_bugs)]
mod arguments;
#[cfg(planted_bugs)]
mod backends;
#[cfg(planted_bugs)]
mod bite;
#[cfg(planted_bugs)]
mod line;
#[cfg(planted_bugs)]
mod self_test;
#[cfg(planted_bugs)]
mod table;

#[cfg(planted_bugs)]
fn main() -> std::process::ExitCode {
    arguments::main()
}

#[cfg(not(planted_bugs))]
fn main() -> std::process::ExitCode {
    anstream::eprintln!("error: no bug is planted in this build; `cargo xtask teeth` makes one");
    std::process::ExitCode::FAILURE
}
