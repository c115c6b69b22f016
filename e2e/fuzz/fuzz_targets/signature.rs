//! libFuzzer over [`hypermesh_fuzz::signature::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::signature::target(data));
