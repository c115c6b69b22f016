//! libFuzzer over [`hypermesh_fuzz::execute::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::execute::target(data));
