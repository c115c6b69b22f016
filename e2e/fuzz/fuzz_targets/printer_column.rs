//! libFuzzer over [`hypermesh_fuzz::printer_column::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::printer_column::target(data));
