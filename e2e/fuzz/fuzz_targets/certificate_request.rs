//! libFuzzer over [`hypermesh_fuzz::certificate_request::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::certificate_request::target(data));
