//! Replicas on loopback, in one process: what reaches whom, in what order, and what nobody can do to them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

mod bounded;
mod connections;
mod hostile;
mod node;
mod order;
mod raw;
mod refused;
