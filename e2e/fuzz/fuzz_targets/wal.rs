//! libFuzzer over [`hypermesh_fuzz::wal::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::wal::target(data));
