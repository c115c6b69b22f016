//! libFuzzer over [`hypermesh_fuzz::query::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::query::target(data));
