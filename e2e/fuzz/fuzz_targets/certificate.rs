//! libFuzzer over [`hypermesh_fuzz::certificate::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::certificate::target(data));
