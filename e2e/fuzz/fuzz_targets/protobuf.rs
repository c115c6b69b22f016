//! libFuzzer over [`hypermesh_fuzz::protobuf::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::protobuf::target(data));
