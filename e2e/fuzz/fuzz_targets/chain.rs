//! libFuzzer over [`hypermesh_fuzz::chain::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::chain::target(data));
