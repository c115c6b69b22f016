//! libFuzzer over [`hypermesh_fuzz::yaml::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::yaml::target(data));
