//! libFuzzer over [`hypermesh_fuzz::replica_stream::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::replica_stream::target(data));
