//! libFuzzer over [`hypermesh_fuzz::replication::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::replication::target(data));
