//! libFuzzer over [`hypermesh_fuzz::kubeconfig::target`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hypermesh_fuzz::kubeconfig::target(data));
