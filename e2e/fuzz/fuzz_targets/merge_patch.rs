//! libFuzzer over [`hypermesh_fuzz::merge_patch::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::merge_patch::target(data));
