//! libFuzzer over [`hypermesh_fuzz::records::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::records::target(data));
