//! libFuzzer over [`hypermesh_fuzz::selector::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::selector::target(data));
