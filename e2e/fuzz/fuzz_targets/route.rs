//! libFuzzer over [`hypermesh_fuzz::route::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::route::target(data));
