//! The machine as an engine drives it.

mod agreement;
mod among;
mod corpus;
pub(crate) mod network;
pub(crate) mod one_of_four;
mod over_quic;
mod replica;
mod restart;
pub(crate) mod support;
mod verdicts;
mod workload;
