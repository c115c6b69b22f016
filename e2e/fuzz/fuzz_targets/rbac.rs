//! libFuzzer over [`hypermesh_fuzz::rbac::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::rbac::target(data));
