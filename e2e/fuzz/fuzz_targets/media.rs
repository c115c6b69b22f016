//! libFuzzer over [`hypermesh_fuzz::media::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::media::target(data));
