//! libFuzzer over [`hypermesh_fuzz::snapshot::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::snapshot::target(data));
