//! libFuzzer over [`hypermesh_fuzz::schema::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::schema::target(data));
