//! libFuzzer over [`hypermesh_fuzz::apply::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::apply::target(data));
