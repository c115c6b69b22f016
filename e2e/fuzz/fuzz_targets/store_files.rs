//! libFuzzer over [`hypermesh_fuzz::store_files::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::store_files::target(data));
