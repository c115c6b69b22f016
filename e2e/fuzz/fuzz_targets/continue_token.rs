//! libFuzzer over [`hypermesh_fuzz::continue_token::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::continue_token::target(data));
