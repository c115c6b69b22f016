//! libFuzzer over [`hypermesh_fuzz::token::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::token::target(data));
