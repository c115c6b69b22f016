//! libFuzzer over [`hypermesh_fuzz::crd::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::crd::target(data));
