//! libFuzzer over [`hypermesh_fuzz::frame::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::frame::target(data));
