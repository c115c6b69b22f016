//! libFuzzer over [`hypermesh_fuzz::json_patch::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::json_patch::target(data));
