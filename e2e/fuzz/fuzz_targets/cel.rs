//! libFuzzer over [`hypermesh_fuzz::cel::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::cel::target(data));
