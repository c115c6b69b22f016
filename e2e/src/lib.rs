//! End-to-end tests: foreign clients, fault injection, benchmarks beside peers.
