//! libFuzzer over [`hypermesh_fuzz::quorum::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::quorum::target(data));
