//! libFuzzer over [`hypermesh_fuzz::values::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::values::target(data));
