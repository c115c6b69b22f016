//! libFuzzer over [`hypermesh_fuzz::proof::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::proof::target(data));
