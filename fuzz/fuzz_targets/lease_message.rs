#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cp_fuzz::run("lease_message", data));
