//! End-to-end tests: foreign clients, fault injection, benchmarks beside peers.

pub mod load;
