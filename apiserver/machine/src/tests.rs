//! The machine as an engine drives it.

mod corpus;
mod restart;
mod support;
mod verdicts;
mod workload;
