//! End-to-end tests: foreign clients, fault injection, benchmarks beside peers.
//!
//! The library is what they share: a cluster in this process, and clients of it.

pub mod client;
pub mod cluster;
pub mod controllers;
pub mod figures;
pub mod kubeconfig;
pub mod kubectl;
pub mod load;
pub mod skip;

pub use client::{Client, Reply};
pub use cluster::Cluster;
pub use kubectl::Kubectl;
