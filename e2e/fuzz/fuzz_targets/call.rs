//! libFuzzer over [`hypermesh_fuzz::call::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::call::target(data));
