//! libFuzzer over [`hypermesh_fuzz::fields::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::fields::target(data));
