//! libFuzzer over [`hypermesh_fuzz::manifest::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::manifest::target(data));
