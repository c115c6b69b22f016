//! The machine as an engine drives it.

mod agreement;
mod corpus;
mod replica;
mod restart;
mod support;
mod verdicts;
mod workload;
