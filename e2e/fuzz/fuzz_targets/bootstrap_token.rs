//! libFuzzer over [`hypermesh_fuzz::bootstrap_token::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::bootstrap_token::target(data));
