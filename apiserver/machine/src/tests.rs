//! The machine as an engine drives it.

mod agreement;
mod among;
mod corpus;
pub(crate) mod network;
mod over_quic;
mod replica;
mod restart;
pub(crate) mod support;
mod verdicts;
mod workload;
