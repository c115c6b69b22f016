//! libFuzzer over [`hypermesh_fuzz::access::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::access::target(data));
