#![no_main]

// redb asserts where it reads a damaged page, and the store catches that at an opening: only a
// panic that nobody catches is a finding, and libFuzzer's own hook would abort at any.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |data: &[u8]| cp_fuzz::run("damaged_image", data));
