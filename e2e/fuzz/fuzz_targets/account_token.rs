//! libFuzzer over [`hypermesh_fuzz::account_token::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::account_token::target(data));
