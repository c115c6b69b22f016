//! libFuzzer over [`hypermesh_fuzz::spdy::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::spdy::target(data));
