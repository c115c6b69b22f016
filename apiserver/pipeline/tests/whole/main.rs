//! The pipeline as a whole: requests in, outcomes and effects out, over a state in memory.
//!
//! Every block of every test is executed twice and must come to the same; every effect is checked against the state
//! that it is applied to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod built_in;
mod certificate_requests;
mod deletion;
mod dry_runs;
mod events;
mod garbage;
mod graphs;
mod identities;
mod jobs;
mod namespaces;
mod node_rights;
mod objects;
mod pod_security;
mod properties;
mod rights;
mod state;
mod support;
mod transactions;
mod unique;
mod views;
mod vouching;
