//! libFuzzer over [`hypermesh_fuzz::strategic_patch::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::strategic_patch::target(data));
