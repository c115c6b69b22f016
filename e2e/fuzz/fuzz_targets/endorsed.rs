//! libFuzzer over [`hypermesh_fuzz::endorsed::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::endorsed::target(data));
