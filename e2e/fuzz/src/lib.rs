//! A fuzz target for every decoder that a byte from outside reaches.
//!
//! A target is one function of bytes that returns where all is well and panics where something is wrong. libFuzzer drives
//! it (`make fuzz`), and a test replays what is in its corpus (`make test`). Targets assert what holds for every input:
//! that what was read is written back as it was, that two readers of one form agree, that output and cost have bounds,
//! that what is forged is refused.
//!
//! A target is a function of its input alone: it reads no clock, no environment and no file that it did not write, so
//! that a finding can be replayed. Keys and certificates are made here, from seeds, and never kept.

#![expect(clippy::expect_used, clippy::panic, reason = "a target reports what it finds by panicking")]

mod input;
mod kinds;
#[path = "../../../apiserver/pipeline/tests/whole/state.rs"]
mod memory;

pub mod access;
pub mod account_token;
pub mod apply;
pub mod bootstrap_token;
pub mod call;
pub mod cel;
pub mod certificate;
pub mod certificate_request;
pub mod chain;
pub mod continue_token;
pub mod crd;
pub mod endorsed;
pub mod execute;
pub mod fields;
pub mod frame;
pub mod json;
pub mod json_patch;
pub mod kubeconfig;
pub mod manifest;
pub mod media;
pub mod merge_patch;
pub mod printer_column;
pub mod proof;
pub mod protobuf;
pub mod query;
pub mod quorum;
pub mod rbac;
pub mod records;
pub mod replica_stream;
pub mod replication;
pub mod route;
pub mod schema;
pub mod selector;
pub mod signature;
pub mod snapshot;
pub mod spdy;
pub mod store_files;
pub mod strategic_patch;
pub mod token;
pub mod values;
pub mod wal;
pub mod yaml;

/// A target and its name, which is also the name of its binary and of its corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The module that holds it.
    pub name: &'static str,
    /// Panics if something is wrong.
    pub run: fn(&[u8]),
}

macro_rules! table {
    ($($name:ident)*) => {
        &[$(Target { name: stringify!($name), run: $name::target }),*]
    };
}

/// All targets, by name.
pub const TARGETS: &[Target] = table! {
    access account_token apply bootstrap_token call cel certificate certificate_request chain continue_token crd endorsed execute fields frame
    json json_patch kubeconfig manifest media merge_patch printer_column proof protobuf query quorum rbac records
    replica_stream replication route schema selector signature snapshot spdy store_files strategic_patch token values wal yaml
};
